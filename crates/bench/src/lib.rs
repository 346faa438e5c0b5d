//! Measurements of Mainstay against named peers, in the same run: `make bench` runs them all.
//!
//! - `breaker`: a call through a closed breaker, beside `failsafe` and `recloser`;
//! - `controller`: one tick with 4 and with 1,000 dependencies;
//! - `guard`: a guarded call, alone and around a Redis GET, beside the bare driver;
//! - `journal`: uploads acknowledged by the journal from 1 and 64 clients, beside the disk's own fsync rate;
//! - `fallback`: an HTTP request answered from memory while Redis is down, beside a bare axum handler, and the
//!   server's memory when idle.

/// The value below which `share` of the sorted values lie.
pub fn quantile(sorted: &[std::time::Duration], share: f64) -> std::time::Duration {
    let at = ((sorted.len() as f64) * share).ceil() as usize;
    sorted
        .get(at.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&sorted, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&sorted, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
