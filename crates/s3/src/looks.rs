//! When to look again at accepted work that waits for other work. However much waits, it takes no more than a small part
//! of the drain's time.

use std::sync::{Mutex, PoisonError};

/// Shortest pause between two looks at an entry, ms.
const SHORTEST: i64 = 200;
/// Longest pause, ms.
const LONGEST: i64 = 60_000;
/// Between looks at two entries, ms: five hundred in a second.
const BETWEEN: i64 = 2;

/// The times of looks that were given out.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<i64>);

impl Looks {
    /// When to look at one more.
    pub(crate) fn next(&self, now_ms: i64) -> i64 {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = (*last + BETWEEN).max(now_ms + SHORTEST);
        *last = earliest.min(now_ms + LONGEST);
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_looked_at_soon_and_each_of_very_many_within_a_minute() {
        let looks = Looks::default();
        assert_eq!(looks.next(1000), 1200);
        assert_eq!(looks.next(1000), 1202);
        assert_eq!(looks.next(9000), 9200, "what has passed holds nobody up");
        let many: Vec<_> = (0..100_000).map(|_| looks.next(9000)).collect();
        assert_eq!(many[99], 9400);
        assert_eq!(many.last(), Some(&69_000));
    }
}
