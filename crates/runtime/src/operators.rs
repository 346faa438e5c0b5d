//! Carries out what operators ask for, keeps it on disk, and takes it back when its time is over.
//!
//! A task of its own, because it waits for the disk, which the monitor must never do.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use mainstay_breaker::{Mode, Moment};
use mainstay_degradation::{Command, FeatureId, FeatureMode, Input, Level};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::handle::Inner;
use crate::monitor::Wake;
use crate::operator::{Action, Held, OperatorCommand, OperatorFile, OperatorState, Thing};

/// Commands that may wait; whoever sends more waits too.
pub(crate) const QUEUE: usize = 64;

/// A command and where its answer goes.
pub(crate) type Asked = (OperatorCommand, oneshot::Sender<Result<(), Error>>);

/// What is set by hand, with the file that keeps it.
pub(crate) struct Operators {
    inner: Arc<Inner>,
    file: Arc<OperatorFile>,
    state: OperatorState,
    /// When things set by hand end. The controller knows this of pins and knobs too and forgets them by itself;
    /// the file is brought in step here.
    ends: BTreeMap<Thing, Moment>,
}

/// What brings a command into force.
enum Step {
    Mode(Arc<Endpoint>, Mode),
    Reset(Arc<Endpoint>),
    Tell(Command),
}

impl Operators {
    /// Takes up what an earlier process kept. Gives what the controller must hear.
    pub(crate) fn restore(
        inner: Arc<Inner>,
        file: OperatorFile,
        mut state: OperatorState,
    ) -> (Self, VecDeque<Input>) {
        let clock = inner.shared.clock;
        let (now, wall) = (clock.now(), clock.wall());
        let end = |held: &Held| held.ends_at(now, wall);
        for thing in state.things() {
            if state.held(&thing).and_then(end).is_some_and(|at| at <= now) {
                state.remove(&thing);
            }
        }
        let (mut inputs, mut ends) = (VecDeque::new(), BTreeMap::new());
        for thing in state.things() {
            let Some(held) = state.held(&thing) else {
                continue;
            };
            let until = end(held);
            match step(&inner, &thing, &held.value, until) {
                Some(step) => inputs.extend(carry_out(step, now)),
                None => tracing::warn!(
                    ?thing,
                    held.value,
                    "kept by hand, and fits nothing any more"
                ),
            }
            ends.extend(until.map(|until| (thing, until)));
        }
        let file = Arc::new(file);
        let mut operators = Self {
            inner,
            file,
            state: OperatorState::default(),
            ends,
        };
        operators.take(state);
        (operators, inputs)
    }

    /// Runs until the engine stops.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Asked>) {
        let (clock, stop) = (self.inner.shared.clock, self.inner.stop.clone());
        loop {
            let end = self.ends.values().min().copied();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                asked = commands.recv() => {
                    let Some((command, reply)) = asked else { return };
                    let answer = self.carry_out(&command).await;
                    // A caller that has gone away needs no answer.
                    let _ = reply.send(answer);
                }
                () = clock.sleep_until(end.unwrap_or_default()), if end.is_some() => self.expire().await,
            }
        }
    }

    /// Carries out a command: kept on disk first, then in force.
    async fn carry_out(&mut self, command: &OperatorCommand) -> Result<(), Error> {
        let clock = self.inner.shared.clock;
        let (now, wall) = (clock.now(), clock.wall());
        let until = command.lasts.map(|lasts| now + lasts);
        let held = |value: &str| Held {
            value: value.to_owned(),
            actor: command.actor.clone(),
            reason: command.reason.clone(),
            since: wall,
            expires: command.lasts.and_then(|lasts| wall.checked_add(lasts).ok()),
        };
        let (next, step) = self.plan(&command.action, held, until)?;
        self.save(&next).await.map_err(not_kept)?;
        if let Some(thing) = command.action.thing() {
            self.ends.remove(&thing);
            let set = next.held(&thing).is_some();
            self.ends
                .extend(until.filter(|_| set).map(|end| (thing, end)));
        }
        self.take(next);
        audit(&self.inner, command);
        let heard = self.tell(carry_out(step, now).into_iter().collect()).await;
        // What was kept comes into force with the next start, where this one is ending.
        match heard || self.inner.stop.is_cancelled() {
            true => Ok(()),
            false => Err(self.inner.unheard()),
        }
    }

    fn plan(
        &self,
        action: &Action,
        held: impl Fn(&str) -> Held,
        until: Option<Moment>,
    ) -> Result<(OperatorState, Step), Error> {
        let mut next = self.state.clone();
        let step = match action {
            Action::Mode { endpoint, mode } => {
                let found = find(&self.inner, endpoint)?;
                let set = (*mode != Mode::Auto).then(|| held(mode.as_str()));
                put(&mut next.modes, endpoint, set);
                Step::Mode(found, *mode)
            }
            Action::Reset { endpoint } => Step::Reset(find(&self.inner, endpoint)?),
            Action::Pin(level) => {
                next.pin = Some(held(level.as_str()));
                Step::Tell(pin(*level, until))
            }
            Action::Unpin => {
                next.pin = None;
                Step::Tell(Command::Unpin)
            }
            Action::Knob { feature, mode } => {
                let id = feature_id(&self.inner, feature)?;
                put(
                    &mut next.knobs,
                    feature,
                    mode.map(|mode| held(mode.as_str())),
                );
                Step::Tell(match mode {
                    Some(mode) => knob(id, *mode, until),
                    None => Command::Unknob { feature: id },
                })
            }
        };
        Ok((next, step))
    }

    /// Takes back what has ended: in this process whatever the disk says, and after a restart because it is over.
    async fn expire(&mut self) {
        let now = self.inner.shared.clock.now();
        let mut next = self.state.clone();
        let over: Vec<_> = self.ends.iter().filter(|(_, end)| **end <= now).collect();
        let over: Vec<Thing> = over.into_iter().map(|(thing, _)| thing.clone()).collect();
        for thing in &over {
            self.ends.remove(thing);
            next.remove(thing);
            if let Thing::Mode(endpoint) = thing {
                if let Ok(found) = find(&self.inner, endpoint) {
                    found.tell(found.breaker.set_mode(Mode::Auto, now));
                }
                let message = format!("the mode set by hand on {endpoint} is over");
                record(&self.inner, "mode_expired", message, Value::Null);
            }
        }
        self.take(next);
        if let Err(error) = self.save(&self.state).await {
            tracing::error!(%error, "the file of what operators have set still holds what is over");
        }
    }

    /// Writes the state to disk, off the threads that run tasks.
    async fn save(&self, state: &OperatorState) -> io::Result<()> {
        let (file, state) = (Arc::clone(&self.file), state.clone());
        tokio::task::spawn_blocking(move || file.save(&state)).await?
    }

    fn take(&mut self, state: OperatorState) {
        self.inner.operator.store(Arc::new(state.clone()));
        self.state = state;
    }

    /// Waits until the controller has heard it, and every transition told before it; whether it did.
    async fn tell(&self, inputs: Vec<Input>) -> bool {
        let (done, heard) = oneshot::channel();
        self.inner.shared.wake(Wake::Operator { inputs, done });
        heard.await.is_ok()
    }
}

