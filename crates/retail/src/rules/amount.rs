//! Amounts as people write them: `1.234,56`, `1,234.56`, `1234,56`, `$ -1.234`, `(50,00)`, `1.500.-`.

use std::fmt;

use rust_decimal::Decimal;

/// Which separator a document puts before decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    /// Nothing in the document tells; the Argentine reading is taken and doubt is reported.
    #[default]
    Unknown,
    /// `1.234,56`
    Comma,
    /// `1,234.56`
    Point,
    /// Both occur.
    Mixed,
}

/// An amount read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The value, exact.
    pub value: Decimal,
    /// The other reading, when the text and the document's style leave it open: `1.234` may be 1234 or 1.234.
    pub otherwise: Option<Decimal>,
}

/// Longest run of digits that is taken for an amount.
const MAX_DIGITS: usize = 18;

/// Reads one amount; `None` if the text isn't one. With [`Style::Unknown`] or [`Style::Mixed`], a single separator before three
/// digits is ambiguous: a point is read as grouping and a comma as decimal, as is usual in Argentina.
pub fn parse(text: &str, style: Style) -> Option<Amount> {
    let (negative, digits) = strip_sign_and_currency(text)?;
    let amount = read_digits(digits, style)?;
    let signed = |value: Decimal| if negative { -value } else { value };
    Some(Amount {
        value: signed(amount.value),
        otherwise: amount.otherwise.map(signed),
    })
}

/// The style that the unambiguous amounts among `tokens` show.
pub(crate) fn style_of<'a>(tokens: impl Iterator<Item = &'a str>) -> Style {
    let (mut comma, mut point) = (false, false);
    for token in tokens {
        match strip_sign_and_currency(token).and_then(|(_, digits)| evident_style(digits)) {
            Some(Style::Comma) => comma = true,
            Some(Style::Point) => point = true,
            _ => {}
        }
    }
    match (comma, point) {
        (true, true) => Style::Mixed,
        (true, false) => Style::Comma,
        (false, true) => Style::Point,
        (false, false) => Style::Unknown,
    }
}

/// Writes an amount the Argentine way, with all its decimals: `-1.234,50`.
pub fn format_argentine(value: Decimal) -> String {
    format(value, '.', ',')
}

/// Writes an amount the English way, with all its decimals: `-1,234.50`.
pub fn format_english(value: Decimal) -> String {
    format(value, ',', '.')
}

fn format(value: Decimal, group: char, decimal: char) -> String {
    let plain = value.abs().to_string();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut text = String::new();
    if value.is_sign_negative() && !value.is_zero() {
        text.push('-');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            text.push(group);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(decimal);
        text.push_str(fraction);
    }
    text
}

/// An amount in a Spanish sentence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Es(pub Decimal);

/// An amount in an English sentence, where `1.000` would be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct En(pub Decimal);

impl fmt::Display for Es {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_argentine(self.0))
    }
}

impl fmt::Display for En {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_english(self.0))
    }
}

/// Splits off minus, parentheses and currency; the rest holds digits and separators only.
fn strip_sign_and_currency(text: &str) -> Option<(bool, &str)> {
    let mut rest = text.trim();
    let mut negative = false;
    if let Some(inside) = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')) {
        (negative, rest) = (true, inside.trim());
    }
    // A sign may stand before or after the currency.
    for _ in 0..2 {
        let Some(after) = strip_one(rest) else { break };
        negative |= rest.starts_with(['-', '−']);
        rest = after.trim_start();
    }
    // "1.500.-" and "1.500,-" are whole amounts.
    rest = rest
        .strip_suffix(".-")
        .or_else(|| rest.strip_suffix(",-"))
        .unwrap_or(rest);
    if let Some(before) = rest.strip_suffix('-') {
        (negative, rest) = (true, before);
    }
    let only_digits = rest
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'\''));
    let edges = rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.ends_with(|c: char| c.is_ascii_digit());
    (only_digits && edges && rest.len() <= 2 * MAX_DIGITS).then_some((negative, rest))
}

/// Without the sign or currency it begins with.
fn strip_one(text: &str) -> Option<&str> {
    const CURRENCIES: [&str; 11] = [
        "AR$", "ARS", "U$S", "US$", "USD", "ar$", "ars", "u$s", "us$", "usd", "$",
    ];
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let sign = text.strip_prefix(['-', '−']);
    sign.or_else(|| {
        CURRENCIES
            .iter()
            .find_map(|currency| text.strip_prefix(currency))
    })
}

/// What the separators in `digits` show about the style, if anything.
fn evident_style(digits: &str) -> Option<Style> {
    let decimal = |separator: char| {
        if separator == ',' {
            Style::Comma
        } else {
            Style::Point
        }
    };
    let grouping = |separator: char| {
        if separator == ',' {
            Style::Point
        } else {
            Style::Comma
        }
    };
    let (points, commas) = (digits.matches('.').count(), digits.matches(',').count());
    let (separator, count) = match (points, commas) {
        (0, 0) => return None,
        (_, 0) => ('.', points),
        (0, _) => (',', commas),
        _ => {
            return Some(decimal(
                digits.chars().rev().find(|c| matches!(c, '.' | ','))?,
            ));
        }
    };
    if count > 1 {
        return Some(grouping(separator));
    }
    let (before, after) = digits.split_once(separator)?;
    // Two decimals are how amounts are written; other lengths are quantities, and three are open.
    (after.len() == 2 && !before.is_empty()).then(|| decimal(separator))
}

