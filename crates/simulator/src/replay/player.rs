//! Feeds what was recorded to a controller and gathers what it decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mainstay_breaker::{Moment, Settings as BreakerSettings, State};
use mainstay_degradation::recording::{Decided, Entry, Head, RecordingError, digest};
use mainstay_degradation::{
    Controller, Effect, Event, FeatureMode, Input, Language, Level, Snapshot,
};

use super::estimate::{Due, Estimates, acts};
use super::policy::Policy;
use super::story::{Away, Fidelity, Happened, Lane, LevelSpan, Story, Summary};
use super::trouble::Troubles;
use super::unplayed::{Unplayed, bounded, ramped};
use super::{Deployed, WhatIf};

pub(super) struct Player {
    head: Head,
    language: Language,
    controller: Controller,
    policy: Policy,
    /// What of limits, deadlines and ramps has no effect here.
    bounded: BTreeSet<Unplayed>,
    estimates: Estimates,
    /// With estimates: what was heard since the last tick, which tells of the calls of that time.
    ahead: Vec<(Moment, Input)>,
    now: Moment,
    snapshot: Snapshot,
    expected: Option<Decided>,
    decided: Option<Decided>,
    /// What the last input led to besides, as recorded and as it came out.
    done: (Option<u64>, Option<u64>),
    differs: Option<Moment>,
    troubles: Troubles,
    happened: Vec<Happened>,
    scores: Vec<(Duration, f64)>,
    levels: Vec<LevelSpan>,
    lanes: BTreeMap<String, Vec<(Duration, State)>>,
    off: BTreeMap<String, Duration>,
    away: Vec<Away>,
    openings: usize,
    transitions: usize,
}

impl Player {
    pub(super) fn new(
        head: Head,
        what_if: &WhatIf,
        deployed: &Deployed,
        language: Language,
    ) -> Self {
        Self::estimating(head, what_if, deployed, language, acts)
    }

    /// `differs`: which settings of breakers, recorded and asked for, are estimated.
    pub(super) fn estimating(
        head: Head,
        what_if: &WhatIf,
        deployed: &Deployed,
        language: Language,
        differs: impl Fn(&BreakerSettings, &BreakerSettings) -> bool,
    ) -> Self {
        let mut controller = head.controller.clone();
        let policy = Policy::new(controller.rules().clone(), what_if.rules.clone());
        if let Some(rules) = policy.other() {
            let rules = Box::new(rules.clone());
            controller.handle(head.at, Input::Settings(rules), &mut Vec::new());
        }
        let snapshot = controller.snapshot(head.at);
        let breakers = std::iter::once(&head.breakers).chain(&deployed.breakers);
        let troubles = Troubles::new(head.at);
        let mut player = Self {
            estimates: Estimates::new(
                &what_if.breakers,
                breakers.clone(),
                policy.recorded(),
                &head.controller.snapshot(head.at),
                differs,
            ),
            ahead: Vec::new(),
            bounded: bounded(what_if, &deployed.bounds, policy.recorded())
                .into_iter()
                .chain(ramped(what_if, breakers.clone(), policy.recorded()))
                .collect(),
            now: head.at,
            head,
            language,
            controller,
            policy,
            snapshot,
            expected: None,
            decided: None,
            done: (None, None),
            differs: None,
            troubles,
            happened: Vec::new(),
            scores: Vec::new(),
            levels: Vec::new(),
            lanes: BTreeMap::new(),
            off: BTreeMap::new(),
            away: Vec::new(),
            openings: 0,
            transitions: 0,
        };
        player.begin();
        player
    }

    fn begin(&mut self) {
        let (from, level) = (Duration::ZERO, self.snapshot.level);
        self.levels.push(LevelSpan { from, level });
        self.scores.push((from, self.snapshot.score));
        for (id, rule) in self.controller.rules().endpoints() {
            let state = self.snapshot.endpoint(id).view.state;
            self.lanes.insert(rule.name.clone(), vec![(from, state)]);
        }
        // Before the first round is over nothing is known: that is no trouble yet.
        if level != Level::Optimal && self.snapshot.first_round_over {
            self.leave(level);
        }
    }

