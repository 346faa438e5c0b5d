//! HEALTHY, DEGRADED, FAILING, CRITICAL: the score with hysteresis, and what it did before.

use alloc::collections::VecDeque;
use core::fmt;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use crate::settings::HealthRules;

/// How a component is, best first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Machine {
    /// As it should be.
    #[default]
    Healthy,
    /// Not as it should be.
    Degraded,
    /// Much of its work fails.
    Failing,
    /// Hardly any work is done.
    Critical,
}

impl Machine {
    const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Failing, Self::Critical];

    /// The word for replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Degraded => "DEGRADED",
            Self::Failing => "FAILING",
            Self::Critical => "CRITICAL",
        }
    }

    /// Where this score leads from here.
    #[must_use]
    pub fn next(self, rules: &HealthRules, score: f64) -> Self {
        let mut state = self as usize;
        while state < 3 && score < rules.worse_below[state] {
            state += 1;
        }
        while state > 0 && score >= rules.better_from[state - 1] {
            state -= 1;
        }
        Self::ALL[state]
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// One change of a component's state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MachineChange {
    /// When.
    pub at: Moment,
    /// The state before.
    pub from: Machine,
    /// The state after.
    pub to: Machine,
    /// The score that led there.
    pub score: f64,
}

/// Changes that are kept.
const KEPT: usize = 100;

/// A component's state and its last hundred changes, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MachineHistory {
    state: Machine,
    changes: VecDeque<MachineChange>,
}

impl MachineHistory {
    /// The present state.
    #[must_use]
    pub const fn state(&self) -> Machine {
        self.state
    }

    /// The last hundred changes, oldest first.
    pub fn changes(&self) -> impl Iterator<Item = &MachineChange> {
        self.changes.iter()
    }

    /// Follows the score.
    pub fn follow(
        &mut self,
        now: Moment,
        rules: &HealthRules,
        score: f64,
    ) -> Option<MachineChange> {
        let to = self.state.next(rules, score);
        if to == self.state {
            return None;
        }
        let change = MachineChange {
            at: now,
            from: self.state,
            to,
            score,
        };
        self.state = to;
        if self.changes.len() == KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn it_falls_below_75_60_40_and_rises_at_80_65_45() {
        let rules = HealthRules::with_p95(Duration::from_secs(1));
        let cases = [
            (Machine::Healthy, 75.0, Machine::Healthy),
            (Machine::Healthy, 74.9, Machine::Degraded),
            (Machine::Healthy, 59.9, Machine::Failing),
            (Machine::Healthy, 0.0, Machine::Critical),
            (Machine::Degraded, 79.9, Machine::Degraded),
            (Machine::Degraded, 80.0, Machine::Healthy),
            (Machine::Failing, 64.9, Machine::Failing),
            (Machine::Failing, 65.0, Machine::Degraded),
            (Machine::Critical, 44.9, Machine::Critical),
            (Machine::Critical, 45.0, Machine::Failing),
            (Machine::Critical, 100.0, Machine::Healthy),
        ];
        for (from, score, to) in cases {
            assert_eq!(from.next(&rules, score), to, "{from} at {score}");
        }
    }

    #[test]
    fn the_last_hundred_changes_are_kept() {
        let rules = HealthRules::with_p95(Duration::from_secs(1));
        let mut history = MachineHistory::default();
        for turn in 0..150_u64 {
            let score = if turn % 2 == 0 { 0.0 } else { 100.0 };
            history
                .follow(Moment::from_nanos(turn), &rules, score)
                .unwrap();
        }
        let moments: alloc::vec::Vec<_> = history
            .changes()
            .map(|change| change.at.as_nanos())
            .collect();
        assert_eq!(moments, (50..150).collect::<alloc::vec::Vec<_>>());
    }
}