fn read_digits(digits: &str, style: Style) -> Option<Amount> {
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return join(digits, "").map(|value| Amount {
            value,
            otherwise: None,
        });
    }
    let digits = &digits.replace('\'', "");
    let sure = |value: Option<Decimal>| {
        value.map(|value| Amount {
            value,
            otherwise: None,
        })
    };
    let (points, commas) = (digits.matches('.').count(), digits.matches(',').count());
    match (points, commas) {
        (0, 0) => sure(join(digits, "")),
        (_, 0) if points > 1 => sure(ungroup(digits, '.')),
        (0, _) if commas > 1 => sure(ungroup(digits, ',')),
        (1, 0) => read_single(digits, '.', style),
        (0, 1) => read_single(digits, ',', style),
        _ => {
            let at = digits.rfind(['.', ','])?;
            let (whole, fraction) = (&digits[..at], &digits[at + 1..]);
            let group = if digits.as_bytes()[at] == b',' {
                '.'
            } else {
                ','
            };
            sure(grouped(whole, group).and_then(|whole| join(&whole, fraction)))
        }
    }
}

/// One separator: decimal, grouping, or open.
fn read_single(digits: &str, separator: char, style: Style) -> Option<Amount> {
    let (whole, fraction) = digits.split_once(separator)?;
    let as_decimal = join(whole, fraction);
    let could_group =
        fraction.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0');
    if !could_group {
        return as_decimal.map(|value| Amount {
            value,
            otherwise: None,
        });
    }
    let as_group = join(&format!("{whole}{fraction}"), "");
    let decimal_separator = match style {
        Style::Comma => Some(','),
        Style::Point => Some('.'),
        Style::Unknown | Style::Mixed => None,
    };
    let is_decimal = decimal_separator.map_or(separator == ',', |decimal| decimal == separator);
    let (value, other) = if is_decimal {
        (as_decimal, as_group)
    } else {
        (as_group, as_decimal)
    };
    let otherwise = if decimal_separator.is_none() {
        other
    } else {
        None
    };
    value.map(|value| Amount { value, otherwise })
}

fn ungroup(digits: &str, separator: char) -> Option<Decimal> {
    join(&grouped(digits, separator)?, "")
}

/// `1.234.567` without its separators, if every group but the first has three digits.
fn grouped(digits: &str, separator: char) -> Option<String> {
    let mut groups = digits.split(separator);
    let first = groups.next()?;
    if !digits.contains(separator) {
        return Some(digits.to_owned());
    }
    let right = |group: &str| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
    ((1..=3).contains(&first.len()) && groups.all(right)).then(|| digits.replace(separator, ""))
}

fn join(whole: &str, fraction: &str) -> Option<Decimal> {
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > MAX_DIGITS
        || fraction.len() > 6
        || !plain(whole)
        || !plain(fraction)
    {
        return None;
    }
    let text = if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    };
    Decimal::from_str_exact(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, style: Style, value: &str, otherwise: Option<&str>) {
        let decimal = |text: &str| Decimal::from_str_exact(text).unwrap();
        let expected = Amount {
            value: decimal(value),
            otherwise: otherwise.map(decimal),
        };
        assert_eq!(parse(text, style), Some(expected), "{text}");
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, value) in [
            ("1.234,56", "1234.56"),
            ("1,234.56", "1234.56"),
            ("1234,56", "1234.56"),
            ("1234.5", "1234.5"),
            ("1.234.567", "1234567"),
            ("1,234,567.80", "1234567.80"),
            ("$ 1.234,56", "1234.56"),
            ("$-1.234,56", "-1234.56"),
            ("-$ 10,00", "-10.00"),
            ("U$S 99,90", "99.90"),
            ("(50,00)", "-50.00"),
            ("50,00-", "-50.00"),
            ("$ 1.500.-", "1500"),
            ("0.500", "0.500"),
            ("7", "7"),
            ("1'234,50", "1234.50"),
        ] {
            if text == "$ 1.500.-" {
                check(text, Style::Comma, value, None);
            } else {
                check(text, Style::Unknown, value, None);
            }
        }
    }

    #[test]
    fn one_separator_before_three_digits_is_open_unless_the_document_tells() {
        check("1.234", Style::Unknown, "1234", Some("1.234"));
        check("1,234", Style::Unknown, "1.234", Some("1234"));
        check("1.234", Style::Comma, "1234", None);
        check("1.234", Style::Point, "1.234", None);
        check("1,234", Style::Point, "1234", None);
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "$",
            "-",
            "1.23.4",
            "1,2,3",
            "12.34,5.6",
            "abc",
            "1.2345,6",
            ",5",
            "9999999999999999999999",
        ] {
            assert_eq!(parse(text, Style::Unknown), None, "{text}");
        }
    }

    #[test]
    fn the_style_comes_from_amounts_that_leave_no_doubt() {
        assert_eq!(style_of(["1.234", "10,50"].into_iter()), Style::Comma);
        assert_eq!(style_of(["1.234", "10.50"].into_iter()), Style::Point);
        assert_eq!(style_of(["1.234,00", "1,234.00"].into_iter()), Style::Mixed);
        assert_eq!(style_of(["1.234", "3"].into_iter()), Style::Unknown);
    }
}