    pub(super) fn play(&mut self, entry: Entry) {
        match entry {
            Entry::Input { at, input } if self.estimates.is_empty() => {
                self.compare();
                self.heard(at, input);
            }
            Entry::Input { at, input } => self.look_ahead(at, input),
            Entry::Decided(decided) => self.expected = Some(decided),
            Entry::Done(digest) => self.done.0 = Some(digest),
            Entry::Breakers(settings) => {
                self.catch_up();
                let rules = self.policy.recorded();
                self.estimates.reloaded(rules, &settings, self.now);
            }
            // They were compared at the beginning.
            Entry::Bounds(_) => {}
        }
    }

    /// Estimated breakers are asked of a second's calls when the tick has told of them.
    fn look_ahead(&mut self, at: Moment, input: Input) {
        let reload = matches!(input, Input::Settings(_));
        if reload {
            self.catch_up();
        }
        let complete = reload || matches!(input, Input::Tick { .. });
        self.ahead.push((at, input));
        if complete {
            self.catch_up();
        }
    }

    fn catch_up(&mut self) {
        let ahead = std::mem::take(&mut self.ahead);
        let calls = self.estimates.calls(self.policy.recorded(), &ahead);
        let mut calls = calls.into_iter().peekable();
        for (at, input) in ahead {
            while let Some(call) = calls.next_if(|call| call.at <= at) {
                self.estimate(&call);
            }
            self.heard(at, input);
        }
    }

    /// A call that only an estimated breaker hears of.
    fn estimate(&mut self, call: &Due) {
        let at = call.at.max(self.now);
        let moved = self.estimates.call(self.policy.recorded(), call, at);
        if moved.is_empty() {
            return;
        }
        self.pass_time(at);
        for input in moved {
            self.troubles.note(self.policy.recorded(), at, &input);
            self.tell(at, input);
        }
    }

    fn heard(&mut self, at: Moment, input: Input) {
        self.pass_time(at);
        self.troubles.note(self.policy.recorded(), at, &input);
        self.hear(at, input);
    }

    /// Whether the last input led to what was recorded.
    fn compare(&mut self) {
        let (recorded, ours) = std::mem::take(&mut self.done);
        let differs = self.decided != self.expected || recorded != ours;
        if self.differs.is_none() && differs {
            self.differs = Some(self.now);
        }
    }

    fn pass_time(&mut self, at: Moment) {
        let passed = at.saturating_since(self.now);
        for state in &self.snapshot.features {
            if state.mode == FeatureMode::Off {
                let name = &self.controller.rules().feature(state.id).name;
                match self.off.get_mut(name) {
                    Some(off) => *off += passed,
                    None => drop(self.off.insert(name.clone(), passed)),
                }
            }
        }
        self.now = at;
    }

    fn hear(&mut self, at: Moment, input: Input) {
        if let Input::Settings(rules) = &input {
            self.policy.reloaded(rules);
        }
        for input in self.estimates.instead(self.policy.recorded(), at, input) {
            self.tell(at, input);
        }
    }

    fn tell(&mut self, at: Moment, input: Input) {
        let mut effects = Vec::new();
        let mut following: VecDeque<Input> = self.policy.told(input).into_iter().collect();
        while let Some(input) = following.pop_front() {
            self.controller.handle(at, input, &mut effects);
            following.extend(self.carry_out(at, &effects));
            self.gather(at, &effects);
            effects.clear();
        }
    }

    /// What estimated breakers answer to the controller.
    fn carry_out(&mut self, at: Moment, effects: &[Effect]) -> Vec<Input> {
        let (estimates, rules) = (&mut self.estimates, self.controller.rules());
        let answers = effects.iter();
        answers
            .filter_map(|effect| estimates.carry_out(rules, at, effect))
            .collect()
    }

    fn gather(&mut self, at: Moment, effects: &[Effect]) {
        self.done.1 = digest(effects);
        let published = effects.iter().rev().find_map(|effect| match effect {
            Effect::Publish(snapshot) => Some(snapshot),
            _ => None,
        });
        if let Some(snapshot) = published {
            self.snapshot.clone_from(snapshot);
            self.follow_score();
            self.decided = Decided::by(effects);
            if snapshot.level != Level::Optimal {
                let rules = self.controller.rules();
                self.troubles.blame(rules, &snapshot.causes);
            }
            self.follow_level(snapshot.level);
        }
        for effect in effects {
            if let Effect::Record(event) = effect {
                self.note(at, event);
            }
        }
    }

