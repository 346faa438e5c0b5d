//! Dates as they stand on invoices: day first, with slashes, points, hyphens or in words.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::{Captures, Regex};

const MONTHS: [&str; 12] = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
];

/// A date found in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Byte offset where it begins.
    pub start: usize,
    /// Byte offset after its end.
    pub end: usize,
    /// As it is written.
    pub text: String,
    /// The date, or `None` if there is no such day.
    pub date: Option<Date>,
}

impl Found {
    /// `2024-03-05` for a real date, the text as written for an impossible one.
    pub(crate) fn value(&self) -> String {
        self.date
            .map_or_else(|| self.text.clone(), |date| date.to_string())
    }
}

/// Reads one date that is the whole text, also as `2024-03-05`.
pub fn parse(text: &str) -> Option<Date> {
    let folded = super::fold::fold(text.trim());
    let found = find_all(&folded).into_iter().next()?;
    (found.start == 0 && found.end == folded.len())
        .then_some(found.date)
        .flatten()
}

/// Finds every date in a folded line. Years of two digits are 1980 to 2079.
pub fn find_all(folded: &str) -> Vec<Found> {
    static FORMS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?P<iy>[0-9]{4})-(?P<im>[0-9]{2})-(?P<id>[0-9]{2})",
            r"|(?P<d>[0-9]{1,2}) ?(?P<s1>[/.-]) ?(?P<m>[0-9]{1,2}) ?(?P<s2>[/.-]) ?(?P<y>[0-9]{4}|[0-9]{2})",
            r"|(?P<wd>[0-9]{1,2})(?:°|ro\.?)? {0,3}(?:de {1,3})?(?P<wm>enero|febrero|marzo|abril|mayo|junio|julio|agosto|",
            r"sep?tiembre|octubre|noviembre|diciembre) {0,3}(?:del? {1,3}(?:ano {1,3})?)?(?P<wy>[0-9]{4})",
        ))
        .expect("a constant pattern")
    });
    FORMS
        .captures_iter(folded)
        .filter_map(|captures| found(folded, &captures))
        .collect()
}

fn found(line: &str, captures: &Captures<'_>) -> Option<Found> {
    let whole = captures.get(0)?;
    let (start, end) = (whole.start(), whole.end());
    let joined = |c: char| c.is_ascii_alphanumeric();
    if line[..start].ends_with(joined)
        || line[end..].starts_with(joined)
        || in_longer_number(line, start, end)
    {
        return None;
    }
    if captures.name("s1").map(|m| m.as_str()) != captures.name("s2").map(|m| m.as_str()) {
        return None;
    }
    let number = |name: &str| {
        captures
            .name(name)
            .and_then(|m| m.as_str().parse::<i16>().ok())
    };
    let (day, month, year) = match (captures.name("iy"), captures.name("wm")) {
        (Some(_), _) => (number("id")?, number("im")?, number("iy")?),
        (None, Some(name)) => (number("wd")?, month_number(name.as_str())?, number("wy")?),
        (None, None) => (number("d")?, number("m")?, full_year(number("y")?)),
    };
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok();
    Some(Found {
        start,
        end,
        text: whole.as_str().to_owned(),
        date,
    })
}

/// `1.03.2024.55` or `12-05-2024-1` isn't a date.
fn in_longer_number(line: &str, start: usize, end: usize) -> bool {
    let separator_and_digit = |mut chars: Box<dyn Iterator<Item = char> + '_>| {
        matches!(chars.next(), Some('.' | ',' | '-' | '/'))
            && chars.next().is_some_and(|c| c.is_ascii_digit())
    };
    separator_and_digit(Box::new(line[..start].chars().rev()))
        || separator_and_digit(Box::new(line[end..].chars()))
}

fn month_number(name: &str) -> Option<i16> {
    let name = if name == "setiembre" {
        "septiembre"
    } else {
        name
    };
    let index = MONTHS.iter().position(|month| *month == name)?;
    i16::try_from(index + 1).ok()
}

fn full_year(year: i16) -> i16 {
    match year {
        0..80 => 2000 + year,
        80..100 => 1900 + year,
        _ => year,
    }
}

/// What a date on an invoice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Issue,
    Due,
    AuthorizationDue,
    /// Start of activities, period of the service, a document referred to.
    Other,
    Unlabelled,
}

