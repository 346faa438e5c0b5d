//! One line of an invoice: which of its numbers are quantity, price, discount, VAT rate and total. Columns are found by
//! arithmetic (quantity × price − discount = total), since a scan rarely keeps them in place.

use rust_decimal::Decimal;

use super::amount::Style;
use super::invoice::Item;
use super::item_tokens::{Token, tokens};
use super::totals_check::{LINE_TOLERANCE, VAT_RATES, line_total};

/// Lines with more tokens, or numbers, aren't items.
const MAX_TOKENS: usize = 40;
const MAX_NUMBERS: usize = 9;

/// How to read a line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    pub style: Style,
    /// Between a table's header and its foot every line with numbers is an item; elsewhere only what adds up.
    pub in_table: bool,
    /// The header names the price before the quantity.
    pub price_first: bool,
}

/// What one line turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Item(Item),
    /// Numbers without a description: part of an item broken over two lines.
    Numbers,
    Text,
}

/// Indices into the tokens, and the readings taken.
#[derive(Clone, Debug, Default)]
struct Roles {
    quantity: Option<(usize, Decimal)>,
    price: Option<(usize, Decimal)>,
    total: Option<(usize, Decimal)>,
    discount: Option<Decimal>,
}

/// Reads one line.
pub(crate) fn read(line: &str, context: Context) -> Line {
    let words: Vec<&str> = line
        .split([' ', '\t', '\u{a0}', '|', ';'])
        .filter(|w| !w.is_empty())
        .take(MAX_TOKENS + 1)
        .collect();
    if words.len() > MAX_TOKENS {
        return Line::Text;
    }
    let (words, glued, tokens) = tokens(&words, context.style);
    let numbers: Vec<usize> = indices(&tokens, |t| matches!(t, Token::Number { .. }));
    if numbers.is_empty() || numbers.len() > MAX_NUMBERS {
        return Line::Text;
    }
    if !words
        .iter()
        .zip(&tokens)
        .any(|(word, token)| matches!(token, Token::Word) && is_proper(word))
    {
        return Line::Numbers;
    }
    let roles = by_arithmetic(&words, &tokens, &numbers, context).or_else(|| {
        context
            .in_table
            .then(|| by_position(&words, &tokens, &numbers))
            .flatten()
    });
    roles.map_or(Line::Text, |roles| {
        Line::Item(item(&words, &glued, &tokens, &roles))
    })
}

fn indices(tokens: &[Token], wanted: impl Fn(&Token) -> bool) -> Vec<usize> {
    tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| wanted(token))
        .map(|(index, _)| index)
        .collect()
}

/// A word, as against a code: two letters at least and no digit.
fn is_proper(word: &str) -> bool {
    word.chars().filter(|c| c.is_alphabetic()).count() >= 2
        && !word.contains(|c: char| c.is_ascii_digit())
}

/// The first assignment of roles that adds up.
fn by_arithmetic(
    words: &[String],
    tokens: &[Token],
    numbers: &[usize],
    context: Context,
) -> Option<Roles> {
    let first_word = tokens
        .iter()
        .zip(words)
        .position(|(t, w)| matches!(t, Token::Word) && is_proper(w))
        .unwrap_or(0);
    // A quantity before the description stands nearest to it; after the description it comes first.
    let leading = numbers.iter().rev().filter(|index| **index < first_word);
    let trailing = numbers.iter().filter(|index| **index > first_word);
    for &first in leading.chain(trailing) {
        if is_code(&words[first]) {
            continue;
        }
        for &second in numbers.iter().filter(|index| **index > first) {
            for &last in numbers.iter().filter(|index| **index > second) {
                if !context.in_table && !matches!(tokens[last], Token::Number { money: true, .. }) {
                    continue;
                }
                let (quantity, price) = if context.price_first {
                    (second, first)
                } else {
                    (first, second)
                };
                if let Some(roles) = fits(tokens, quantity, price, last) {
                    return Some(roles);
                }
            }
        }
    }
    None
}

/// Tries every reading of three numbers, without and with the discounts that stand between price and total.
fn fits(tokens: &[Token], quantity: usize, price: usize, total: usize) -> Option<Roles> {
    let discounts = discounts(tokens, price.max(quantity), total);
    for &q in readings(tokens, quantity) {
        for &p in readings(tokens, price) {
            for &t in readings(tokens, total) {
                if t.is_zero() || q.is_zero() {
                    continue;
                }
                let found = discounts.iter().find(|discount| {
                    line_total(q, p, **discount)
                        .is_some_and(|expected| (expected - t).abs() <= LINE_TOLERANCE)
                });
                if let Some(discount) = found {
                    let discount = discount.filter(|d| !d.is_zero());
                    return Some(Roles {
                        quantity: Some((quantity, q)),
                        price: Some((price, p)),
                        total: Some((total, t)),
                        discount,
                    });
                }
            }
        }
    }
    None
}

fn readings(tokens: &[Token], index: usize) -> &[Decimal] {
    match &tokens[index] {
        Token::Number { readings, .. } => readings,
        _ => &[],
    }
}

/// No discount, then every percentage, then every number up to 100 between price and total.
fn discounts(tokens: &[Token], after: usize, before: usize) -> Vec<Option<Decimal>> {
    let mut all = vec![None];
    let percents = tokens.iter().filter_map(|token| {
        if let Token::Percent(rate) = token {
            Some(*rate)
        } else {
            None
        }
    });
    let between = tokens[after + 1..before]
        .iter()
        .filter_map(|token| match token {
            Token::Number { readings, .. } => Some(readings[0]),
            _ => None,
        });
    all.extend(
        percents
            .chain(between)
            .filter(|rate| *rate > Decimal::ZERO && *rate <= Decimal::ONE_HUNDRED)
            .map(Some),
    );
    all
}

