//! Seeded randomness for jitter: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).

use core::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SplitMix64(u64);

/// The half of a jitter that is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lean {
    Earlier,
    Neither,
    Later,
}

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0.0..1.0`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `base`, longer or shorter by at most this share, or one of the two only.
    pub(crate) fn leaning(&mut self, base: Duration, share: f64, lean: Lean) -> Duration {
        if share <= 0.0 {
            return base;
        }
        let drawn = self.unit();
        let part = match lean {
            Lean::Earlier => -drawn,
            Lean::Neither => 2.0 * drawn - 1.0,
            Lean::Later => drawn,
        };
        base.mul_f64(1.0 + share * part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_numbers() {
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn jitter_stays_within_its_share_or_its_half_of_it_and_uses_it() {
        let halves = [
            (Lean::Neither, 800, 1200),
            (Lean::Earlier, 800, 1000),
            (Lean::Later, 1000, 1200),
        ];
        let (base, ms) = (Duration::from_secs(1), Duration::from_millis);
        for (lean, low, high) in halves {
            let mut random = SplitMix64::new(7);
            let drawn = (0..1000).map(|_| random.leaning(base, 0.2, lean));
            let mut drawn: alloc::vec::Vec<_> = drawn.collect();
            drawn.sort();
            assert!(drawn[0] >= ms(low) && drawn[0] < ms(low + 10), "{lean:?}");
            assert!(
                drawn[999] <= ms(high) && drawn[999] > ms(high - 10),
                "{lean:?}"
            );
        }
        assert_eq!(SplitMix64::new(7).leaning(base, 0.0, Lean::Later), base);
    }
}
