//! What kind of voucher it is, its number, and its authorisation (CAE, CAEA, CAI).

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Kinds of voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Factura, also tique factura.
    Factura,
    /// Nota de crédito.
    NotaDeCredito,
    /// Nota de débito.
    NotaDeDebito,
    /// Recibo.
    Recibo,
}

/// The letter, which tells between whom the voucher is and whether it itemises VAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Letter {
    /// Between registered taxpayers: VAT is itemised.
    A,
    /// To final consumers and the exempt: VAT is inside the price.
    B,
    /// From a monotributo or exempt issuer: no VAT.
    C,
    /// Export.
    E,
    /// As A, for issuers under observation.
    M,
}

impl Letter {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "a" => Self::A,
            "b" => Self::B,
            "c" => Self::C,
            "e" => Self::E,
            "m" => Self::M,
            _ => return None,
        })
    }

    /// Whether VAT stands apart from the prices.
    pub fn itemises_vat(self) -> bool {
        matches!(self, Self::A | Self::M)
    }
}

/// AFIP's codes of the vouchers that this crate knows.
const CODES: [(u16, Kind, Letter); 34] = {
    use Kind::{Factura, NotaDeCredito, NotaDeDebito, Recibo};
    use Letter::{A, B, C, E, M};
    [
        (1, Factura, A),
        (2, NotaDeDebito, A),
        (3, NotaDeCredito, A),
        (4, Recibo, A),
        (6, Factura, B),
        (7, NotaDeDebito, B),
        (8, NotaDeCredito, B),
        (9, Recibo, B),
        (11, Factura, C),
        (12, NotaDeDebito, C),
        (13, NotaDeCredito, C),
        (15, Recibo, C),
        (19, Factura, E),
        (20, NotaDeDebito, E),
        (21, NotaDeCredito, E),
        (51, Factura, M),
        (52, NotaDeDebito, M),
        (53, NotaDeCredito, M),
        (54, Recibo, M),
        (81, Factura, A),
        (82, Factura, B),
        (111, Factura, C),
        (112, NotaDeCredito, A),
        (113, NotaDeCredito, B),
        (114, NotaDeCredito, C),
        (201, Factura, A),
        (202, NotaDeDebito, A),
        (203, NotaDeCredito, A),
        (206, Factura, B),
        (207, NotaDeDebito, B),
        (208, NotaDeCredito, B),
        (211, Factura, C),
        (212, NotaDeDebito, C),
        (213, NotaDeCredito, C),
    ]
};

/// The kind and letter that an AFIP code stands for.
pub fn of_code(code: u16) -> Option<(Kind, Letter)> {
    CODES
        .iter()
        .find(|(known, _, _)| *known == code)
        .map(|(_, kind, letter)| (*kind, *letter))
}

/// Vouchers of a fiscal printer, which authorises them itself: they bear no CAE.
pub(crate) fn is_fiscal_ticket(code: u16) -> bool {
    matches!(code, 81 | 82 | 111..=114)
}

/// What the heading says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heading {
    pub kind: Option<Kind>,
    pub letter: Option<Letter>,
    pub code: Option<u16>,
}

/// Reads kind, letter and code. Where the words are missing, a known code stands in for them.
pub(crate) fn heading<'a>(folded: impl Iterator<Item = &'a str>) -> Heading {
    static KIND: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"\b(?:(?P<nc>nota de credito|n/c\b|nc\b)|(?P<nd>nota de debito|n/d\b|nd\b)|(?P<f>factura)|(?P<r>recibo))\b",
            r#"(?: de credito)?(?: electronica)?(?: mipymes)?(?: \(fce\))?[ :"'«“\-(]{0,6}(?:(?P<l>[abcem])(?:[^a-z]|$))?"#,
        ))
        .expect("a constant pattern")
    });
    static CODE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\bcod(?:igo)?\.? ?(?:n[°o]?\.? ?)?:? ?(0?[0-9]{2,3})\b")
            .expect("a constant pattern")
    });
    static ALONE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"^["'«“(\[ |]*([abcem])["'»”)\] |]*$"#).expect("a constant pattern")
    });

    let mut heading = Heading::default();
    for line in folded.filter(|line| !line.contains("asociad")) {
        if let Some(captures) = KIND.captures(line) {
            let kinds = [
                ("nc", Kind::NotaDeCredito),
                ("nd", Kind::NotaDeDebito),
                ("f", Kind::Factura),
                ("r", Kind::Recibo),
            ];
            let kind = kinds
                .into_iter()
                .find(|(name, _)| captures.name(name).is_some())
                .map(|(_, kind)| kind);
            heading.kind = heading.kind.or(kind);
            let letter = captures.name("l").and_then(|m| Letter::of(m.as_str()));
            heading.letter = heading.letter.or(letter.filter(|_| heading.kind == kind));
        }
        let alone = ALONE
            .captures(line)
            .and_then(|captures| Letter::of(&captures[1]));
        heading.letter = heading.letter.or(alone);
        let code = CODE
            .captures(line)
            .and_then(|c| c[1].parse().ok())
            .filter(|code| of_code(*code).is_some());
        heading.code = heading.code.or(code);
    }
    if let Some((kind, letter)) = heading.code.and_then(of_code) {
        heading.kind = heading.kind.or(Some(kind));
        heading.letter = heading.letter.or(Some(letter));
    }
    heading
}

