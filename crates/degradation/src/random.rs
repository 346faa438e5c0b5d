//! Seeded randomness for jitter: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).

use core::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SplitMix64(u64);

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

    /// `base`, longer or shorter by at most this share.
    pub(crate) fn jitter(&mut self, base: Duration, share: f64) -> Duration {
        if share <= 0.0 {
            return base;
        }
        base.mul_f64(1.0 + share * (2.0 * self.unit() - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_share_and_uses_it() {
        let mut random = SplitMix64::new(7);
        let base = Duration::from_secs(1);
        let mut drawn: alloc::vec::Vec<_> = (0..1000).map(|_| random.jitter(base, 0.2)).collect();
        drawn.sort();
        assert!(drawn[0] >= Duration::from_millis(800) && drawn[0] < Duration::from_millis(810));
        assert!(
            drawn[999] <= Duration::from_millis(1200) && drawn[999] > Duration::from_millis(1190)
        );
    }
}
