//! What the last failures have in common: several at once, the same order again and again, one that fails most,
//! and where failures did most harm to others.
//!
//! A *failure* is the moment a dependency begins to fail: it goes down, or its health becomes FAILING or worse,
//! whichever comes first. It fails again only after it has been neither. An *event* is one dependency's being
//! down beginning to harm another; it counts with the highest impact it reaches.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use super::Effect;
use crate::settings::{DependencyId, PatternSettings};

/// A dependency began to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Moment,
    /// Which.
    pub dependency: DependencyId,
}

/// What the last failures and events have in common.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Patterns {
    /// Two or more that began to fail within seconds of each other and have not all recovered, in the order of
    /// their failures.
    pub together: Vec<DependencyId>,
    /// The order in which dependencies fail again and again.
    pub repeating: Option<Repeating>,
    /// Which failed most often; the one that failed last, if there are several.
    pub most_failing: Option<MostFailing>,
    /// Where failures did most harm; its impact is the sum over the last events.
    pub critical_path: Option<Effect>,
}

/// A sequence of failures that repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeating {
    /// One period, beginning with the oldest failure that it explains.
    pub sequence: Vec<DependencyId>,
    /// How often it was run through in full, at least twice.
    pub repeats: u32,
    /// The one that fails next if it goes on.
    pub next: DependencyId,
}

/// The dependency that failed most often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MostFailing {
    /// Which.
    pub dependency: DependencyId,
    /// How many of the last failures were its own.
    pub failures: u32,
}

/// The distinct dependencies that began to fail within `within` of the last failure, in the order of their
/// failures; empty unless there are at least two.
#[must_use]
pub fn simultaneous(failures: &[Failure], within: Duration) -> Vec<DependencyId> {
    let Some(last) = failures.last() else {
        return Vec::new();
    };
    let mut group: Vec<DependencyId> = Vec::new();
    for failure in failures {
        let near = last.at.saturating_since(failure.at) <= within;
        if near && !group.contains(&failure.dependency) {
            group.push(failure.dependency);
        }
    }
    if group.len() < 2 {
        group.clear();
    }
    group
}

/// The period of at most `longest` that explains most of the last failures, and was run through at least twice; the
/// shortest, if there are several: A B C A B C is A B C. Where it doesn't explain all that there are, it needs four of
/// them: two in a row, after others, say nothing.
#[must_use]
pub fn repeating(failures: &[Failure], longest: u32) -> Option<Repeating> {
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    let longest = longest.min(failures.len() / 2);
    let mut best: Option<(usize, usize)> = None;
    for period in 1..=longest {
        let explained = explained(failures, period);
        let least = if explained < failures.len() { 4 } else { 2 };
        let is_run_twice = explained >= least.max(2 * period);
        if is_run_twice && best.is_none_or(|(most, _)| explained > most) {
            best = Some((explained, period));
        }
    }
    let (explained, period) = best?;
    let failures = &failures[failures.len() - explained..];
    let sequence = failures[..period].iter().map(|failure| failure.dependency);
    Some(Repeating {
        sequence: sequence.collect(),
        repeats: u32::try_from(failures.len() / period).unwrap_or(u32::MAX),
        next: failures[failures.len() % period].dependency,
    })
}

/// How many of the last failures come again after so many of them.
fn explained(failures: &[Failure], period: usize) -> usize {
    let later = failures.iter().rev();
    let same = later
        .zip(failures.iter().rev().skip(period))
        .take_while(|(later, earlier)| later.dependency == earlier.dependency);
    (same.count() + period).min(failures.len())
}

/// Which dependency most of the failures are of; the one that failed last, if there are several.
#[must_use]
pub fn most_failing(failures: &[Failure]) -> Option<MostFailing> {
    let mut best: Option<MostFailing> = None;
    for (index, failure) in failures.iter().enumerate().rev() {
        let dependency = failure.dependency;
        let own = failures[..=index]
            .iter()
            .filter(|one| one.dependency == dependency)
            .count();
        let failures = u32::try_from(own).unwrap_or(u32::MAX);
        // Seen from the end, a dependency's first count is its whole count, and the earlier found wins a tie.
        if best.is_none_or(|best| failures > best.failures) {
            best = Some(MostFailing {
                dependency,
                failures,
            });
        }
    }
    best
}

/// The pair with the largest summed impact; the one harmed last, if there are several.
#[must_use]
pub fn critical_path(events: &[Effect]) -> Option<Effect> {
    let mut best: Option<Effect> = None;
    for (index, event) in events.iter().enumerate().rev() {
        let pair = (event.from, event.to);
        let same = events[..=index]
            .iter()
            .filter(|one| (one.from, one.to) == pair);
        let impact = same.map(|one| one.impact).sum();
        if best.is_none_or(|best| impact > best.impact) {
            best = Some(Effect { impact, ..*event });
        }
    }
    best
}

