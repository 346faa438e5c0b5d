//! A configuration read anew while the world runs, in the order of the runtime: breakers and deadlines first, then the
//! controller.

use mainstay_breaker::Snapshot as BreakerSnapshot;
use mainstay_degradation::{Input, Rules};

use crate::checks::Known;
use crate::figures::Figures;
use crate::scenario::Reload;
use crate::world::{ScenarioError, World};

impl World {
    /// The rules of a reload that changes nothing that needs a restart.
    pub(crate) fn check_reload(&self, reload: &Reload) -> Result<Rules, ScenarioError> {
        let rules = reload.settings.clone().validate().map_err(|errors| {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            ScenarioError(all.join("; "))
        })?;
        if things(&rules) != things(&self.rules) {
            let why = "a reload keeps dependencies, endpoints and features";
            return Err(ScenarioError(why.to_owned()));
        }
        for (name, figures) in &reload.figures {
            self.index(name)?;
            let checked = figures.breaker.validate();
            checked.map_err(|error| ScenarioError(format!("{name}: {error}")))?;
        }
        Ok(rules)
    }

    pub(crate) fn reload(&mut self, reload: &Reload) {
        let Ok(rules) = self.check_reload(reload) else {
            return;
        };
        // As in the runtime, what an earlier run remembered is told first of all: it is known before.
        self.decide();
        let before = self.known(self.breakers());
        for endpoint in &mut self.endpoints {
            let latency = endpoint.figures.latency;
            if let Some(figures) = reload.figures.get(&endpoint.name) {
                endpoint.figures = Figures {
                    latency,
                    ..*figures
                };
            }
            let reconfigured = endpoint
                .breaker
                .reconfigure(endpoint.figures.breaker, self.now);
            debug_assert_eq!(reconfigured, Ok(()), "settings that were checked");
        }
        let breakers = self.breakers();
        let figures: Vec<_> = self.endpoints.iter().map(|one| one.figures).collect();
        if let Some(recorder) = &mut self.recorder {
            recorder.figures(&figures);
        }
        self.inspector.reloads(self.now, rules.clone(), figures);
        self.rules = rules.clone();
        self.pending.push_back(Input::Settings(Box::new(rules)));
        self.decide();
        let after = self.known(breakers);
        self.inspector.reloaded(self.now, &before, &after);
    }

    fn known(&self, breakers: Vec<BreakerSnapshot>) -> Known {
        let controller = &self.controller;
        let changes = self.rules.dependencies();
        let changes = changes.map(|(id, _)| controller.health_changes(id).count());
        Known {
            breakers,
            health_changes: changes.sum(),
            outages: self.controller.outages(self.now),
            snapshot: self.controller.snapshot(self.now),
        }
    }
}

/// What a reload can't change.
fn things(rules: &Rules) -> Vec<(String, &'static str)> {
    let dependencies = rules.dependencies();
    let dependencies = dependencies.map(|(_, one)| (one.name.clone(), one.presence.as_str()));
    let endpoints = rules.endpoints().map(|(_, one)| (one.name.clone(), ""));
    let features = rules.features().map(|(_, one)| (one.name.clone(), ""));
    dependencies.chain(endpoints).chain(features).collect()
}
