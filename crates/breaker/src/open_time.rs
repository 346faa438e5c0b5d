//! How long an open breaker stays open.

use core::time::Duration;

use crate::Settings;

/// `reset_timeout` × 2^`reopenings`, at most the maximum, then jitter by `unit` in `0.0..1.0`. A server's
/// `hint` is a floor up to the maximum; where it decides, jitter only lengthens.
pub(crate) fn open_time(
    settings: &Settings,
    reopenings: u32,
    hint: Option<Duration>,
    unit: f64,
) -> Duration {
    let longest = settings.max_open_time();
    let factor = 1_u32.checked_shl(reopenings).unwrap_or(u32::MAX);
    let base = settings.reset_timeout.saturating_mul(factor).min(longest);
    let floor = hint.unwrap_or_default().min(longest);
    if floor >= base {
        return floor.mul_f64(1.0 + settings.jitter * unit);
    }
    base.mul_f64(1.0 + settings.jitter * (2.0 * unit - 1.0))
        .max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(reopenings: u32, hint: Option<u64>, unit: f64) -> f64 {
        let settings = Settings {
            reset_timeout: Duration::from_secs(10),
            ..Settings::default()
        };
        open_time(&settings, reopenings, hint.map(Duration::from_secs), unit).as_secs_f64()
    }

    #[test]
    fn doubles_with_every_reopening_up_to_the_maximum() {
        let times = [0, 1, 2, 3, 4, 40].map(|reopenings| seconds(reopenings, None, 0.5));
        assert_eq!(times, [10.0, 20.0, 40.0, 80.0, 100.0, 100.0]);
    }

    #[test]
    fn jitter_goes_both_ways_by_a_fifth() {
        assert_eq!(seconds(0, None, 0.0), 8.0);
        assert!((seconds(0, None, 0.999_999) - 12.0).abs() < 0.001);
    }

    #[test]
    fn a_hint_is_a_floor_and_jitter_only_lengthens_it() {
        assert_eq!(seconds(0, Some(30), 0.0), 30.0);
        assert_eq!(seconds(0, Some(30), 0.5), 33.0);
        assert_eq!(seconds(0, Some(9), 0.0), 9.0);
        assert_eq!(seconds(2, Some(9), 0.0), 32.0);
    }

    #[test]
    fn a_hint_beyond_the_maximum_is_cut_to_it() {
        assert_eq!(seconds(0, Some(100_000), 0.0), 100.0);
    }
}
