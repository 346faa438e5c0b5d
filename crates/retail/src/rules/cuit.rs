//! CUIT and CUIL: eleven digits, the last of them a check digit modulo 11.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// Weights of the first ten digits.
const WEIGHTS: [u32; 10] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];

/// The first two digits in use: people, companies, and those abroad.
const TYPES: [&str; 12] = [
    "20", "23", "24", "25", "26", "27", "30", "33", "34", "50", "51", "55",
];

/// A CUIT or CUIL whose check digit holds. Displayed as `20-12345678-6`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cuit(String);

/// Why a text is no CUIT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CuitError {
    /// Not eleven digits, with hyphens, points or spaces between them or not.
    #[error("a CUIT has eleven digits")]
    Format,
    /// The check digit should be another.
    #[error("the check digit should be {expected}")]
    CheckDigit {
        /// The digit that would hold.
        expected: u8,
    },
}

impl Cuit {
    /// Reads `20-12345678-6`, `20123456786`, `20 12345678 6` or `20-12.345.678-6`.
    ///
    /// # Errors
    /// When it hasn't eleven digits or the check digit doesn't hold.
    pub fn parse(text: &str) -> Result<Self, CuitError> {
        let digits = digits(text).ok_or(CuitError::Format)?;
        let (first, last) = digits.split_at(10);
        let expected = check_digit(first).ok_or(CuitError::Format)?;
        if last.parse() == Ok(expected) {
            Ok(Self(digits))
        } else {
            Err(CuitError::CheckDigit { expected })
        }
    }

    /// Whether the first two digits are of a kind in use.
    pub fn is_known_type(&self) -> bool {
        TYPES.contains(&&self.0[..2])
    }
}

impl fmt::Display for Cuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", &self.0[..2], &self.0[2..10], &self.0[10..])
    }
}

/// The check digit of the first ten digits, or `None` if `first` isn't ten digits.
///
/// 11 − (Σ digit × weight mod 11), where 11 becomes 0 and 10 becomes 9.
pub fn check_digit(first: &str) -> Option<u8> {
    if first.len() != 10 || !first.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let sum: u32 = first
        .bytes()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    Some(match 11 - sum % 11 {
        11 => 0,
        10 => 9,
        digit => u8::try_from(digit).ok()?,
    })
}

/// The eleven digits of `text`, if that is all it holds besides separators.
fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    if text
        .chars()
        .any(|c| !c.is_ascii_digit() && !matches!(c, '-' | ' ' | '.' | '/' | '–'))
    {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (digits.len() == 11).then_some(digits)
}

/// Something in a text that has the form of a CUIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Byte offset in the text.
    pub start: usize,
    /// As it is written.
    pub text: String,
}

/// Finds what has the form of a CUIT and doesn't touch other digits.
pub(crate) fn candidates(line: &str) -> Vec<Candidate> {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"[0-9]{2} ?[-–/]? ?[0-9]{2}\.?[0-9]{3}\.?[0-9]{3} ?[-–/]? ?[0-9]")
            .expect("a constant pattern")
    });
    let alone = |start: usize, end: usize| {
        let joined = |c: char| c.is_ascii_alphanumeric() || matches!(c, ',' | '-');
        !line[..start].ends_with(joined) && !line[end..].starts_with(joined)
    };
    FORM.find_iter(line)
        .filter(|found| alone(found.start(), found.end()))
        .map(|found| Candidate {
            start: found.start(),
            text: found.as_str().to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_special_remainders_give_nine_and_zero() {
        // Σ mod 11 = 1 gives 10, hence 9; Σ mod 11 = 0 gives 11, hence 0.
        assert_eq!(check_digit("3000000010"), sum_mod("3000000010"));
        for n in 0..2000 {
            let first = format!("30{n:08}");
            assert_eq!(check_digit(&first), sum_mod(&first), "{first}");
        }
    }

    /// The same rule told differently: the digit makes the weighted sum, with weight 1 for itself, a multiple of 11.
    fn sum_mod(first: &str) -> Option<u8> {
        let sum: u32 = first
            .bytes()
            .zip(WEIGHTS)
            .map(|(d, w)| u32::from(d - b'0') * w)
            .sum();
        let holds = (0..10).find(|digit| (sum + u32::from(*digit)).is_multiple_of(11));
        Some(holds.unwrap_or(9))
    }

    #[test]
    fn separators_may_be_hyphens_spaces_points_or_nothing() {
        for text in [
            "20-12345678-6",
            "20123456786",
            "20 12345678 6",
            "20-12.345.678-6",
            " 20-12345678-6 ",
        ] {
            assert_eq!(
                Cuit::parse(text).map(|c| c.to_string()),
                Ok("20-12345678-6".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_check_digit_says_which_would_hold() {
        assert_eq!(
            Cuit::parse("20-12345678-5"),
            Err(CuitError::CheckDigit { expected: 6 })
        );
        assert_eq!(Cuit::parse("20-1234567-6"), Err(CuitError::Format));
        assert_eq!(Cuit::parse("2O-12345678-6"), Err(CuitError::Format));
    }

    #[test]
    fn longer_numbers_hold_no_cuit() {
        assert!(candidates("CAE 74123456789012").is_empty());
        assert!(candidates("2012345678612").is_empty());
        assert_eq!(candidates("CUIT: 30 - 71234567 - 1 IIBB").len(), 1);
    }
}
