//! The decisions in words, English and Spanish. Moments are told relative to `now`.

mod alerts;
mod events;
mod patterns;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Rule};

use crate::features::{FeatureMode, FeatureReason, FeatureState};
use crate::level::HeldBy;
use crate::settings::{DependencyId, Rules};
use crate::snapshot::{Cause, CauseKind, Need, NextUp, Warning};

/// A language that messages exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Spanish.
    Spanish,
}

/// The same sentence in the language asked for.
macro_rules! say {
    ($language:expr, $english:literal, $spanish:literal) => {
        match $language {
            $crate::words::Language::English => alloc::format!($english),
            $crate::words::Language::Spanish => alloc::format!($spanish),
        }
    };
}
pub(crate) use say;

/// A span in the unit that suits it: `250 ms`, `7 s`, `3 min`, `2 h`.
#[must_use]
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        0 if span.subsec_millis() > 0 => format!("{} ms", span.subsec_millis()),
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// Whole seconds until then, never less than what is left.
fn left(until: Moment, now: Moment) -> String {
    let left = until.saturating_since(now);
    span(Duration::from_secs(
        left.as_secs() + u64::from(left.subsec_nanos() > 0),
    ))
}

fn name(rules: &Rules, id: DependencyId) -> &str {
    &rules.dependency(id).name
}

fn failure(kind: Option<FailureKind>, language: Language) -> String {
    let Some(kind) = kind else {
        return say!(language, "no answer", "sin respuesta");
    };
    match kind {
        FailureKind::Connect => say!(language, "no connection", "sin conexión"),
        FailureKind::Timeout => say!(language, "timeout", "tiempo agotado"),
        FailureKind::Protocol => say!(
            language,
            "an answer against the protocol",
            "respuesta fuera de protocolo"
        ),
        FailureKind::Unavailable => say!(language, "unavailable", "no disponible"),
        FailureKind::Internal => say!(language, "an internal error", "error interno"),
        FailureKind::Config => say!(
            language,
            "refused by its configuration or permissions",
            "rechazo por configuración o permisos"
        ),
        FailureKind::Overload => say!(language, "overload", "sobrecarga"),
    }
}

fn rule(rule: Rule, language: Language) -> String {
    match rule {
        Rule::Consecutive => say!(language, "failures in a row", "fallas seguidas"),
        Rule::Rate => say!(language, "its share of failures", "proporción de fallas"),
        Rule::Slow => say!(
            language,
            "its share of slow calls",
            "proporción de llamadas lentas"
        ),
        Rule::Probes => say!(language, "failed probes", "sondeos fallidos"),
        Rule::Operator => say!(language, "an operator", "un operador"),
    }
}

impl Cause {
    /// One sentence: which dependency, since when, which rule.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        let name = name(rules, self.dependency);
        match self.kind {
            CauseKind::Down {
                since,
                rule: by,
                failure: kind,
            } => {
                let age = span(now.saturating_since(since));
                let mut text = say!(
                    language,
                    "{name} has been down for {age}",
                    "{name} no funciona desde hace {age}"
                );
                if let Some(by) = by.map(|by| rule(by, language)) {
                    text += &say!(language, ", opened by {by}", ", abierto por {by}");
                }
                if kind.is_some() {
                    let last = failure(kind, language);
                    text += &say!(
                        language,
                        " (last failure: {last})",
                        " (última falla: {last})"
                    );
                }
                text
            }
            CauseKind::NeverAnswered {
                since,
                failure: kind,
            } => {
                let (age, last) = (span(now.saturating_since(since)), failure(kind, language));
                say!(
                    language,
                    "{name} has not answered since the start {age} ago ({last})",
                    "{name} no respondió desde el inicio, hace {age} ({last})"
                )
            }
            CauseKind::Unwell { score } => {
                say!(
                    language,
                    "{name} works badly (health {score:.0} of 100)",
                    "{name} funciona mal (salud {score:.0} de 100)"
                )
            }
        }
    }
}

impl HeldBy {
    /// One sentence: why the level isn't where the target is.
    #[must_use]
    pub fn words(&self, language: Language, now: Moment) -> String {
        match *self {
            Self::Confirming { count, of } => {
                say!(
                    language,
                    "confirming {count}/{of}",
                    "confirmando {count}/{of}"
                )
            }
            Self::Margin { needed } => say!(
                language,
                "margin: the next level up needs a score of {needed:.1}",
                "margen: el nivel superior requiere un puntaje de {needed:.1}"
            ),
            Self::Dwell { until } => {
                let left = left(until, now);
                say!(
                    language,
                    "dwell: {left} until the next step up",
                    "permanencia: faltan {left} para el siguiente paso"
                )
            }
            Self::Pin { until: Some(until) } => {
                let left = left(until, now);
                say!(
                    language,
                    "pinned by an operator for another {left}",
                    "fijado por un operador por {left} más"
                )
            }
            Self::Pin { until: None } => {
                say!(language, "pinned by an operator", "fijado por un operador")
            }
        }
    }
}

