//! Spacing of a scanned line: words pulled apart, wide gaps, labels stuck to their values, numbers with gaps inside.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::cuit::Cuit;

/// Fewer single letters in a row may be initials or columns.
const MIN_LETTERS: usize = 4;

/// Fewer single digits in a row may be a column of quantities.
const MIN_DIGITS: usize = 8;

/// One line without its line break.
pub(crate) fn normalise(line: &str) -> String {
    if line.is_empty() {
        return String::new();
    }
    let joined = join_spaced_letters(line);
    let single = joined.split_whitespace().collect::<Vec<_>>().join(" ");
    close_numbers(&separate_labels(&single))
}

/// `F A C T U R A   A` becomes `FACTURA A`: single characters one space apart are one word.
fn join_spaced_letters(line: &str) -> String {
    let tokens: Vec<(usize, &str)> = words_with_gaps(line);
    let mut joined = String::with_capacity(line.len());
    let mut index = 0;
    while index < tokens.len() {
        let (gap, word) = tokens[index];
        let run = run_length(&tokens[index..]);
        if index > 0 {
            joined.push_str(&" ".repeat(gap.clamp(1, 2)));
        }
        joined.push_str(word);
        for (_, word) in &tokens[index + 1..index + run] {
            joined.push_str(word);
        }
        index += run;
    }
    joined
}

/// Words with the number of white characters before each.
fn words_with_gaps(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut gap = 0;
    for piece in line.split(char::is_whitespace) {
        if piece.is_empty() {
            gap += 1;
        } else {
            words.push((gap + 1, piece));
            gap = 0;
        }
    }
    words
}

/// How many tokens from the first on make one word pulled apart; 1 if none.
fn run_length(tokens: &[(usize, &str)]) -> usize {
    let single = |word: &str, is: fn(&char) -> bool| {
        let mut chars = word.chars();
        chars.next().is_some_and(|c| is(&c)) && chars.next().is_none()
    };
    let run = |is: fn(&char) -> bool| {
        let more = tokens
            .iter()
            .skip(1)
            .take_while(|(gap, word)| *gap == 1 && single(word, is))
            .count();
        tokens
            .first()
            .filter(|(_, word)| single(word, is))
            .map_or(0, |_| more + 1)
    };
    let (letters, digits) = (run(|c| c.is_uppercase()), run(char::is_ascii_digit));
    if letters >= MIN_LETTERS {
        letters
    } else if digits >= MIN_DIGITS {
        digits
    } else {
        1
    }
}

/// `CUIT:30-…` and `Total$5` get their space.
fn separate_labels(line: &str) -> String {
    static COLON: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?i)\b(c\.?u\.?i\.?[tl]\.?|c\.?a\.?e\.?a?|cai|fecha|vto\.?|vencimiento|emisi[oó]n|total|subtotal|neto|gravado|iva|nro\.?|n[°º]|",
            r"n[uú]mero|importe|precio|cantidad|cliente|se[nñ]or(?:es)?|domicilio|raz[oó]n social|localidad|condici[oó]n|tel\.?|brutos|iibb):([^\s:])",
        ))
        .expect("a constant pattern")
    });
    static BARE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)\b(cuit|cuil|caea|cae|cai|fecha|vto\.|vencimiento|total|subtotal|neto|gravado|iva|nro\.?|n[°º]|importe)(\$|[0-9])")
            .expect("a constant pattern")
    });
    let line = COLON.replace_all(line, "$1: $2");
    BARE.replace_all(&line, "$1 $2").into_owned()
}

/// `$ 45 . 000,00` and `$ 18 500,00`: after a currency sign, groups of three digits up to the cents are one amount.
pub(crate) fn close_amounts(line: &str) -> String {
    static GROUPS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(\$ ?)([0-9]{1,3}(?: ?\. ?[0-9]{3}| [0-9]{3})* ?,[0-9]{2})($|[^0-9.,])")
            .expect("a constant pattern")
    });
    let close = |captures: &Captures<'_>| {
        format!(
            "{}{}{}",
            &captures[1],
            captures[2].replace(' ', ""),
            &captures[3]
        )
    };
    GROUPS.replace_all(line, close).into_owned()
}

/// `1.234 ,56`, `12 / 03 / 2024`, `0001 - 00001234` and, when the check digit holds, `30 - 71234567 - 1`.
fn close_numbers(line: &str) -> String {
    static COMMA: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"([0-9]) (,[0-9]{2})($|[^0-9.,])").expect("a constant pattern")
    });
    static DATE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b([0-9]{1,2}) ?/ ?([0-9]{1,2}) ?/ ?([0-9]{4})\b").expect("a constant pattern")
    });
    static CUIT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b([0-9]{2}) ?- ?([0-9]{8}) ?- ?([0-9])\b").expect("a constant pattern")
    });
    static VOUCHER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b([0-9]{4,5}) ?- ?([0-9]{8})\b").expect("a constant pattern")
    });
    let line = close_amounts(line);
    let line = COMMA.replace_all(&line, "$1$2$3");
    let line = DATE.replace_all(&line, "$1/$2/$3");
    let line = CUIT.replace_all(&line, |captures: &Captures<'_>| {
        let closed = format!("{}-{}-{}", &captures[1], &captures[2], &captures[3]);
        if Cuit::parse(&closed).is_ok() {
            closed
        } else {
            captures[0].to_owned()
        }
    });
    VOUCHER.replace_all(&line, "$1-$2").into_owned()
}