    fn note(&mut self, at: Moment, event: &Event) {
        let rules = self.controller.rules();
        let at = at.saturating_since(self.head.at);
        self.transitions += usize::from(matches!(event, Event::LevelChanged { .. }));
        if let Event::Breaker {
            endpoint,
            transition,
        } = event
        {
            self.openings += usize::from(transition.to == State::Open);
            let name = &rules.endpoint(*endpoint).name;
            let lane = self.lanes.entry(name.clone()).or_default();
            lane.push((at, transition.to));
        }
        self.happened.push(Happened {
            at,
            kind: event.kind(),
            what: event.words(self.language, rules, self.now),
            score: self.snapshot.score,
            level: self.snapshot.level,
            why: self.why(),
        });
    }

    fn why(&self) -> String {
        if let Some(held_by) = self.snapshot.held_by {
            return held_by.words(self.language, self.now);
        }
        let rules = self.controller.rules();
        let causes = self.snapshot.causes.iter();
        let causes: Vec<String> = causes
            .map(|cause| cause.words(self.language, rules, self.now))
            .collect();
        causes.join("; ")
    }

    fn follow_score(&mut self) {
        let score = self.snapshot.score;
        if self.scores.last().is_none_or(|(_, last)| *last != score) {
            let at = self.now.saturating_since(self.head.at);
            self.scores.push((at, score));
        }
    }

    fn follow_level(&mut self, level: Level) {
        let before = self.levels.last().map_or(level, |span| span.level);
        if level == before {
            return;
        }
        let from = self.now.saturating_since(self.head.at);
        self.levels.push(LevelSpan { from, level });
        let away = self.away.last().is_some_and(|one| one.lasted.is_none());
        if level != Level::Optimal && !away {
            self.leave(level);
        }
        let now = self.now;
        let last = self.troubles.last().map(|at| now.saturating_since(at));
        if let Some(away) = self.away.last_mut().filter(|one| one.lasted.is_none()) {
            away.worst = away.worst.max(level);
            if level == Level::Optimal {
                away.lasted = Some(from.saturating_sub(away.from));
                away.recovered = last;
            }
        }
        if level == Level::Optimal {
            self.troubles.end(now);
        }
    }

    fn leave(&mut self, level: Level) {
        let now = self.now;
        let (rules, causes) = (self.controller.rules(), &self.snapshot.causes);
        let first = self.troubles.first(rules, causes, now);
        self.away.push(Away {
            from: now.saturating_since(self.head.at),
            detected: first.map(|at| now.saturating_since(at)),
            lasted: None,
            recovered: None,
            worst: level,
        });
    }

    pub(super) fn finish(mut self, broken: Option<RecordingError>) -> Story {
        self.catch_up();
        // What the last input led to may be what is missing.
        if broken.is_none() {
            self.compare();
        }
        let lasted = self.now.saturating_since(self.head.at);
        let fidelity = self.fidelity();
        let rules = self.controller.rules();
        let off = rules.features().filter_map(|(_, feature)| {
            let off = self.off.get(&feature.name)?;
            Some((feature.name.clone(), *off))
        });
        let summary = Summary {
            time_at: time_at(&self.levels, lasted),
            transitions: self.transitions,
            openings: self.openings,
            features_off: off.filter(|(_, off)| !off.is_zero()).collect(),
            away: self.away,
        };
        let lanes = self.lanes.into_iter();
        Story {
            program: self.head.program,
            wall_ms: self.head.wall_ms,
            began: self.head.at,
            lasted,
            happened: self.happened,
            scores: self.scores,
            levels: self.levels,
            lanes: lanes
                .map(|(endpoint, states)| Lane { endpoint, states })
                .collect(),
            summary,
            fidelity,
            broken,
        }
    }

    fn fidelity(&self) -> Fidelity {
        let endpoints = self.estimates.endpoints();
        let unplayed = self.policy.unplayed().union(&self.bounded);
        let unplayed: Vec<_> = unplayed.cloned().collect();
        if !endpoints.is_empty() {
            return Fidelity::Estimated {
                endpoints,
                unplayed,
            };
        }
        if self.policy.differs() || !unplayed.is_empty() {
            return Fidelity::Recomputed { unplayed };
        }
        self.differs.map_or(Fidelity::Exact, |at| {
            let at = at.saturating_since(self.head.at);
            Fidelity::Differs { at }
        })
    }
}

fn time_at(levels: &[LevelSpan], until: Duration) -> [Duration; 5] {
    let mut times = [Duration::ZERO; 5];
    let ends = levels.iter().skip(1).map(|span| span.from).chain([until]);
    for (span, end) in levels.iter().zip(ends) {
        times[span.level.index()] += end.saturating_sub(span.from);
    }
    times
}
