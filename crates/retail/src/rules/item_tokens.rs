//! The words of an invoice's line, told apart: numbers with their readings, percentages, units, and plain words.

use rust_decimal::Decimal;

use super::amount::{self, Style};
use super::totals_check::VAT_RATES;

const UNITS: [&str; 47] = [
    "u", "un", "uni", "und", "unid", "unidad", "unidades", "kg", "kgs", "kilo", "kilos", "g", "gr",
    "grs", "lt", "lts", "l", "litro", "litros", "ml", "cc", "m", "mt", "mts", "metro", "metros",
    "m2", "m3", "caja", "cajas", "pack", "packs", "bolsa", "bolsas", "docena", "docenas", "hs",
    "hora", "horas", "dia", "dias", "mes", "meses", "par", "pares", "bulto", "bultos",
];

/// One word, or a part of one.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    /// Readings, the likelier first.
    Number {
        readings: Vec<Decimal>,
        money: bool,
    },
    Percent(Decimal),
    Unit,
    Times,
    Word,
}

/// The texts of the tokens, whether each is written together with the one before, and the tokens.
pub(crate) fn tokens(words: &[&str], style: Style) -> (Vec<String>, Vec<bool>, Vec<Token>) {
    let (mut texts, mut glued): (Vec<String>, Vec<bool>) = (Vec::new(), Vec::new());
    let mut tokens: Vec<Token> = Vec::new();
    let mut currency = "";
    for (index, word) in words.iter().enumerate() {
        let before_number = words
            .get(index + 1)
            .is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        if matches!(*word, "$" | "-$" | "$-") || before_number && is_currency(word) {
            currency = word;
            continue;
        }
        if *word == "%" {
            if let Some(Token::Number { readings, .. }) = tokens.last() {
                let rate = readings[0];
                tokens.pop();
                tokens.push(Token::Percent(rate));
            }
            continue;
        }
        let text = format!("{currency}{word}");
        currency = "";
        for (part, (text, token)) in token(&text, style).into_iter().enumerate() {
            texts.push(text);
            glued.push(part > 0);
            tokens.push(token);
        }
    }
    (texts, glued, tokens)
}

fn is_currency(word: &str) -> bool {
    ["USD", "U$S", "US$", "ARS", "AR$"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
}

/// One token, or two for `3kg` and `2x`.
fn token(text: &str, style: Style) -> Vec<(String, Token)> {
    let trimmed = text.trim_end_matches([':', ';']);
    let one = |token: Token| vec![(text.to_owned(), token)];
    if trimmed.starts_with(|c: char| c.is_ascii_digit() || c == '$')
        && let Some(token) = number(trimmed, style)
    {
        return one(token);
    }
    let lower = trimmed.trim_end_matches('.').to_lowercase();
    if matches!(lower.as_str(), "x" | "*" | "×" | "@") {
        return one(Token::Times);
    }
    if UNITS.contains(&lower.as_str()) {
        return one(Token::Unit);
    }
    if let Some(rate) = trimmed
        .strip_suffix('%')
        .and_then(|rate| amount::parse(rate.trim_matches(['(', ')']), Style::Unknown))
    {
        return one(Token::Percent(rate.value));
    }
    if let Some(rate) = trimmed
        .strip_prefix('(')
        .and_then(|t| t.trim_end_matches([')', '%']).into())
    {
        // Fiscal tickets put the VAT rate in parentheses.
        if let Some(rate) = amount::parse(rate, Style::Unknown)
            .filter(|rate| VAT_RATES.contains(&rate.value.normalize()))
        {
            return one(Token::Percent(rate.value));
        }
    }
    if let Some(token) = number(trimmed, style) {
        return one(token);
    }
    split_unit(trimmed, style).unwrap_or_else(|| one(Token::Word))
}

fn number(text: &str, style: Style) -> Option<Token> {
    let open = amount::parse(text, Style::Unknown)?;
    let preferred = open.otherwise.and_then(|_| amount::parse(text, style));
    let mut readings = vec![preferred.unwrap_or(open).value];
    for other in [Some(open.value), open.otherwise].into_iter().flatten() {
        if !readings.contains(&other) {
            readings.push(other);
        }
    }
    let decimals = text
        .trim_end_matches(['-', ')'])
        .rsplit([',', '.'])
        .next()
        .is_some_and(|last| last.len() == 2);
    let money = text.contains('$') || (decimals && text.contains([',', '.']));
    Some(Token::Number { readings, money })
}

fn split_unit(text: &str, style: Style) -> Option<Vec<(String, Token)>> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, unit) = text.split_at(at);
    let lower = unit.trim_end_matches('.').to_lowercase();
    let second = match lower.as_str() {
        "x" => Token::Times,
        other if UNITS.contains(&other) => Token::Unit,
        _ => return None,
    };
    Some(vec![
        (digits.to_owned(), number(digits, style)?),
        (unit.to_owned(), second),
    ])
}
