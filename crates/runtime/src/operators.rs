//! Carries out what operators ask for, keeps it on disk, and takes it back when its time is over.

use std::collections::VecDeque;
use std::sync::Arc;

use mainstay_breaker::{Mode, Moment};
use mainstay_degradation::{Command, FeatureId, FeatureMode, Input, Level};

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::handle::Inner;
use crate::operator::{Action, Held, OperatorCommand, OperatorFile, OperatorState};

/// What is set by hand, with the file that keeps it.
#[derive(Debug)]
pub(crate) struct Operators {
    file: OperatorFile,
    state: OperatorState,
    /// When each endpoint's mode ends. The controller knows when pins and knobs end, and forgets them by itself;
    /// the file is brought in step with them here.
    ends: Vec<(Thing, Moment)>,
}

/// Something set by hand, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    Mode(String),
    Pin,
    Knob(String),
}

impl Operators {
    /// Takes up what an earlier process kept.
    pub(crate) fn new(file: OperatorFile, state: OperatorState) -> Self {
        Self {
            file,
            state,
            ends: Vec::new(),
        }
    }

    /// Puts what was kept into force again.
    pub(crate) fn restore(&mut self, inner: &Inner, pending: &mut VecDeque<Input>) {
        let clock = inner.shared.clock;
        let (now, wall) = (clock.now(), clock.wall());
        let state = self.state.clone();
        for (endpoint, held) in &state.modes {
            match (find(inner, endpoint), held.value.parse::<Mode>()) {
                (Ok(found), Ok(mode)) => found.tell(found.breaker.set_mode(mode, now)),
                _ => tracing::warn!(
                    endpoint,
                    mode = held.value,
                    "a kept breaker mode fits nothing any more"
                ),
            }
            self.note_end(Thing::Mode(endpoint.clone()), held, now, wall);
        }
        if let Some(held) = &state.pin
            && let Ok(level) = held.value.parse::<Level>()
        {
            let until = held.ends_at(now, wall);
            pending.push_back(Input::Command(Command::Pin { level, until }));
            self.note_end(Thing::Pin, held, now, wall);
        }
        for (feature, held) in &state.knobs {
            match (
                inner.rules.feature_id(feature),
                held.value.parse::<FeatureMode>(),
            ) {
                (Some(id), Ok(mode)) => {
                    let until = held.ends_at(now, wall);
                    pending.push_back(Input::Command(knob(id, mode, until)));
                }
                _ => tracing::warn!(
                    feature,
                    mode = held.value,
                    "a kept knob fits nothing any more"
                ),
            }
            self.note_end(Thing::Knob(feature.clone()), held, now, wall);
        }
        self.publish(inner);
    }

    /// Carries out a command: kept on disk first, then in force.
    pub(crate) fn carry_out(
        &mut self,
        inner: &Inner,
        command: &OperatorCommand,
        pending: &mut VecDeque<Input>,
    ) -> Result<(), Error> {
        let clock = inner.shared.clock;
        let (now, wall) = (clock.now(), clock.wall());
        let held = |value: &str| Held {
            value: value.to_owned(),
            actor: command.actor.clone(),
            reason: command.reason.clone(),
            since: wall,
            expires: command.lasts.and_then(|lasts| wall.checked_add(lasts).ok()),
        };
        let until = command.lasts.map(|lasts| now + lasts);
        let mut next = self.state.clone();
        let input = match &command.action {
            Action::Mode { endpoint, mode } => {
                find(inner, endpoint)?;
                if *mode == Mode::Auto {
                    next.modes.remove(endpoint);
                } else {
                    next.modes.insert(endpoint.clone(), held(mode.as_str()));
                }
                None
            }
            Action::Reset { endpoint } => {
                find(inner, endpoint)?;
                None
            }
            Action::Pin(level) => {
                next.pin = Some(held(level.as_str()));
                Some(Command::Pin {
                    level: *level,
                    until,
                })
            }
            Action::Unpin => {
                next.pin = None;
                Some(Command::Unpin)
            }
            Action::Knob { feature, mode } => {
                let id = feature_id(inner, feature)?;
                match mode {
                    Some(mode) => {
                        next.knobs.insert(feature.clone(), held(mode.as_str()));
                        Some(knob(id, *mode, until))
                    }
                    None => {
                        next.knobs.remove(feature);
                        Some(Command::Unknob { feature: id })
                    }
                }
            }
        };
        self.keep(inner, next)?;
        self.follow_ends(&command.action, until);
        self.apply(inner, &command.action, now)?;
        pending.extend(input.map(Input::Command));
        audit(inner, command);
        Ok(())
    }

