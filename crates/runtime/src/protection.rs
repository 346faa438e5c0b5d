//! What keeps one dependency's outage from becoming another's.
//!
//! While X is down, those who used X come to Y instead: a program whose cache is gone reads from its database. Y's
//! in-flight limit shrinks by the share of its health that the outage may cost, and with it the part of it for calls
//! that are made in the place of another dependency ([`Context::instead_of`](crate::Context)). Those never begin while
//! they have half of the places in force, and none of them waits for a place: Y's own work comes first.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use mainstay_degradation::{DependencyId, Snapshot, Warning};

use crate::endpoint::Endpoint;
use crate::handle::Handle;
use crate::limit::{Limit, Place};

/// What protects one endpoint from the outages of other dependencies.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    /// Calls in the place of another dependency that are in flight.
    held: Arc<AtomicUsize>,
    threatened: AtomicBool,
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// One of the few that calls in the place of another dependency may have; returned when dropped.
#[derive(Debug)]
pub(crate) struct Share(Arc<AtomicUsize>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Calls in the place of another dependency among so many in all: half of them at most, so none where there is but one.
fn portion(limit: usize) -> usize {
    limit / 2
}

impl Protection {
    /// What a call in the place of another dependency needs, if it is free now: nobody waits for it.
    pub(crate) fn admit<L>(&self, limit: L) -> Option<(Share, Place<L>)>
    where
        L: Deref<Target = Limit>,
    {
        let share = self.share(&limit);
        let both = share.and_then(|share| Some((share, Limit::try_place(limit)?)));
        let count = match both {
            Some(_) => &self.admitted,
            None => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        both
    }

    /// One of the few; for a call that goes on after a pause, too.
    pub(crate) fn share(&self, limit: &Limit) -> Option<Share> {
        let most = portion(limit.size());
        let one_more = |held: usize| (held < most).then_some(held + 1);
        let taken = self
            .held
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.ok().map(|_| Share(Arc::clone(&self.held)))
    }

    pub(crate) fn is_threatened(&self) -> bool {
        self.threatened.load(Ordering::Relaxed)
    }

    pub(crate) fn set_threatened(&self, threatened: bool) {
        self.threatened.store(threatened, Ordering::Relaxed);
    }
}

/// Whether another dependency's being down weighs on this one.
pub(crate) fn is_threatened(snapshot: &Snapshot, dependency: DependencyId) -> bool {
    snapshot.warnings.iter().any(|warning| {
        let Warning::Cascade { to, .. } = warning;
        *to == dependency
    })
}

/// How many calls an endpoint takes at once, usually and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLimit {
    /// As the rules name it.
    pub endpoint: String,
    /// Its dependency.
    pub dependency: DependencyId,
    /// Calls in flight as configured.
    pub usual: usize,
    /// Calls in flight now.
    pub now: usize,
    /// Of those, calls in the place of another dependency, usually.
    pub instead_usual: usize,
    /// Of those, calls in the place of another dependency, now.
    pub instead_now: usize,
    /// Calls in the place of another dependency that got a place, since the start.
    pub instead_admitted: u64,
    /// Those that got none.
    pub instead_refused: u64,
}

impl EndpointLimit {
    fn of(endpoint: &Endpoint) -> Self {
        let protection = &endpoint.protection;
        Self {
            endpoint: endpoint.name.clone(),
            dependency: endpoint.dependency_id,
            usual: endpoint.limit.base(),
            now: endpoint.limit.size(),
            instead_usual: portion(endpoint.limit.base()),
            instead_now: portion(endpoint.limit.size()),
            instead_admitted: protection.admitted.load(Ordering::Relaxed),
            instead_refused: protection.refused.load(Ordering::Relaxed),
        }
    }
}

impl Handle {
    /// How many calls each endpoint takes at once, in the order they were declared.
    pub fn limits(&self) -> Vec<EndpointLimit> {
        let endpoints = self.inner.endpoints.iter();
        endpoints.map(|one| EndpointLimit::of(one)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask,
        End(usize),
        Own,
        EndOwn,
        Factor(u32),
        Configure(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Ask),
            3 => (0_usize..64).prop_map(Step::End),
            4 => Just(Step::Own),
            2 => Just(Step::EndOwn),
            2 => (0_u32..=100).prop_map(Step::Factor),
            1 => (1_usize..60).prop_map(Step::Configure),
        ]
    }

    proptest! {
        /// The naive model counts who is in flight, and says the rule as people say it.
        #[test]
        fn whoever_asks_in_anothers_place_gets_one_exactly_while_one_is_free_and_they_are_half_of_all_at_most(
            limit in 1_usize..60,
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let (protection, places) = (Protection::default(), Limit::new(limit));
            let (mut base, mut now) = (limit, limit);
            let (mut held, mut own, mut asked, mut refused) = (Vec::new(), Vec::new(), 0, 0);
            for step in steps {
                match step {
                    Step::Ask => {
                        asked += 1;
                        let got = protection.admit(&*places);
                        let (instead, all) = (held.len() + 1, held.len() + own.len() + 1);
                        let expected = 2 * instead <= now && all <= now;
                        prop_assert_eq!(got.is_some(), expected, "{} of {} of {}", instead, all, now);
                        refused += u64::from(got.is_none());
                        held.extend(got);
                    }
                    Step::End(which) if !held.is_empty() => drop(held.swap_remove(which % held.len())),
                    Step::End(_) => {}
                    Step::Own => own.extend(Limit::try_place(&*places)),
                    Step::EndOwn => drop(own.pop()),
                    Step::Factor(percent) => {
                        let factor = f64::from(percent) / 100.0;
                        places.set_factor(factor);
                        now = ((base as f64 * factor).round() as usize).max(1);
                    }
                    Step::Configure(other) => {
                        // It comes into force with the factor that follows.
                        (base, now) = (other, other);
                        places.set_base(other);
                        places.set_factor(1.0);
                    }
                }
            }
            prop_assert_eq!(protection.admitted.into_inner() + refused, asked);
            prop_assert_eq!(protection.refused.into_inner(), refused);
        }
    }
}
