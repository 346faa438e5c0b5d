//! What the controller keeps of one dependency, and how it makes that of its endpoints.

use core::time::Duration;

use mainstay_breaker::{Moment, State};
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::outage::{Earlier, Present};
use crate::health::{Evidence, Histogram, MachineHistory, TrendLine, score};
use crate::recovery::Recoveries;
use crate::settings::{EndpointRule, HealthRules};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) known: bool,
    pub(super) score: f64,
    pub(super) evidence: Option<Evidence>,
    pub(super) history: MachineHistory,
    pub(super) trend: TrendLine,
    pub(super) down_since: Option<Moment>,
    /// The outage it is in, with `down_since`.
    pub(super) outage: Option<Present>,
    /// Since when it has been seen working without an outage.
    pub(super) works_since: Option<Moment>,
    /// How an earlier process saw it last; `None` as soon as this one has seen it.
    pub(super) earlier: Option<Earlier>,
    pub(super) recoveries: Option<Recoveries>,
    /// It is down, or its health is FAILING or worse.
    pub(super) failing: bool,
    /// Its latency alert is raised.
    pub(super) slow: bool,
}

/// One dependency's endpoints with their rules.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) rules: &'a [EndpointRule],
    pub(super) endpoints: &'a [Endpoint],
}

impl<'a> Group<'a> {
    /// Those that can do the main work.
    pub(super) fn main(self) -> impl Iterator<Item = &'a Endpoint> {
        let pairs = self.rules.iter().zip(self.endpoints);
        pairs
            .filter(|(rule, _)| rule.main_work)
            .map(|(_, endpoint)| endpoint)
    }

    pub(super) fn known(self) -> bool {
        self.main().any(|endpoint| endpoint.known)
    }

    /// No endpoint can do the main work.
    pub(super) fn down(self) -> bool {
        self.known() && !self.main().any(Endpoint::is_usable)
    }

    /// The best of those that can do the main work: closed before half-open before open.
    pub(super) fn best(self) -> Option<&'a Endpoint> {
        let rank = |endpoint: &&Endpoint| match endpoint.view.acting() {
            State::Closed => u8::from(endpoint.never_answered()),
            State::HalfOpen => 2,
            State::Open => 3,
        };
        self.main().min_by_key(rank)
    }

    /// What the score is made of. Endpoints whose breakers reject say nothing about the calls that siblings
    /// serve: they count only by their probes.
    pub(super) fn evidence(self, now: Moment) -> Evidence {
        let down = !self.main().any(Endpoint::is_usable);
        let heard = || {
            self.main()
                .filter(move |endpoint| down || endpoint.is_usable())
        };
        let (good, bad) = heard().fold((0, 0), |(good, bad), endpoint| {
            let (more_good, more_bad) = endpoint.window.verdicts();
            (good + more_good, bad + more_bad)
        });
        let last_failure = heard()
            .filter_map(|endpoint| endpoint.window.last_failure())
            .max();
        Evidence {
            success_rate: rate(good, bad),
            p95: p95(heard()),
            breaker: self.best().map_or(State::Closed, |best| best.view.acting()),
            availability: self.availability(),
            last_failure_age: last_failure.map(|at| now.saturating_since(at)),
        }
    }

    /// Calls and probes of the present window.
    pub(super) fn heard(self) -> u64 {
        let both = |(good, bad): (u64, u64)| good + bad;
        self.main().map(|one| both(one.window.verdicts())).sum()
    }

    /// Each endpoint's share of passed probes counts alike, however often it is probed.
    fn availability(self) -> f64 {
        let shares = self
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint.window.availability());
        let (sum, count) =
            shares.fold((0.0, 0_u32), |(sum, count), share| (sum + share, count + 1));
        if count == 0 {
            100.0
        } else {
            sum / f64::from(count)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn rate(good: u64, bad: u64) -> f64 {
    if good + bad == 0 {
        1.0
    } else {
        good as f64 / (good + bad) as f64
    }
}

fn p95<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Option<Duration> {
    let mut endpoints = endpoints.map(|endpoint| endpoint.window.latency());
    let first = endpoints.next()?;
    let Some(second) = endpoints.next() else {
        return first.quantile(0.95);
    };
    let mut merged: Histogram = first.clone();
    merged.merge(second);
    endpoints.for_each(|more| merged.merge(more));
    merged.quantile(0.95)
}

impl Unit {
    pub(super) fn judge(&mut self, rules: &HealthRules, group: Group<'_>, now: Moment) {
        self.known = group.known();
        let evidence = group.evidence(now);
        self.score = if self.known {
            score(rules, &evidence)
        } else {
            0.0
        };
        self.evidence = Some(evidence);
    }
}
