//! The two languages in which the server speaks to people.

use axum::http::{HeaderMap, header};
use mainstay_journal::Bound;

pub use mainstay_runtime::degradation::Language;

/// The caller's language by `Accept-Language`: Spanish when it ranks before English, else English.
pub fn of_request(headers: &HeaderMap) -> Language {
    let wanted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let rank = |prefix: &str| {
        wanted
            .split(',')
            .filter_map(|part| {
                let (tag, rest) = part.trim().split_once(';').unwrap_or((part.trim(), ""));
                let quality = rest
                    .trim()
                    .strip_prefix("q=")
                    .and_then(|q| q.parse::<f32>().ok());
                let matches = tag.len() >= 2 && tag[..2].eq_ignore_ascii_case(prefix);
                matches.then(|| quality.unwrap_or(1.0))
            })
            .fold(0.0f32, f32::max)
    };
    if rank("es") > rank("en") {
        Language::Spanish
    } else {
        Language::English
    }
}

/// The title of a problem kind, in words.
pub fn title(language: Language, kind: &str) -> &'static str {
    let (english, spanish) = match kind {
        "unauthorized" => ("A valid key is needed", "Hace falta una clave válida"),
        "forbidden" => ("Not allowed", "No permitido"),
        "rate-limited" => ("Too many requests", "Demasiados pedidos"),
        "not-found" => ("Not found", "No encontrado"),
        "method-not-allowed" => ("Method not allowed", "Método no permitido"),
        "malformed-input" => ("The request can't be read", "El pedido no se puede leer"),
        "invalid-input" => (
            "A value in the request is wrong",
            "Un valor del pedido está mal",
        ),
        "unsupported-media-type" => ("Unsupported media type", "Tipo de contenido no admitido"),
        "conflict" => (
            "Refused because of the present data",
            "Rechazado por los datos actuales",
        ),
        "key-reused" => (
            "The key was used for another request",
            "La clave ya se usó para otro pedido",
        ),
        "precondition-failed" => ("A condition does not hold", "Una condición no se cumple"),
        "request-timeout" => (
            "The request did not arrive in time",
            "El pedido no llegó a tiempo",
        ),
        "too-large" => ("Too large", "Demasiado grande"),
        "range-not-satisfiable" => ("Range outside the object", "Rango fuera del objeto"),
        "unsupported" => ("Not supported here", "No disponible en esta instalación"),
        "unavailable" => ("Unavailable", "No disponible"),
        "read-only" => ("Read-only for now", "Solo lectura por ahora"),
        "outcome-unknown" => ("Outcome unknown", "Resultado desconocido"),
        "not-configured" => ("Not configured", "Sin configurar"),
        "timeout" => ("Out of time", "Tiempo agotado"),
        "busy" => ("Busy", "Ocupado"),
        "feature-off" => ("Switched off for now", "Desactivado por ahora"),
        "journal-full" => ("The journal takes no more", "El diario no admite más"),
        "memory-full" => ("Memory is full", "La memoria está llena"),
        "invalid-configuration" => (
            "The configuration has mistakes",
            "La configuración tiene errores",
        ),
        "bad-answer" => ("An unusable answer", "Una respuesta inservible"),
        _ => ("Internal error", "Error interno"),
    };
    match language {
        Language::English => english,
        Language::Spanish => spanish,
    }
}

/// What a failed storage of the journal means.
pub fn journal_faulted(language: Language) -> &'static str {
    match language {
        Language::English => {
            "the journal's storage has failed: nothing is accepted for later until a restart has checked it"
        }
        Language::Spanish => {
            "falló el almacenamiento del diario: no se acepta nada para después hasta que un reinicio lo haya verificado"
        }
    }
}

/// What a full journal means.
pub fn journal_full(language: Language, bound: Bound) -> String {
    if language == Language::English {
        return format!(
            "the journal is full ({bound}): what would have to wait in it is refused until there is room"
        );
    }
    let bound = match bound {
        Bound::Entries => "demasiadas entradas",
        Bound::Bytes => "demasiados bytes",
        Bound::Disk => "muy poco espacio libre en disco",
    };
    format!(
        "el diario está lleno ({bound}): lo que tendría que esperar en él se rechaza hasta que haya lugar"
    )
}

/// One sentence for a person who was woken up.
pub fn summary(
    language: Language,
    level: &str,
    score: f64,
    causes: &[String],
    held_by: Option<&str>,
) -> String {
    let mut because = causes.join("; ");
    if let Some(held) = held_by.filter(|_| !causes.is_empty()) {
        because = format!("{because}; {held}");
    }
    match (language, causes.is_empty(), held_by) {
        (Language::English, false, _) => format!("{level} (score {score}): {because}."),
        (Language::Spanish, false, _) => format!("{level} (puntaje {score}): {because}."),
        (Language::English, true, Some(held)) => {
            format!("{level} (score {score}): nothing is wrong now; {held}.")
        }
        (Language::Spanish, true, Some(held)) => {
            format!("{level} (puntaje {score}): ya no hay fallas; {held}.")
        }
        (Language::English, true, None) => format!("{level} (score {score}): nothing is wrong."),
        (Language::Spanish, true, None) => format!("{level} (puntaje {score}): no hay fallas."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_summary_names_what_holds_the_level_beside_its_causes() {
        let causes = ["redis has been down for 6 s".to_owned()];
        let held = Some("pinned by an operator");
        let said = summary(Language::English, "MINIMAL", 87.2, &causes, held);
        assert_eq!(
            said,
            "MINIMAL (score 87.2): redis has been down for 6 s; pinned by an operator."
        );
        let said = summary(Language::Spanish, "MINIMAL", 87.2, &causes, None);
        assert_eq!(said, "MINIMAL (puntaje 87.2): redis has been down for 6 s.");
    }

    #[test]
    fn the_language_follows_the_ranks_of_accept_language() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(text));
            of_request(&headers)
        };
        assert_eq!(of("es-AR,es;q=0.9,en;q=0.8"), Language::Spanish);
        assert_eq!(of("en-GB, es;q=0.5"), Language::English);
        assert_eq!(of("fr"), Language::English);
        assert_eq!(of_request(&HeaderMap::new()), Language::English);
    }
}
