//! What keeps one dependency's outage from becoming another's.
//!
//! While X is down, those who used X come to Y instead: a program whose cache is gone reads from its database. Y's
//! in-flight limit shrinks by the share of its health that the outage may cost, and with it the places for calls that
//! are made in the place of another dependency ([`Context::instead_of`](crate::Context)). Those never have more than
//! half of the places, and none of them waits for one: Y's own work comes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mainstay_degradation::{DependencyId, Snapshot, Warning};

use crate::endpoint::Endpoint;
use crate::handle::Handle;
use crate::limit::{Limit, Place};

/// What protects one endpoint from the outages of other dependencies.
#[derive(Debug)]
pub(crate) struct Protection {
    /// For calls in the place of another dependency.
    places: Arc<Limit>,
    threatened: AtomicBool,
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// Places that calls in the place of another dependency may have, of so many in all.
fn portion(limit: usize) -> usize {
    limit.div_ceil(2)
}

impl Protection {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            places: Limit::new(portion(limit)),
            threatened: AtomicBool::new(false),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// A place for a call in the place of another dependency, if one is free: nobody waits for it.
    pub(crate) fn admit(&self) -> Option<Place<Arc<Limit>>> {
        let place = self.place();
        let count = match place {
            Some(_) => &self.admitted,
            None => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        place
    }

    /// The same for a call that goes on after a pause, and counts once.
    pub(crate) fn place(&self) -> Option<Place<Arc<Limit>>> {
        Limit::try_place(Arc::clone(&self.places))
    }

    /// The endpoint's configured limit is another.
    pub(crate) fn set_base(&self, limit: usize) {
        self.places.set_base(portion(limit));
    }

    /// They shrink and grow by the same share as the endpoint's limit.
    pub(crate) fn set_factor(&self, factor: f64) {
        self.places.set_factor(factor);
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
            instead_usual: protection.places.base(),
            instead_now: protection.places.size(),
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
        Factor(u32),
        Configure(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Ask),
            3 => (0_usize..64).prop_map(Step::End),
            2 => (0_u32..=100).prop_map(Step::Factor),
            1 => (1_usize..60).prop_map(Step::Configure),
        ]
    }

    proptest! {
        /// The naive model counts who holds a place, and works the size out anew each time.
        #[test]
        fn whoever_asks_in_anothers_place_gets_one_exactly_while_fewer_hold_one_than_the_share_allows(
            limit in 1_usize..60,
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let protection = Protection::new(limit);
            let (mut limit, mut size) = (limit, limit.div_ceil(2));
            let (mut held, mut asked, mut refused) = (Vec::new(), 0, 0);
            for step in steps {
                match step {
                    Step::Ask => {
                        asked += 1;
                        let place = protection.admit();
                        prop_assert_eq!(place.is_some(), held.len() < size, "{} of {}", held.len(), size);
                        refused += u64::from(place.is_none());
                        held.extend(place);
                    }
                    Step::End(which) if !held.is_empty() => drop(held.swap_remove(which % held.len())),
                    Step::End(_) => {}
                    Step::Factor(percent) => {
                        let factor = f64::from(percent) / 100.0;
                        protection.set_factor(factor);
                        let half = limit.div_ceil(2) as f64;
                        size = ((half * factor).round() as usize).max(1);
                    }
                    Step::Configure(other) => {
                        // It comes into force with the factor that follows.
                        (limit, size) = (other, other.div_ceil(2));
                        protection.set_base(other);
                        protection.set_factor(1.0);
                    }
                }
            }
            prop_assert_eq!(protection.admitted.into_inner() + refused, asked);
            prop_assert_eq!(protection.refused.into_inner(), refused);
        }
    }
}