/// The voucher's number as `0001-00001234` (point of sale with four or five digits).
pub(crate) fn number<'a>(folded: impl Iterator<Item = &'a str>) -> Option<String> {
    static FORMS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?:punto|pto\.?) ?(?:de )?(?:venta|vta\.?) ?:? {0,4}(?P<p1>[0-9]{4,5})",
            r"[ |]{0,20}(?:comp(?:robante|\.)?)? ?(?:nro|n°|no|numero)?\.? ?:? {0,4}(?P<n1>[0-9]{8})",
            r"|(?P<p2>[0-9]{4,5}) ?[-–] ?(?P<n2>[0-9]{8})",
            r"|(?:n°|nro|numero)\.? ?:? ?(?P<p3>[0-9]{4,5}) {1,2}(?P<n3>[0-9]{8})",
            r"|\bp\.? ?v\.?(?: ?n(?:ro|°)?\.?)? ?:? ?(?P<p4>[0-9]{4,5}) {1,20}n(?:ro|°)\.? ?(?:t|comp)?\.? ?:? ?(?P<n4>[0-9]{8})",
        ))
        .expect("a constant pattern")
    });
    static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"asociad|remito|\bref\b|referencia|orden|pedido|\bo\.?c\b|anula|cancela|correspond",
        )
        .expect("a constant pattern")
    });
    for line in folded {
        for captures in FORMS.captures_iter(line) {
            let Some(whole) = captures.get(0) else {
                continue;
            };
            let before = &line[..whole.start()];
            let digit = |c: char| c.is_ascii_digit();
            if before.ends_with(digit)
                || line[whole.end()..].starts_with(digit)
                || REFERENCE.is_match(before)
            {
                continue;
            }
            let part = |names: [&str; 4]| {
                names
                    .into_iter()
                    .find_map(|name| captures.name(name))
                    .map(|m| m.as_str())
            };
            if let (Some(point), Some(number)) = (
                part(["p1", "p2", "p3", "p4"]),
                part(["n1", "n2", "n3", "n4"]),
            ) {
                return Some(format!("{point}-{number}"));
            }
        }
    }
    None
}

/// Whether `text` is a voucher's number in the form `0001-00001234`.
pub(crate) fn is_number(text: &str) -> bool {
    let digits = |part: &str, lengths: &[usize]| {
        lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    text.split_once('-')
        .is_some_and(|(point, number)| digits(point, &[4, 5]) && digits(number, &[8]))
}

/// How the voucher was authorised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthorizationKind {
    /// Electronic, one voucher.
    Cae,
    /// Electronic, given in advance for a fortnight.
    Caea,
    /// Printed.
    Cai,
}

