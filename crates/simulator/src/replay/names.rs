//! Recorded indices told to a controller with other rules: by name, and what it doesn't know is left out.

use mainstay_degradation::{Command, DependencyId, EndpointId, Facts, FeatureId, Input, Rules};

/// Where each recorded index lies in other rules.
#[derive(Debug)]
pub(super) struct Names {
    endpoints: Vec<Option<EndpointId>>,
    dependencies: Vec<Option<DependencyId>>,
    features: Vec<Option<FeatureId>>,
}

impl Names {
    pub(super) fn between(recorded: &Rules, ours: &Rules) -> Self {
        let endpoints = recorded.endpoints();
        let dependencies = recorded.dependencies();
        let features = recorded.features();
        Self {
            endpoints: endpoints
                .map(|(_, one)| ours.endpoint_id(&one.name))
                .collect(),
            dependencies: dependencies
                .map(|(_, one)| ours.dependency_id(&one.name))
                .collect(),
            features: features
                .map(|(_, one)| ours.feature_id(&one.name))
                .collect(),
        }
    }

    fn endpoint(&self, id: EndpointId) -> Option<EndpointId> {
        *self.endpoints.get(id.index())?
    }

    /// The input as the other rules have it; `None`: it says nothing to them. New settings are of the recorded policy.
    pub(super) fn input(&self, input: Input) -> Option<Input> {
        Some(match input {
            Input::Tick { observed } => {
                let known = observed.into_iter();
                let known = known.filter_map(|(id, one)| Some((self.endpoint(id)?, one)));
                let mut observed: Vec<_> = known.collect();
                observed.sort_by_key(|(id, _)| *id);
                Input::Tick { observed }
            }
            Input::Transition {
                endpoint,
                transition,
            } => Input::Transition {
                endpoint: self.endpoint(endpoint)?,
                transition,
            },
            Input::Probe {
                endpoint,
                started,
                result,
            } => Input::Probe {
                endpoint: self.endpoint(endpoint)?,
                started,
                result,
            },
            Input::ProbeNow { endpoint } => Input::ProbeNow {
                endpoint: self.endpoint(endpoint)?,
            },
            Input::Facts(facts) => Input::Facts(self.facts(facts)),
            Input::History(history) => Input::History(history),
            Input::Command(command) => Input::Command(self.command(command)?),
            Input::Settings(_) => return None,
        })
    }

    fn facts(&self, mut facts: Facts) -> Facts {
        facts.fallbacks.retain_mut(|one| {
            let found = self.dependencies.get(one.dependency.index());
            let found = found.copied().flatten();
            found.map(|id| one.dependency = id).is_some()
        });
        facts
    }

    fn command(&self, command: Command) -> Option<Command> {
        let known = |id: FeatureId| *self.features.get(id.index())?;
        Some(match command {
            Command::Knob {
                feature,
                mode,
                until,
            } => Command::Knob {
                feature: known(feature)?,
                mode,
                until,
            },
            Command::Unknob { feature } => Command::Unknob {
                feature: known(feature)?,
            },
            Command::Pin { .. } | Command::Unpin => command,
        })
    }
}