/// The last failures and events, and what they have in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PatternLog {
    failures: VecDeque<Failure>,
    events: VecDeque<Effect>,
    /// Pairs that are being harmed now.
    active: Vec<(DependencyId, DependencyId)>,
    patterns: Patterns,
}

/// What a failure has shown that was not known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shown {
    pub(crate) together: bool,
    pub(crate) repeating: bool,
}

impl PatternLog {
    pub(crate) const fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// Every dependency it names.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = DependencyId> {
        let failures = self.failures.iter().map(|one| one.dependency);
        let harmed = self.events.iter().flat_map(|one| [one.from, one.to]);
        let active = self.active.iter().flat_map(|(from, to)| [*from, *to]);
        let known = &self.patterns;
        let turns = known.repeating.iter();
        let turns = turns.flat_map(|one| one.sequence.iter().copied().chain([one.next]));
        let most = known.most_failing.iter().map(|one| one.dependency);
        let path = known
            .critical_path
            .iter()
            .flat_map(|one| [one.from, one.to]);
        let together = known.together.iter().copied();
        failures
            .chain(harmed)
            .chain(active)
            .chain(turns)
            .chain(most)
            .chain(path)
            .chain(together)
    }

    /// Dependencies that have just begun to fail, all at one moment.
    pub(crate) fn failed(
        &mut self,
        settings: &PatternSettings,
        now: Moment,
        new: &[DependencyId],
    ) -> Shown {
        for dependency in new.iter().copied() {
            keep(
                &mut self.failures,
                Failure {
                    at: now,
                    dependency,
                },
                settings.last,
            );
        }
        let failures = &*self.failures.make_contiguous();
        let together = simultaneous(failures, settings.within);
        let repeating = repeating(failures, settings.longest_period);
        let most_failing = most_failing(failures);
        let known = &self.patterns;
        let shown = Shown {
            together: together.iter().any(|one| !known.together.contains(one)),
            // A sequence that goes on may seem to begin elsewhere as the oldest failures leave; before another one
            // has run twice, there is none for a while.
            repeating: repeating.is_some() && known.repeating.is_none(),
        };
        self.patterns = Patterns {
            together,
            repeating,
            most_failing,
            critical_path: self.patterns.critical_path,
        };
        shown
    }

    /// Failures count as being together while one of them lasts.
    pub(crate) fn recovered(&mut self, failing: impl Fn(DependencyId) -> bool) {
        if !self.patterns.together.iter().any(|one| failing(*one)) {
            self.patterns.together.clear();
        }
    }

    /// What being down does to others now.
    pub(crate) fn harmed(&mut self, settings: &PatternSettings, effects: &[Effect]) {
        if effects.is_empty() && self.active.is_empty() {
            return;
        }
        for effect in effects {
            let pair = (effect.from, effect.to);
            if !self.active.contains(&pair) {
                keep(&mut self.events, *effect, settings.last);
                continue;
            }
            let same = |event: &&mut Effect| (event.from, event.to) == pair;
            if let Some(event) = self.events.iter_mut().rev().find(same) {
                event.impact = event.impact.max(effect.impact);
            }
        }
        self.active.clear();
        self.active
            .extend(effects.iter().map(|effect| (effect.from, effect.to)));
        self.patterns.critical_path = critical_path(self.events.make_contiguous());
    }

    /// Other rules: what has another index now keeps its place, and what is gone leaves.
    pub(crate) fn renumber(
        &mut self,
        settings: &PatternSettings,
        new_id: impl Fn(DependencyId) -> Option<DependencyId>,
    ) {
        let failures = core::mem::take(&mut self.failures);
        let kept = failures.into_iter().filter_map(|one| {
            let dependency = new_id(one.dependency)?;
            Some(Failure { dependency, ..one })
        });
        self.failures = kept.collect();
        let events = core::mem::take(&mut self.events);
        let kept = events.into_iter().filter_map(|one| {
            let (from, to) = (new_id(one.from)?, new_id(one.to)?);
            Some(Effect { from, to, ..one })
        });
        self.events = kept.collect();
        let both = |(from, to): &(DependencyId, DependencyId)| Some((new_id(*from)?, new_id(*to)?));
        self.active = self.active.iter().filter_map(both).collect();
        shorten(&mut self.failures, settings.last);
        shorten(&mut self.events, settings.last);
        let together = self.patterns.together.iter().filter_map(|one| new_id(*one));
        let mut together: Vec<DependencyId> = together.collect();
        if together.len() < 2 {
            together.clear();
        }
        let failures = &*self.failures.make_contiguous();
        self.patterns = Patterns {
            together,
            repeating: repeating(failures, settings.longest_period),
            most_failing: most_failing(failures),
            critical_path: critical_path(self.events.make_contiguous()),
        };
    }
}

fn keep<T>(list: &mut VecDeque<T>, one: T, last: u32) {
    list.push_back(one);
    shorten(list, last);
}

fn shorten<T>(list: &mut VecDeque<T>, last: u32) {
    while u32::try_from(list.len()).is_ok_and(|length| length > last) {
        list.pop_front();
    }
}
