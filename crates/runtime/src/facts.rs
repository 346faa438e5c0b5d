//! What only the runtime knows and the controller may have to tell somebody of: fallbacks and journals.

use std::sync::Arc;
use std::time::Duration;

use mainstay_breaker::Moment;
use mainstay_degradation::{self as degradation, DependencyId, Fallback, Journal};

use crate::engine::JournalFacts;
use crate::exercise::Sampler;
use crate::fallbacks::Fallbacks;

/// How often the controller is told although nothing has begun or ended: ages grow.
const EVERY: Duration = Duration::from_secs(30);
/// Nobody is told that a fallback is neglected before it could have been tried: after a start, or once exercises are on.
const CHANCE: Duration = Duration::from_secs(600);

/// Gathers facts, and says when the controller should hear them.
pub(crate) struct Facts {
    journal: Option<JournalFacts>,
    told: Option<(Moment, Signs)>,
    /// Since when fallbacks can be exercised.
    exercising: Option<Moment>,
}

/// What the controller hears of at once.
#[derive(PartialEq)]
struct Signs {
    faulted: bool,
    waiting: bool,
    in_use: Vec<bool>,
}

impl Facts {
    pub(crate) fn new(journal: Option<JournalFacts>) -> Self {
        Self {
            journal,
            told: None,
            exercising: None,
        }
    }

    /// The facts, if they should be told now. Asked once a second.
    pub(crate) fn due(
        &mut self,
        now: Moment,
        fallbacks: &[Arc<Fallbacks>],
        sampler: &Sampler,
    ) -> Option<degradation::Facts> {
        self.exercising = sampler.share().map(|_| self.exercising.unwrap_or(now));
        let journal = self
            .journal
            .as_ref()
            .map_or(Journal::default(), |ask| ask());
        let in_use: Vec<_> = fallbacks.iter().map(|one| one.in_use(now)).collect();
        let signs = Signs {
            faulted: journal.faulted,
            waiting: journal.oldest.is_some(),
            in_use: in_use.iter().map(Option::is_some).collect(),
        };
        let fresh =
            |(at, told): &(Moment, Signs)| now.saturating_since(*at) < EVERY && *told == signs;
        if self.told.as_ref().is_some_and(fresh) {
            return None;
        }
        self.told = Some((now, signs));
        let had_chance = |since| now.saturating_since(since) >= CHANCE;
        let tell = self.exercising.is_some_and(had_chance);
        let mut told = Vec::with_capacity(fallbacks.len());
        for ((id, one), in_use) in (0..).map(DependencyId).zip(fallbacks).zip(in_use) {
            one.find_overdue(now);
            let exercised = one.neglected(now).filter(|_| tell);
            if in_use.is_some() || exercised.is_some() {
                told.push(Fallback {
                    dependency: id,
                    in_use,
                    exercised,
                });
            }
        }
        Some(degradation::Facts {
            fallbacks: told,
            journal,
        })
    }
}