    /// Takes back what has ended.
    pub(crate) fn expire(&mut self, inner: &Inner, now: Moment) {
        let (over, live): (Vec<_>, Vec<_>) = self.ends.drain(..).partition(|(_, end)| *end <= now);
        self.ends = live;
        if over.is_empty() {
            return;
        }
        let mut next = self.state.clone();
        for (thing, _) in &over {
            match thing {
                Thing::Mode(endpoint) => {
                    next.modes.remove(endpoint);
                    if let Ok(found) = find(inner, endpoint) {
                        found.tell(found.breaker.set_mode(Mode::Auto, now));
                    }
                    record(
                        inner,
                        "mode_expired",
                        format!("the mode set by hand on {endpoint} is over"),
                    );
                }
                Thing::Pin => next.pin = None,
                Thing::Knob(feature) => drop(next.knobs.remove(feature)),
            }
        }
        if let Err(error) = self.keep(inner, next) {
            tracing::error!(%error, "what operators have set could not be kept; it ends in this process all the same");
        }
    }

    fn apply(&self, inner: &Inner, action: &Action, now: Moment) -> Result<(), Error> {
        match action {
            Action::Mode { endpoint, mode } => {
                let found = find(inner, endpoint)?;
                found.tell(found.breaker.set_mode(*mode, now));
            }
            Action::Reset { endpoint } => {
                let found = find(inner, endpoint)?;
                found.tell(found.breaker.reset(now));
            }
            Action::Pin(_) | Action::Unpin | Action::Knob { .. } => {}
        }
        Ok(())
    }

    fn keep(&mut self, inner: &Inner, next: OperatorState) -> Result<(), Error> {
        self.file.save(&next).map_err(|error| {
            let detail = format!(
                "the command could not be kept on disk, so it was not carried out: {}",
                error.kind()
            );
            Error::new(ErrorKind::Internal, detail)
        })?;
        self.state = next;
        self.publish(inner);
        Ok(())
    }

    fn publish(&self, inner: &Inner) {
        inner.operator.store(Arc::new(self.state.clone()));
    }

    fn note_end(&mut self, thing: Thing, held: &Held, now: Moment, wall: jiff::Timestamp) {
        self.ends
            .extend(held.ends_at(now, wall).map(|end| (thing, end)));
    }

    fn follow_ends(&mut self, action: &Action, until: Option<Moment>) {
        let thing = match action {
            Action::Mode { endpoint, .. } => Thing::Mode(endpoint.clone()),
            Action::Pin(_) | Action::Unpin => Thing::Pin,
            Action::Knob { feature, .. } => Thing::Knob(feature.clone()),
            Action::Reset { .. } => return,
        };
        self.ends.retain(|(known, _)| *known != thing);
        self.ends.extend(until.map(|end| (thing, end)));
    }
}

fn knob(feature: FeatureId, mode: FeatureMode, until: Option<Moment>) -> Command {
    Command::Knob {
        feature,
        mode,
        until,
    }
}

fn find<'a>(inner: &'a Inner, endpoint: &str) -> Result<&'a Arc<Endpoint>, Error> {
    inner
        .endpoints
        .iter()
        .find(|e| e.name == endpoint)
        .ok_or_else(|| {
            let known: Vec<_> = inner.endpoints.iter().map(|e| e.name.as_str()).collect();
            let detail = format!(
                "there is no endpoint `{endpoint}`; known are {}",
                known.join(", ")
            );
            Error::new(ErrorKind::NotFound, detail).field("id")
        })
}

fn feature_id(inner: &Inner, feature: &str) -> Result<FeatureId, Error> {
    inner.rules.feature_id(feature).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("there is no feature `{feature}`"),
        )
        .field("name")
    })
}

fn audit(inner: &Inner, command: &OperatorCommand) {
    let OperatorCommand {
        action,
        actor,
        reason,
        lasts,
    } = command;
    let what = match action {
        Action::Mode { endpoint, mode } => format!("set {endpoint} to {}", mode.as_str()),
        Action::Reset { endpoint } => format!("reset {endpoint}"),
        Action::Pin(level) => format!("pinned the level to {}", level.as_str()),
        Action::Unpin => "unpinned the level".to_owned(),
        Action::Knob {
            feature,
            mode: Some(mode),
        } => format!("set {feature} to {}", mode.as_str()),
        Action::Knob {
            feature,
            mode: None,
        } => format!("let {feature} follow the matrix again"),
    };
    tracing::info!(target: "audit", actor, reason, lasts_s = lasts.map(|l| l.as_secs()), "{what}");
    let data = serde_json::json!({
        "actor": actor,
        "reason": reason,
        "for_seconds": lasts.map(|l| l.as_secs()),
    });
    let at = inner.shared.clock.wall();
    inner
        .events
        .push(at, "operator", format!("{actor} {what}"), data);
}

fn record(inner: &Inner, kind: &'static str, message: String) {
    let at = inner.shared.clock.wall();
    inner
        .events
        .push(at, kind, message, serde_json::Value::Null);
}