/// Nothing adds up, but the line stands in a table: quantity, price and total by their places.
fn by_position(words: &[String], tokens: &[Token], numbers: &[usize]) -> Option<Roles> {
    let proper = indices_of_words(words, tokens);
    let (first_word, last_word) = (*proper.first()?, *proper.last()?);
    let leading = numbers
        .iter()
        .rev()
        .find(|index| **index < first_word && !is_code(&words[**index]));
    let trailing: Vec<usize> = numbers
        .iter()
        .copied()
        .filter(|index| *index > last_word)
        .collect();
    let value = |index: usize| readings(tokens, index).first().map(|value| (index, *value));
    let (quantity, rest) = match (leading, trailing.as_slice()) {
        (_, []) => return None,
        (Some(quantity), rest) => (value(*quantity), rest),
        (None, [quantity, rest @ ..]) if rest.len() >= 2 => (value(*quantity), rest),
        (None, rest) => (None, rest),
    };
    let (total, before) = rest.split_last()?;
    let is_money = |index: &usize| matches!(tokens[*index], Token::Number { money: true, .. });
    // A lone number without cents is part of a description that goes on below: `Aceite 1,5 L`.
    if before.is_empty() && !is_money(total) {
        return None;
    }
    // The total without VAT stands before the rate, the one with VAT after it.
    let percent = indices(
        tokens,
        |token| matches!(token, Token::Percent(rate) if VAT_RATES.contains(&rate.normalize())),
    );
    let net = percent.first().and_then(|percent| {
        before
            .iter()
            .rev()
            .find(|index| **index < *percent)
            .filter(|_| before.len() > 1)
    });
    let price = before.first().and_then(|index| value(*index));
    Some(Roles {
        quantity,
        price,
        total: value(*net.unwrap_or(total)),
        discount: None,
    })
}

fn indices_of_words(words: &[String], tokens: &[Token]) -> Vec<usize> {
    words
        .iter()
        .zip(tokens)
        .enumerate()
        .filter(|(_, (w, t))| matches!(t, Token::Word) && is_proper(w))
        .map(|(i, _)| i)
        .collect()
}

/// Leading zeros, or six digits without a separator: an article's code, never a quantity.
fn is_code(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits && (text.len() >= 6 || (text.len() > 1 && text.starts_with('0')))
}

fn item(words: &[String], glued: &[bool], tokens: &[Token], roles: &Roles) -> Item {
    let index = |role: Option<(usize, Decimal)>| role.map(|(index, _)| index);
    let taken = [
        index(roles.quantity),
        index(roles.price),
        index(roles.total),
    ];
    let unit = index(roles.quantity)
        .map(|index| index + 1)
        .filter(|i| matches!(tokens.get(*i), Some(Token::Unit)))
        // In `2 cajas de clavos` the boxes are what is sold.
        .filter(|i| {
            words
                .get(i + 1)
                .is_none_or(|next| !next.eq_ignore_ascii_case("de"))
        });
    let proper = indices_of_words(words, tokens);
    let first_word = proper.first().copied().unwrap_or(0);
    let last_word = proper.last().copied().unwrap_or(0);
    let is_free = |i: usize| {
        !taken.contains(&Some(i)) && unit != Some(i) && !matches!(tokens[i], Token::Percent(_))
    };
    // What follows the last word up to the first amount belongs to it: `cola 2,25 l`.
    let end = (last_word..words.len())
        .find(|i| !is_free(*i))
        .unwrap_or(words.len());
    let is_times = |i: usize| matches!(tokens[i], Token::Times);
    let rest: Vec<usize> = (0..words.len())
        .filter(|i| is_free(*i) && (*i < end || matches!(tokens[*i], Token::Word)))
        // `x 1kg` within a description is part of it, `2 x 450,00` is not.
        .filter(|i| {
            !is_times(*i) || (*i > first_word && i + 1 < end && is_free(i + 1) && !is_times(i + 1))
        })
        .collect();
    let has_code = rest.len() > 1 && looks_like_code(&words[rest[0]], &tokens[rest[0]]);
    let (code, description) = rest.split_at(usize::from(has_code));
    let vat_rate = tokens.iter().rev().find_map(|token| match token {
        Token::Percent(rate)
            if VAT_RATES.contains(&rate.normalize()) && roles.discount != Some(*rate) =>
        {
            Some(rate.normalize())
        }
        _ => None,
    });
    Item {
        code: code.first().map(|i| words[*i].clone()),
        description: joined(description, words, glued),
        quantity: roles.quantity.map(|(_, value)| value),
        unit: unit.map(|i| words[i].trim_end_matches('.').to_owned()),
        unit_price: roles.price.map(|(_, value)| value),
        discount_percent: roles.discount,
        vat_rate,
        total: roles.total.map(|(_, value)| value),
    }
}

/// The words with the spaces that stood between them.
fn joined(indices: &[usize], words: &[String], glued: &[bool]) -> String {
    let mut text = String::new();
    for (at, i) in indices.iter().enumerate() {
        let together = glued[*i] && at > 0 && indices[at - 1] + 1 == *i;
        if !text.is_empty() && !together {
            text.push(' ');
        }
        text.push_str(&words[*i]);
    }
    text
}

fn looks_like_code(word: &str, token: &Token) -> bool {
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    has_digit
        && (matches!(token, Token::Word) || matches!(token, Token::Number { money: false, .. }))
}