impl Need {
    /// One clause: what must happen.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        match *self {
            Self::FirstRound => {
                say!(
                    language,
                    "the first round of probes is over",
                    "termina la primera ronda de sondeos"
                )
            }
            Self::Unpin { until: Some(until) } => {
                let left = left(until, now);
                say!(
                    language,
                    "the operator's pin ends ({left})",
                    "termina la fijación del operador ({left})"
                )
            }
            Self::Unpin { until: None } => {
                say!(
                    language,
                    "an operator takes the pin back",
                    "un operador quita la fijación"
                )
            }
            Self::Back(id) => {
                let name = name(rules, id);
                say!(language, "{name} works again", "{name} vuelve a funcionar")
            }
            Self::Retried { dependency, by } => {
                let (name, left) = (name(rules, dependency), left(by, now));
                say!(
                    language,
                    "{name} works at the next try of its circuit breaker, within {left}",
                    "{name} funciona en la próxima prueba de su circuito, dentro de {left}"
                )
            }
            Self::Released(id) => {
                let name = name(rules, id);
                say!(
                    language,
                    "an operator lets go of the circuit breaker of {name}",
                    "un operador suelta el circuito de {name}"
                )
            }
            Self::Fewer { at_most, down } => say!(
                language,
                "at most {at_most} dependencies are down ({down} are)",
                "hay como máximo {at_most} dependencias caídas (hay {down})"
            ),
            Self::Score {
                at_least,
                now: score,
            } => say!(
                language,
                "the score reaches {at_least:.1} (it is {score:.1})",
                "el puntaje llega a {at_least:.1} (es {score:.1})"
            ),
            Self::Wait { until } => {
                let left = left(until, now);
                say!(language, "{left} pass", "pasan {left}")
            }
        }
    }
}

impl NextUp {
    /// One sentence: what must happen for the level above.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        let Some(level) = self.level else {
            return say!(
                language,
                "everything is at its best",
                "todo está en su mejor nivel"
            );
        };
        if self.needs.is_empty() {
            return say!(
                language,
                "{level} follows with the next evaluation",
                "{level} sigue en la próxima evaluación"
            );
        }
        let needs: Vec<String> = self
            .needs
            .iter()
            .map(|need| need.words(language, rules, now))
            .collect();
        let needs = needs.join(&say!(language, " and ", " y "));
        say!(language, "{level} when {needs}", "{level} cuando {needs}")
    }
}

impl FeatureState {
    /// One sentence: why it has its mode, with the remark of its row where it is partial or limited.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        let mut text = self.reason(language, rules, now);
        let row = rules.feature(self.id);
        // Notes say what `partial` and `limited` mean; beside any other mode they would mislead.
        let explained = matches!(self.mode, FeatureMode::Partial | FeatureMode::Limited);
        if let Some(note) = row.note.as_ref().filter(|_| explained) {
            text += "; ";
            text += match language {
                Language::English => &note.english,
                Language::Spanish => &note.spanish,
            };
        }
        text
    }

    fn reason(&self, language: Language, rules: &Rules, now: Moment) -> String {
        match self.reason {
            FeatureReason::Unaffected => {
                say!(
                    language,
                    "nothing that it requires is a cause",
                    "nada de lo que requiere es una causa"
                )
            }
            FeatureReason::Cause(id) => {
                let name = name(rules, id);
                say!(
                    language,
                    "it requires {name}, which is a cause of the level",
                    "requiere {name}, que es causa del nivel"
                )
            }
            FeatureReason::ManyDown(count) => say!(
                language,
                "{count} dependencies are down: the table applies to everything",
                "{count} dependencias caídas: la tabla se aplica a todo"
            ),
            FeatureReason::Strict => say!(
                language,
                "the table always applies",
                "la tabla se aplica siempre"
            ),
            FeatureReason::Pinned => {
                say!(
                    language,
                    "the level is pinned by an operator",
                    "un operador fijó el nivel"
                )
            }
            FeatureReason::Absent(id) => {
                let name = name(rules, id);
                say!(
                    language,
                    "{name} is not configured",
                    "{name} no está configurado"
                )
            }
            FeatureReason::Knob { until: Some(until) } => {
                let left = left(until, now);
                say!(
                    language,
                    "set by an operator for another {left}",
                    "puesto por un operador por {left} más"
                )
            }
            FeatureReason::Knob { until: None } => {
                say!(language, "set by an operator", "puesto por un operador")
            }
        }
    }
}

impl Warning {
    /// One sentence: what may go wrong next.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules) -> String {
        let Self::Cascade { from, to, impact } = *self;
        let (from, to) = (name(rules, from), name(rules, to));
        let percent = (impact * 100.0).to_string();
        let percent = percent.split('.').next().unwrap_or_default();
        say!(
            language,
            "{from} being down may cost {to} {percent} % of its health",
            "la caída de {from} puede costarle a {to} {percent} % de su salud"
        )
    }
}