/// The roles that labels in `folded` text name, in their order; a date takes the last before it.
pub(crate) fn labels(folded: &str) -> Vec<Role> {
    static LABELS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?P<other>inicio de act\w*|inicio act\w*|periodo|desde|hasta|remito|asociad\w|orden de compra)",
            r"|(?P<cae>\bc\.? ?a\.? ?[ei]\.?a?\b)",
            r"|(?P<due>\bvenc\w*|\bvto\b|\bvence\b|\bpagar antes)",
            r"|(?P<issue>\bfecha\b|\bemision\b|\bemitid\w)",
        ))
        .expect("a constant pattern")
    });
    let mut roles: Vec<Role> = Vec::new();
    let mut authorization = false;
    for captures in LABELS.captures_iter(folded) {
        let is = |name: &str| captures.name(name).is_some();
        if is("cae") {
            authorization = true;
            // "vto. de CAE": the label before it is about the CAE.
            if let Some(last @ Role::Due) = roles.last_mut() {
                *last = Role::AuthorizationDue;
            }
        } else if is("due") {
            // "fecha de vto.": one label in two words.
            if matches!(roles.last(), Some(Role::Issue)) && joined_by(folded, &captures, "fecha") {
                roles.pop();
            }
            roles.push(if authorization {
                Role::AuthorizationDue
            } else {
                Role::Due
            });
        } else if is("issue") {
            let after_issue =
                matches!(roles.last(), Some(Role::Issue)) && joined_by(folded, &captures, "fecha");
            if !after_issue {
                roles.push(Role::Issue);
            }
        } else if is("other") {
            if matches!(roles.last(), Some(Role::Issue)) && joined_by(folded, &captures, "fecha") {
                roles.pop();
            }
            roles.push(Role::Other);
        }
    }
    roles
}

/// Whether only "de" or punctuation stands between `word` and this label.
fn joined_by(folded: &str, captures: &Captures<'_>, word: &str) -> bool {
    let start = captures.get(0).map_or(0, |m| m.start());
    if folded[..start].ends_with("  ") {
        return false;
    }
    let before = folded[..start].trim_end_matches([' ', '.', ':']);
    let before = before.strip_suffix(" de").unwrap_or(before).trim_end();
    before.ends_with(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[Option<&str>]) {
        let found: Vec<_> = find_all(&super::super::fold::fold(line))
            .into_iter()
            .map(|f| f.date)
            .collect();
        let expected: Vec<Option<Date>> = expected
            .iter()
            .map(|e| e.map(|text| text.parse().unwrap()))
            .collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn dates_are_read_day_first_in_all_their_forms() {
        check("Fecha: 05/03/2024", &[Some("2024-03-05")]);
        check(
            "5-3-24 y 05.03.1999",
            &[Some("2024-03-05"), Some("1999-03-05")],
        );
        check("Rosario, 5 de marzo de 2024", &[Some("2024-03-05")]);
        check("1º de Setiembre del 2023", &[Some("2023-09-01")]);
        check("2024-03-05", &[Some("2024-03-05")]);
        check("05 / 03 / 2024", &[Some("2024-03-05")]);
    }

    #[test]
    fn days_that_do_not_exist_are_found_without_a_date() {
        check("31/02/2024 29/02/2023 03/25/2024", &[None, None, None]);
        check("29/02/2024", &[Some("2024-02-29")]);
    }

    #[test]
    fn longer_numbers_are_no_dates() {
        check("20-12345678-6 0001-00001234 1.03.2024.5 12/05-2024", &[]);
    }

    #[test]
    fn labels_tell_what_a_date_is() {
        for (text, expected) in [
            ("fecha de emision: ", vec![Role::Issue]),
            ("fecha de vto. de cae: ", vec![Role::AuthorizationDue]),
            ("cae n° 74123 vto: ", vec![Role::AuthorizationDue]),
            ("fecha de vto. para el pago", vec![Role::Due]),
            ("fecha de inicio de actividades", vec![Role::Other]),
            ("fecha   vencimiento", vec![Role::Issue, Role::Due]),
        ] {
            assert_eq!(labels(text), expected, "{text}");
        }
    }
}
