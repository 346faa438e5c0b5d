//! NUMERIC's binary form as exact text, digit for digit as PostgreSQL prints it.

use std::fmt::Write;

use super::values::{Malformed, take_i16};

const NEGATIVE: i16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Reads: count of base-10000 digits, weight of the first, sign, digits after the point, then the digits.
pub(super) fn decode(raw: &[u8]) -> Result<String, Malformed> {
    let mut raw = raw;
    let count = take_i16(&mut raw)?;
    let weight = take_i16(&mut raw)?;
    let sign = take_i16(&mut raw)?;
    let scale = usize::try_from(take_i16(&mut raw)?)?;
    match sign.cast_unsigned() {
        NAN => return Ok("NaN".to_owned()),
        INFINITY => return Ok("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Ok("-Infinity".to_owned()),
        _ => {}
    }
    let digits: Result<Vec<i16>, _> = (0..count).map(|_| take_i16(&mut raw)).collect();
    Ok(text(&digits?, i32::from(weight), sign == NEGATIVE, scale))
}

fn text(digits: &[i16], weight: i32, negative: bool, scale: usize) -> String {
    // The base-10000 digit that stands for 10000^power.
    let digit = |power: i32| {
        let index = usize::try_from(weight - power).ok();
        index
            .and_then(|index| digits.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::from(if negative { "-" } else { "" });
    let mut write = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("a String takes any text")
    };
    write(format_args!(
        "{}",
        if weight < 0 { 0 } else { digit(weight) }
    ));
    for power in (0..weight).rev() {
        write(format_args!("{:04}", digit(power)));
    }
    if scale > 0 {
        write(format_args!("."));
    }
    let mut power = -1;
    let mut left = scale;
    while left > 0 {
        let four = format!("{:04}", digit(power));
        let shown = left.min(4);
        write(format_args!("{}", &four[..shown]));
        (left, power) = (left - shown, power - 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_where_their_weight_says() {
        for (digits, weight, negative, scale, expected) in [
            (&[][..], 0, false, 0, "0"),
            (&[], 0, false, 2, "0.00"),
            (&[12, 3000], 0, false, 2, "12.30"),
            (&[1, 2345], 1, true, 0, "-12345"),
            (&[1], 2, false, 0, "100000000"),
            (&[5], -2, false, 8, "0.00000005"),
            (&[1234, 5600], -1, true, 6, "-0.123456"),
        ] {
            assert_eq!(text(digits, weight, negative, scale), expected);
        }
    }
}