/// Brings a step into force. Gives what the controller must hear besides a breaker's transition.
fn carry_out(step: Step, now: Moment) -> Option<Input> {
    match step {
        Step::Mode(endpoint, mode) => endpoint.tell(endpoint.breaker.set_mode(mode, now)),
        Step::Reset(endpoint) => endpoint.tell(endpoint.breaker.reset(now)),
        Step::Tell(command) => return Some(Input::Command(command)),
    }
    None
}

/// What puts a kept value back into force; `None` when it fits nothing.
fn step(inner: &Inner, thing: &Thing, value: &str, until: Option<Moment>) -> Option<Step> {
    Some(match thing {
        Thing::Mode(endpoint) => Step::Mode(find(inner, endpoint).ok()?, value.parse().ok()?),
        Thing::Pin => Step::Tell(pin(value.parse().ok()?, until)),
        Thing::Knob(feature) => {
            let id = feature_id(inner, feature).ok()?;
            Step::Tell(knob(id, value.parse().ok()?, until))
        }
    })
}

fn pin(level: Level, until: Option<Moment>) -> Command {
    Command::Pin { level, until }
}

fn knob(feature: FeatureId, mode: FeatureMode, until: Option<Moment>) -> Command {
    Command::Knob {
        feature,
        mode,
        until,
    }
}

fn put(map: &mut BTreeMap<String, Held>, name: &str, held: Option<Held>) {
    match held {
        Some(held) => drop(map.insert(name.to_owned(), held)),
        None => drop(map.remove(name)),
    }
}

fn find(inner: &Inner, endpoint: &str) -> Result<Arc<Endpoint>, Error> {
    let found = inner.endpoints.iter().find(|e| e.name == endpoint);
    found.map(Arc::clone).ok_or_else(|| {
        let known: Vec<_> = inner.endpoints.iter().map(|e| e.name.as_str()).collect();
        let known = known.join(", ");
        let detail = format!("there is no endpoint `{endpoint}`; known are {known}");
        Error::new(ErrorKind::NotFound, detail).field("id")
    })
}

fn feature_id(inner: &Inner, feature: &str) -> Result<FeatureId, Error> {
    inner.rules.load().feature_id(feature).ok_or_else(|| {
        let detail = format!("there is no feature `{feature}`");
        Error::new(ErrorKind::NotFound, detail).field("name")
    })
}

fn not_kept(error: io::Error) -> Error {
    let why = error.kind();
    let detail = format!("the command could not be kept on disk, so it was not carried out: {why}");
    Error::new(ErrorKind::Internal, detail)
}

fn audit(inner: &Inner, command: &OperatorCommand) {
    let (actor, reason) = (&command.actor, &command.reason);
    let for_seconds = command.lasts.map(|lasts| lasts.as_secs());
    let what = command.action.words();
    tracing::info!(target: "audit", actor, reason, for_seconds, "{what}");
    let data = json!({"actor": actor, "reason": reason, "for_seconds": for_seconds});
    record(inner, "operator", format!("{actor} {what}"), data);
}

fn record(inner: &Inner, kind: &'static str, message: String, data: Value) {
    let at = inner.shared.clock.wall();
    inner.events.push(at, kind, message, data);
}
