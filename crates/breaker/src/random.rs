//! SplitMix64: small, seeded, the same on every machine.
//!
//! Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014).

/// The next state and the number it gives.
pub(crate) const fn next(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (state, mixed ^ (mixed >> 31))
}

/// A number in `0.0..1.0` from the upper 53 bits, which is what an `f64` holds exactly.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub(crate) fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_numbers() {
        let (state, first) = next(1_234_567);
        let (_, second) = next(state);
        assert_eq!(first, 6_457_827_717_110_365_317);
        assert_eq!(second, 3_203_168_211_198_807_973);
    }

    #[test]
    fn unit_stays_below_one() {
        assert_eq!(unit(0), 0.0);
        assert!(unit(u64::MAX) < 1.0);
    }
}
