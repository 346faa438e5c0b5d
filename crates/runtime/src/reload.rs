//! New settings for a running engine: checked as a whole first, then in force at once.
//!
//! Breakers keep their state, counts and windows, endpoints their figures, the controller its history, operators what
//! they have set. What is connected stays what it is: an endpoint that comes or goes needs a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_degradation::recording::Bounds;
use mainstay_degradation::{Input, Presence, Rules};

use crate::differences;
use crate::endpoint::Endpoint;
use crate::engine::EndpointSpec;
use crate::error::{Error, ErrorKind};
use crate::monitor::Monitor;
use crate::recorder::Deployed;

/// Everything an engine can be told anew.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// What the controller follows, with the same dependencies, endpoints and features as before.
    pub rules: Rules,
    /// One for each endpoint, in any order.
    pub endpoints: Vec<EndpointSpec>,
    /// Share of reads that exercise a fallback; `None`: none.
    pub exercise_share: Option<f64>,
}

/// A setting that has another value now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Its key, e.g. `breakers.redis.fail_max`.
    pub key: String,
    /// The value before, as words.
    pub old: String,
    /// The value in force.
    pub new: String,
}

impl Monitor {
    /// Takes new settings, or refuses them and changes nothing. The controller hears of them next.
    pub(crate) fn reload(&mut self, settings: EngineSettings) -> Result<Vec<Change>, Error> {
        let EngineSettings {
            rules,
            endpoints,
            exercise_share,
        } = settings;
        let before = self.controller.rules();
        same_things(before, &rules)?;
        let specs = self.in_order(&rules, endpoints)?;
        let mut changes = differences::of_rules(before.settings(), rules.settings());
        for (endpoint, spec) in self.inner.endpoints.iter().zip(&specs) {
            let found = differences::of_endpoint(endpoint, spec);
            // Endpoints of one dependency share their settings.
            changes.extend(
                found
                    .into_iter()
                    .filter(|one| !changes.contains(one))
                    .collect::<Vec<_>>(),
            );
        }
        let share = self.inner.sampler.share();
        changes.extend(differences::of_share(share, exercise_share));
        if changes.is_empty() {
            return Ok(changes);
        }
        self.put_into_force(&rules, specs);
        self.inner.sampler.set(exercise_share);
        self.inner.rules.store(Arc::new(rules.clone()));
        self.pending.push_back(Input::Settings(Box::new(rules)));
        let deployed = self.deployed();
        if let Some(recorder) = &mut self.recorder {
            recorder.deployed(&deployed);
        }
        Ok(changes)
    }

    /// The specs in the order of the endpoints, each of them sensible.
    fn in_order(
        &self,
        rules: &Rules,
        mut given: Vec<EndpointSpec>,
    ) -> Result<Vec<EndpointSpec>, Error> {
        let mut specs = Vec::with_capacity(given.len());
        for endpoint in &self.inner.endpoints {
            let at = given.iter().position(|spec| spec.name == endpoint.name);
            let spec = at.map(|at| given.swap_remove(at).leased());
            let spec = spec.ok_or_else(|| refused(&endpoint.name, "has no settings".to_owned()))?;
            spec.validate()?;
            let probed = rules.endpoint(endpoint.id).probed;
            if probed && self.probers[endpoint.id.index()].is_none() {
                return Err(refused(
                    &spec.name,
                    "is to be probed, and has no probe".to_owned(),
                ));
            }
            specs.push(spec);
        }
        match given.first() {
            Some(spec) => Err(refused(&spec.name, NEW.to_owned())),
            None => Ok(specs),
        }
    }

    /// How the endpoints are set up.
    pub(crate) fn deployed(&self) -> Deployed {
        let endpoints = self.inner.endpoints.iter();
        let bounds = endpoints.clone().map(|one| Bounds {
            limit: u32::try_from(one.limit.base()).unwrap_or(u32::MAX),
            deadline: one.call_deadline(),
        });
        Deployed {
            bounds: bounds.collect(),
            breakers: endpoints.map(|one| one.breaker.settings()).collect(),
        }
    }

    fn put_into_force(&mut self, rules: &Rules, specs: Vec<EndpointSpec>) {
        let now = self.inner.shared.clock.now();
        for (endpoint, spec) in self.inner.endpoints.iter().zip(specs) {
            endpoint.take(&spec, now);
            let rule = rules.endpoint(endpoint.id);
            let probes = &rules.dependency(rule.dependency).probes;
            endpoint.trials.pace(&probes.failing);
            if let Some(prober) = &mut self.probers[endpoint.id.index()] {
                prober.deadline = probes.deadline;
                endpoint.probed.store(rule.probed, Ordering::Relaxed);
            }
        }
    }
}

const NEW: &str = "is new: what is connected changes with a restart only";

impl Endpoint {
    /// Takes settings that were checked.
    fn take(&self, spec: &EndpointSpec, now: mainstay_breaker::Moment) {
        if let Err(error) = self.breaker.reconfigure(spec.breaker, now) {
            tracing::error!(endpoint = self.name, %error, "settings that were checked were refused");
        }
        self.set_call_deadline(spec.call_deadline);
        if self.limit.base() != spec.limit {
            self.limit.set_base(spec.limit);
            let resized = self
                .resized
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .clone();
            resized.iter().for_each(|told| told(spec.limit));
        }
    }
}

/// Indices must go on meaning the same: readers hold snapshots and names apart.
fn same_things(before: &Rules, after: &Rules) -> Result<(), Error> {
    let (old, new) = (before.settings(), after.settings());
    let dependencies = |settings: &mainstay_degradation::Settings| {
        let all = settings.dependencies.iter();
        all.map(|one| one.name.clone()).collect()
    };
    let endpoints = |rules: &Rules| rules.endpoints().map(|(_, one)| one.name.clone()).collect();
    let features = |rules: &Rules| rules.features().map(|(_, one)| one.name.clone()).collect();
    same_names(dependencies(old), dependencies(new))?;
    for (one, other) in old.dependencies.iter().zip(&new.dependencies) {
        if one.presence != other.presence {
            let (was, is): (Presence, Presence) = (one.presence, other.presence);
            let why = format!(
                "is {} and would be {}: that needs a restart",
                was.as_str(),
                is.as_str()
            );
            return Err(refused(&one.name, why));
        }
    }
    same_names(endpoints(before), endpoints(after))?;
    same_names(features(before), features(after))
}

fn same_names(old: Vec<String>, new: Vec<String>) -> Result<(), Error> {
    if let Some(added) = new.iter().find(|name| !old.contains(name)) {
        return Err(refused(added, NEW.to_owned()));
    }
    if let Some(gone) = old.iter().find(|name| !new.contains(name)) {
        return Err(refused(
            gone,
            "is gone: what is connected changes with a restart only".to_owned(),
        ));
    }
    match old.iter().zip(&new).find(|(one, other)| one != other) {
        Some((one, _)) => Err(refused(
            one,
            "stands in another place: the order changes with a restart only".to_owned(),
        )),
        None => Ok(()),
    }
}

fn refused(name: &str, why: String) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("`{name}` {why}")).field(name)
}
