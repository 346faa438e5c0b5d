//! Letters that a scanner put where digits belong. A token is changed only if it has the form of a number and its context or a check
//! confirms it; codes such as `B-12` and words stay.

use std::sync::LazyLock;

use regex::Regex;
use rust_decimal::Decimal;

use super::amount::{self, Style};
use super::cuit::Cuit;
use super::date;

/// Longer tokens are no quantities.
const MAX_QUANTITY: usize = 5;

/// A line with more amounts is no article's.
const MAX_AMOUNTS: usize = 6;

/// Longer tokens are no numbers.
const MAX_TOKEN: usize = 40;

/// How many tokens after a label belong to it.
const LABEL_REACH: usize = 3;

/// The digit that a character is mistaken for.
pub(crate) fn digit_of(c: char) -> Option<char> {
    Some(match c {
        'O' | 'o' => '0',
        'l' | 'I' | '|' => '1',
        'Z' | 'z' => '2',
        'S' | 's' => '5',
        'B' => '8',
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Cuit,
    Authorization,
}

/// What a line's numbers are like.
pub(crate) struct Survey {
    pub numbers: usize,
    pub unreadable: Vec<String>,
}

/// The line with its numbers repaired; white space stays as it is.
pub(crate) fn repair(line: &str) -> String {
    let mut repaired = String::with_capacity(line.len());
    for (token, label) in tokens(line) {
        match repair_token(token, label) {
            Some(number) => repaired.push_str(&number),
            None => repaired.push_str(token),
        }
    }
    repair_quantity(repaired)
}

/// A quantity that a line's arithmetic confirms: in `1O Silla 18.500,00 185.000,00` only 10 leads from the price to the amount.
/// Without any digit (`S` for 5) it must begin the line.
fn repair_quantity(line: String) -> String {
    let amounts: Vec<Decimal> = line
        .split_whitespace()
        .filter(|word| is_money(word))
        .filter_map(|word| amount::parse(word, Style::Unknown))
        .map(|amount| amount.value)
        .collect();
    if !(2..=MAX_AMOUNTS).contains(&amounts.len()) {
        return line;
    }
    let leads = |quantity: Decimal| {
        let pairs = |at: usize| amounts[at + 1..].iter().map(move |total| (at, total));
        (0..amounts.len()).flat_map(pairs).any(|(at, total)| {
            let product = quantity.checked_mul(amounts[at]);
            product == Some(*total) && !total.is_zero()
        })
    };
    let known = |word: &str| word.parse().is_ok_and(leads);
    if line.split_whitespace().any(known) {
        return line;
    }
    let mut repaired = String::with_capacity(line.len());
    let (mut first, mut done) = (true, false);
    for (word, _) in tokens(&line) {
        let sure = first || word.contains(|c: char| c.is_ascii_digit());
        let mapped = quantity_of(word).filter(|text| !done && sure && known(text));
        done |= mapped.is_some();
        first &= word.trim().is_empty();
        repaired.push_str(mapped.as_deref().unwrap_or(word));
    }
    repaired
}

/// The whole number that a short token with letters in it stands for.
fn quantity_of(word: &str) -> Option<String> {
    let letters = word.chars().any(|c| digit_of(c).is_some());
    let numeric = word
        .chars()
        .all(|c| c.is_ascii_digit() || digit_of(c).is_some());
    let mapped = || word.chars().map(|c| digit_of(c).unwrap_or(c)).collect();
    (letters && numeric && word.len() <= MAX_QUANTITY).then(mapped)
}

/// With a point or a comma before two digits.
fn is_money(word: &str) -> bool {
    let cents = word.rsplit([',', '.']).next();
    word.contains([',', '.']) && cents.is_some_and(|cents| cents.len() == 2)
}

/// Counts numbers, and finds those that still hold letters where a CUIT or CAE is named.
pub(crate) fn survey(line: &str) -> Survey {
    let mut survey = Survey {
        numbers: 0,
        unreadable: Vec::new(),
    };
    for (token, label) in tokens(line) {
        let core = token.trim_matches(|c: char| !c.is_alphanumeric());
        let digits = core.chars().filter(char::is_ascii_digit).count();
        let confusable = core.chars().any(|c| digit_of(c).is_some());
        let numeric = digits > 0 && core.chars().all(is_numeric_char);
        survey.numbers += usize::from(numeric);
        if numeric && confusable && label.is_some() && core.len() >= 8 {
            survey.unreadable.push(core.to_owned());
        }
    }
    survey
}

/// Whether the text before a number ends by naming it a CUIT or CUIL.
pub(crate) fn names_cuit(before: &str) -> bool {
    let near = before.floor_char_boundary(before.len().saturating_sub(LABEL_REACH * MAX_TOKEN));
    let before = &before[near..];
    before
        .split_whitespace()
        .rev()
        .take(LABEL_REACH)
        .any(|word| label_of(word) == Some(Label::Cuit))
}

fn is_numeric_char(c: char) -> bool {
    c.is_ascii_digit() || digit_of(c).is_some() || matches!(c, '.' | ',' | '/' | '-' | '%' | '$')
}

/// Runs of white space and of anything else, in order, with the label that reaches each.
fn tokens(line: &str) -> impl Iterator<Item = (&str, Option<Label>)> {
    let mut rest = line;
    let mut label: Option<(Label, usize)> = None;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let space = first.is_whitespace();
        let end = rest
            .find(|c: char| c.is_whitespace() != space)
            .unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        rest = after;
        if space {
            return Some((token, None));
        }
        let current = label.map(|(label, _)| label);
        label = label_of(token)
            .map(|found| (found, LABEL_REACH))
            .or(label.and_then(|(l, n)| (n > 1).then(|| (l, n - 1))));
        Some((token, current))
    })
}

