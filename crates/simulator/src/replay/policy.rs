//! The policy that is asked about, beside the one that was recorded.

use std::collections::BTreeSet;

use mainstay_degradation::{Input, Rules};

use super::names::Names;
use super::unplayed::{self, Unplayed};

/// Whose rules a replay's controller follows. A policy that is named is followed from the beginning to the end, whatever
/// was reloaded meanwhile.
#[derive(Debug)]
pub(super) struct Policy {
    /// The rules that the recorded indices belong to.
    recorded: Rules,
    /// The named ones; `None`: as recorded, reloads included.
    named: Option<Rules>,
    /// Once the two have differed: where recorded indices lie in the named ones.
    names: Option<Names>,
    unplayed: BTreeSet<Unplayed>,
}

impl Policy {
    pub(super) fn new(recorded: Rules, named: Option<Rules>) -> Self {
        let mut policy = Self {
            recorded,
            named,
            names: None,
            unplayed: BTreeSet::new(),
        };
        policy.compare();
        policy
    }

    pub(super) const fn recorded(&self) -> &Rules {
        &self.recorded
    }

    /// Whether the recorded rules were others than the named ones at any time so far.
    pub(super) const fn differs(&self) -> bool {
        self.names.is_some()
    }

    /// The named rules, where they differ from the recorded ones.
    pub(super) fn other(&self) -> Option<&Rules> {
        self.named.as_ref().filter(|_| self.differs())
    }

    /// What of the named rules has no effect here.
    pub(super) const fn unplayed(&self) -> &BTreeSet<Unplayed> {
        &self.unplayed
    }

    /// What the controller hears of a recorded input; `None`: nothing.
    pub(super) fn told(&self, input: Input) -> Option<Input> {
        match &self.names {
            Some(names) => names.input(input),
            None => Some(input),
        }
    }

    /// Other rules were in force from here on.
    pub(super) fn reloaded(&mut self, rules: &Rules) {
        self.recorded.clone_from(rules);
        self.compare();
    }

    fn compare(&mut self) {
        let Some(named) = &self.named else { return };
        if self.names.is_some() || !same(named, &self.recorded) {
            self.names = Some(Names::between(&self.recorded, named));
            let unplayed = unplayed::between(self.recorded.settings(), named.settings());
            self.unplayed.extend(unplayed);
        }
    }
}

/// The same but for the seed, which only spreads probes.
fn same(one: &Rules, other: &Rules) -> bool {
    let mut settings = one.settings().clone();
    settings.seed = other.settings().seed;
    settings == *other.settings()
}
