//! The monitor: ticks, feeds the controller until nothing more follows, and carries out what it decides.

use std::fmt::Write as _;
use std::time::Duration;

use mainstay_breaker::{Rule, Snapshot as BreakerSnapshot};
use mainstay_degradation::{Effect, Event, Input, Retuning, Snapshot};

use crate::report::LevelChange;
use crate::world::{Happening, START, World, id};

const TICK: Duration = Duration::from_secs(1);

impl World {
    pub(crate) fn tick(&mut self) {
        let now = self.now;
        self.at(now + TICK, Happening::Tick);
        self.expire_modes();
        let mut breakers = self.breakers();
        let endpoints = self.endpoints.iter_mut().zip(&breakers);
        let observed = (0..)
            .zip(endpoints)
            .map(|(index, (endpoint, breaker))| (id(index), endpoint.drain(breaker)))
            .collect();
        let changes = self.record.breaker_changes.len();
        self.apply_limits();
        self.pending.push_back(Input::Tick { observed });
        let facts = self.facts.due(now);
        self.pending.extend(facts.map(Input::Facts));
        self.decide();
        if self.record.breaker_changes.len() != changes {
            breakers = self.breakers();
        }
        self.inspector.tick(now, &breakers);
    }

    pub(crate) fn breakers(&self) -> Vec<BreakerSnapshot> {
        let all = self.endpoints.iter();
        all.map(|endpoint| endpoint.breaker.snapshot(self.now))
            .collect()
    }

    /// Feeds the controller until nothing more follows.
    pub(crate) fn decide(&mut self) {
        let (mut effects, mut twins) = (Vec::new(), Vec::new());
        while let Some(input) = self.pending.pop_front() {
            if let Some(recorder) = &mut self.recorder {
                recorder.input(self.now, &input);
            }
            self.twin.handle(self.now, input.clone(), &mut twins);
            self.controller.handle(self.now, input, &mut effects);
            if let Some(recorder) = &mut self.recorder {
                recorder.effects(&effects);
            }
            self.inspector.effects(self.now, &effects, &twins);
            twins.clear();
            for effect in effects.drain(..) {
                self.carry_out(effect);
            }
            self.apply_limits();
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let (now, at) = (self.now, self.now.saturating_since(START));
        match effect {
            Effect::Probe { endpoint, at } => self.probe(endpoint.index(), at),
            Effect::Trip { endpoint, kind } => {
                let index = endpoint.index();
                let opened = self.endpoints[index].breaker.trip(Rule::Probes, kind, now);
                self.tell(index, opened);
            }
            Effect::HalfOpenEarly { endpoint } => {
                let index = endpoint.index();
                let entered = self.endpoints[index].breaker.half_open_early(now);
                self.tell(index, entered);
            }
            Effect::Retune(retuning) => self.retune(&retuning),
            Effect::Publish(snapshot) => self.show(&snapshot),
            Effect::Record(event) => self.note(at, &event),
            Effect::Drain { share } => self.record.trace.line(at, format_args!("drain {share}")),
            Effect::Alert(alert) => self
                .record
                .trace
                .line(at, format_args!("alert {}", alert.kind())),
        }
    }

    fn retune(&mut self, retuning: &Retuning) {
        self.request_deadline = retuning.tuning.request_deadline;
        for (index, endpoint) in self.endpoints.iter_mut().enumerate() {
            endpoint.factor = retuning.limit(self.rules.endpoint(id(index)).dependency);
        }
    }

    fn apply_limits(&mut self) {
        for index in 0..self.endpoints.len() {
            self.endpoints[index].apply_limit(self.now);
            if !self.endpoints[index].waiting.is_empty() {
                self.let_in(index);
            }
        }
    }

    fn note(&mut self, at: Duration, event: &Event) {
        match event {
            Event::LevelChanged { from, to, .. } => self.change_level(at, *from, *to),
            Event::FirstRoundOver { level, .. } => {
                let from = mainstay_degradation::Level::Emergency;
                let last = self.record.level_changes.last();
                let from = last.map_or(from, |last| last.to);
                if *level != from {
                    self.change_level(at, from, *level);
                }
            }
            Event::Breaker { .. } => return,
            _ => {}
        }
        self.record.trace.line(at, format_args!("{}", event.kind()));
    }

    fn change_level(
        &mut self,
        at: Duration,
        from: mainstay_degradation::Level,
        to: mainstay_degradation::Level,
    ) {
        self.record.level_changes.push(LevelChange { at, from, to });
    }

    /// A line for a snapshot that differs from the last one in what people see.
    fn show(&mut self, snapshot: &Snapshot) {
        let mut line = String::with_capacity(96);
        // Writing to a string can't fail.
        let _ = write!(
            line,
            "score {:.2} target {} level {} held {:?} features ",
            snapshot.score, snapshot.target, snapshot.level, snapshot.held_by
        );
        for feature in &snapshot.features {
            let _ = write!(line, "{}", feature.mode.rank());
        }
        if line != self.shown {
            let at = snapshot.at.saturating_since(START);
            self.record.trace.line(at, format_args!("{line}"));
            self.shown = line;
        }
    }
}