/// The authorisation's kind and digits; the digits are as found, also when they aren't fourteen.
pub(crate) fn authorization(folded: &[&str]) -> Option<(AuthorizationKind, String)> {
    static LABEL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\bc\.? ?a\.? ?(?:(?P<i>i)|e\.? ?(?P<a>a)?)(?:\b|\.)\.?(?: ?n(?:ro\b|o\b|°|\b))?[ .:#°]{0,6}").expect("a constant pattern")
    });
    let mut first: Option<(AuthorizationKind, String)> = None;
    for (index, line) in folded.iter().enumerate() {
        for captures in LABEL.captures_iter(line) {
            let Some(label) = captures.get(0) else {
                continue;
            };
            let kind = match (captures.name("i"), captures.name("a")) {
                (Some(_), _) => AuthorizationKind::Cai,
                (None, Some(_)) => AuthorizationKind::Caea,
                (None, None) => AuthorizationKind::Cae,
            };
            let after = line[label.end()..].trim_start();
            let next = if after.is_empty() {
                folded.get(index + 1).map_or("", |next| next.trim_start())
            } else {
                after
            };
            match digits_at(next) {
                Some(digits) if digits.len() == AUTHORIZATION_DIGITS => {
                    return Some((kind, digits));
                }
                Some(digits) => first = first.or(Some((kind, digits))),
                None => {}
            }
        }
    }
    first
}

/// A CAE, CAEA or CAI has fourteen digits.
pub(crate) const AUTHORIZATION_DIGITS: usize = 14;

/// The digits at the beginning of `text`, over single spaces until there are fourteen. A date isn't taken.
fn digits_at(text: &str) -> Option<String> {
    let mut digits = String::new();
    for word in text.split(' ') {
        let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        if !plain || digits.len() + word.len() > AUTHORIZATION_DIGITS && !digits.is_empty() {
            break;
        }
        digits.push_str(word);
        if digits.len() >= AUTHORIZATION_DIGITS {
            break;
        }
    }
    (digits.len() >= 8).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Heading {
        let folded = super::super::fold::fold(text);
        heading(folded.lines())
    }

    #[test]
    fn headings_are_read_with_their_letter_and_code() {
        for (text, kind, letter, code) in [
            ("FACTURA \"A\"", Some(Kind::Factura), Some(Letter::A), None),
            (
                "A\nCOD. 01\nFACTURA",
                Some(Kind::Factura),
                Some(Letter::A),
                Some(1),
            ),
            (
                "Nota de Crédito B",
                Some(Kind::NotaDeCredito),
                Some(Letter::B),
                None,
            ),
            (
                "COD. 013",
                Some(Kind::NotaDeCredito),
                Some(Letter::C),
                Some(13),
            ),
            (
                "Factura Electrónica C N° 0001-00000001",
                Some(Kind::Factura),
                Some(Letter::C),
                None,
            ),
            (
                "Factura de crédito electrónica MiPyMEs (FCE) A",
                Some(Kind::Factura),
                Some(Letter::A),
                None,
            ),
            (
                "RECIBO\nFactura asociada A 0001-00000001",
                Some(Kind::Recibo),
                None,
                None,
            ),
            ("Factura de Almacén", Some(Kind::Factura), None, None),
            ("Remito", None, None, None),
        ] {
            assert_eq!(read(text), Heading { kind, letter, code }, "{text}");
        }
    }

    #[test]
    fn numbers_are_found_in_their_forms_but_not_those_referred_to() {
        for (text, expected) in [
            (
                "Punto de Venta: 00002   Comp. Nro: 00000123",
                Some("00002-00000123"),
            ),
            ("N° 0001-00001234", Some("0001-00001234")),
            ("Nro. 0001 00001234", Some("0001-00001234")),
            ("B0003-00000077", Some("0003-00000077")),
            ("Remito: 0001-00005555", None),
            ("tel 0341-4123456", None),
        ] {
            let folded = super::super::fold::fold(text);
            assert_eq!(number(folded.lines()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn authorisations_are_read_with_any_number_of_digits() {
        for (text, kind, digits) in [
            (
                "cae n°: 74123456789012",
                AuthorizationKind::Cae,
                "74123456789012",
            ),
            (
                "c.a.e. 7412345 6789012 vto 10/04/2024",
                AuthorizationKind::Cae,
                "74123456789012",
            ),
            (
                "vto. cae: 10/04/2024 cae: 74123456789012",
                AuthorizationKind::Cae,
                "74123456789012",
            ),
            (
                "caea: 31234567890123",
                AuthorizationKind::Caea,
                "31234567890123",
            ),
            (
                "c.a.i. n° 7412345678901",
                AuthorizationKind::Cai,
                "7412345678901",
            ),
        ] {
            assert_eq!(
                authorization(&[text]),
                Some((kind, digits.to_owned())),
                "{text}"
            );
        }
        assert_eq!(authorization(&["vto. cae: 10/04/2024"]), None);
    }
}