fn label_of(token: &str) -> Option<Label> {
    let letters: String = token
        .chars()
        .take(12)
        .filter(char::is_ascii_alphabetic)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    match letters.as_str() {
        "cuit" | "cuil" => Some(Label::Cuit),
        "cae" | "caea" | "cai" => Some(Label::Authorization),
        _ => None,
    }
}

fn repair_token(token: &str, label: Option<Label>) -> Option<String> {
    if token.len() > MAX_TOKEN || !token.is_ascii() {
        return None;
    }
    let start = token.find(|c: char| c.is_ascii_alphanumeric() || c == '|')?;
    let end = token.rfind(|c: char| c.is_ascii_alphanumeric() || c == '%' || c == '|')? + 1;
    let (before, core, after) = (&token[..start], &token[start..end], &token[end..]);
    let letters = core.chars().filter(|c| digit_of(*c).is_some()).count();
    let digits = core.chars().filter(char::is_ascii_digit).count();
    if letters == 0 || digits == 0 || !core.chars().all(is_numeric_char) {
        return None;
    }
    let mapped: String = core.chars().map(|c| digit_of(c).unwrap_or(c)).collect();
    let shape = Shape {
        core,
        mapped: &mapped,
        letters,
        digits,
        money: before.ends_with('$'),
        label,
    };
    shape
        .is_number()
        .then(|| format!("{before}{mapped}{after}"))
}

/// A token with and without its letters.
struct Shape<'a> {
    core: &'a str,
    mapped: &'a str,
    letters: usize,
    digits: usize,
    money: bool,
    label: Option<Label>,
}

impl Shape<'_> {
    fn is_number(&self) -> bool {
        self.is_cuit()
            || self.is_authorization()
            || self.is_date()
            || self.is_voucher()
            || self.is_amount()
    }

    fn begins_with_digit(&self) -> bool {
        self.core.starts_with(|c: char| c.is_ascii_digit())
    }

    fn mostly_digits(&self) -> bool {
        2 * self.letters < self.digits
    }

    /// Only when the check digit then holds.
    fn is_cuit(&self) -> bool {
        self.digits >= 6 && Cuit::parse(self.mapped).is_ok_and(|cuit| cuit.is_known_type())
    }

    fn is_authorization(&self) -> bool {
        let plain = self.mapped.len() == 14 && self.mapped.bytes().all(|b| b.is_ascii_digit());
        plain && self.label == Some(Label::Authorization) && self.mostly_digits()
    }

    /// Only a day that exists; codes such as `S-10-20` aren't dates.
    fn is_date(&self) -> bool {
        let sure = self.mapped.contains('/') || self.begins_with_digit();
        sure && self.digits >= self.letters && date::parse(self.mapped).is_some()
    }

    /// `B0001-00001234` begins with the voucher's letter, not with an 8.
    fn is_voucher(&self) -> bool {
        super::voucher::is_number(self.mapped)
            && self.mostly_digits()
            && !self.core.starts_with('B')
    }

    fn is_amount(&self) -> bool {
        static DECIMAL: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^(?:[0-9]{1,3}(?:\.[0-9]{3})*,[0-9]{2}|[0-9]{1,3}(?:,[0-9]{3})*\.[0-9]{2}|[0-9]+[.,][0-9]{2})$").expect("a constant pattern")
        });
        static WHOLE: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^[0-9]{1,3}(?:\.[0-9]{3})*$|^[0-9]+$").expect("a constant pattern")
        });
        static RATE: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^[0-9]{1,2}(?:[.,][0-9]{1,2})?%$").expect("a constant pattern")
        });
        let decimal = DECIMAL.is_match(self.mapped)
            && (self.money || self.begins_with_digit() || self.mostly_digits());
        let whole = self.money && WHOLE.is_match(self.mapped);
        let rate = RATE.is_match(self.mapped) && self.letters <= self.digits;
        decimal || whole || rate
    }
}
