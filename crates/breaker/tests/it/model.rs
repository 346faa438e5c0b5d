//! Random histories, told to the breaker and to a model that remembers every event and recomputes everything.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, FailureKind, HalfOpen, Mode, Moment, Outcome, Permit, RateRule, Rule, Settings,
    SlowRule, State, Transition, Window,
};
use proptest::prelude::*;

use crate::support::{at, ms};

#[derive(Debug, Clone, Copy)]
enum Step {
    Admit,
    Settle {
        permit: usize,
        outcome: Outcome,
        slow: bool,
    },
    Drop {
        permit: usize,
    },
    MarkSlow {
        permit: usize,
    },
    Advance {
        millis: u64,
    },
    Trip,
    Early,
    SetMode(Mode),
    Reset,
}

/// Something that counted in the closed state.
#[derive(Debug, Clone, Copy)]
struct Event {
    at: Moment,
    call: bool,
    slow: bool,
    /// The verdict, if this was one: failed or not.
    failed: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Beneath {
    Closed,
    Open { retry_at: Moment },
    HalfOpen { successes: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Counted,
    Probe { until: Moment },
    Shadowed,
    Uncounted,
}

/// A permit as the model remembers it. `era` ends with every change that makes verdicts late.
#[derive(Debug, Clone, Copy)]
struct Given {
    era: u32,
    role: Role,
    slow: bool,
}

#[derive(Debug, PartialEq)]
struct Change {
    from: State,
    to: State,
    rule: Option<Rule>,
    kind: Option<FailureKind>,
    retry_at: Option<Moment>,
}

#[derive(Debug, Default, PartialEq)]
struct Totals {
    successes: u64,
    failures: u64,
    slow: u64,
    neutral: u64,
    rejected: u64,
    would_reject: u64,
}

struct Model {
    settings: Settings,
    now: Moment,
    mode: Mode,
    beneath: Beneath,
    era: u32,
    generation: u64,
    events: Vec<Event>,
    /// Verdicts since the last closing: did the call fail? Probes' included.
    verdicts: Vec<bool>,
    hints: Vec<Moment>,
    opened_by: Option<Rule>,
    closed_at: Option<Moment>,
    reopenings: u32,
    given: Vec<Given>,
    totals: Totals,
}

impl Model {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: at(0),
            mode: Mode::Auto,
            beneath: Beneath::Closed,
            era: 0,
            generation: 0,
            events: Vec::new(),
            verdicts: Vec::new(),
            hints: Vec::new(),
            opened_by: None,
            closed_at: None,
            reopenings: 0,
            given: Vec::new(),
            totals: Totals::default(),
        }
    }

    fn masked(&self) -> bool {
        matches!(self.mode, Mode::ForcedOpen | Mode::Disabled)
    }

    fn exported(&self) -> State {
        match (self.mode, self.beneath) {
            (Mode::ForcedOpen, _) => State::Open,
            (Mode::Disabled, _) | (_, Beneath::Closed) => State::Closed,
            (_, Beneath::Open { .. }) => State::Open,
            (_, Beneath::HalfOpen { .. }) => State::HalfOpen,
        }
    }

    fn retry_at(&self) -> Option<Moment> {
        match self.beneath {
            Beneath::Open { retry_at } if !self.masked() => Some(retry_at),
            _ => None,
        }
    }

    fn row(&self) -> u32 {
        self.verdicts
            .iter()
            .rev()
            .take_while(|failed| **failed)
            .count() as u32
    }

    /// Calls, failures, slow calls of the live buckets.
    fn window(&self) -> (u64, u64, u64) {
        let Window { length, buckets } = self.settings.window;
        let width = (length / buckets).as_nanos() as u64;
        let number = |moment: Moment| moment.as_nanos() / width;
        let oldest = number(self.now) - u64::from(buckets) + 1;
        let live: Vec<_> = self
            .events
            .iter()
            .filter(|event| number(event.at) >= oldest)
            .collect();
        let count =
            |test: &dyn Fn(&Event) -> bool| live.iter().filter(|event| test(event)).count() as u64;
        (
            count(&|event| event.call),
            count(&|event| event.failed == Some(true)),
            count(&|event| event.slow),
        )
    }

    fn in_flight(&self) -> u32 {
        let held = |given: &&Given| match given.role {
            Role::Probe { until } => self.now < until,
            _ => false,
        };
        self.given.iter().filter(held).count() as u32
    }

    fn hint_until(&self) -> Option<Moment> {
        self.hints
            .iter()
            .copied()
            .filter(|until| self.now < *until)
            .max()
    }

    fn exponent(&self) -> u32 {
        if self.beneath != Beneath::Closed {
            return self.reopenings;
        }
        let forget = self.settings.reset_timeout * self.settings.forget_after;
        let recent = self
            .closed_at
            .is_some_and(|closed| self.now.saturating_since(closed) < forget);
        if recent { self.reopenings } else { 0 }
    }

    fn shift(&mut self, beneath: Beneath, rule: Option<Rule>, kind: Option<FailureKind>) -> Change {
        let from = self.exported();
        self.beneath = beneath;
        self.era += 1;
        self.generation += 1;
        Change {
            from,
            to: self.exported(),
            rule,
            kind,
            retry_at: self.retry_at(),
        }
    }

    fn open(&mut self, rule: Option<Rule>, kind: Option<FailureKind>) -> Change {
        let closed = self.beneath == Beneath::Closed;
        self.reopenings = match (closed, self.closed_at) {
            (false, _) => self.reopenings + 1,
            (true, Some(closed_at)) => {
                let forget = self.settings.reset_timeout * self.settings.forget_after;
                let recent = self.now.saturating_since(closed_at) < forget;
                if recent { self.reopenings + 1 } else { 0 }
            }
            (true, None) => 0,
        };
        self.opened_by = rule.or(self.opened_by);
        let longest = self.settings.reset_timeout * self.settings.max_open;
        let grown = (0..self.reopenings).fold(self.settings.reset_timeout, |time, _| {
            (time * 2).min(longest)
        });
        let hint = self
            .hint_until()
            .map_or(Duration::ZERO, |until| until.saturating_since(self.now));
        let retry_at = self.now + grown.min(longest).max(hint.min(longest));
        self.shift(Beneath::Open { retry_at }, rule, kind)
    }

    fn close(&mut self) -> Change {
        self.events.clear();
        self.verdicts.clear();
        self.hints.clear();
        self.opened_by = None;
        self.closed_at = Some(self.now);
        self.shift(Beneath::Closed, None, None)
    }

    /// The role of the permit, if one is given, and the transition to half-open.
    fn admit(&mut self) -> (Option<Role>, Option<Change>) {
        let due = self.retry_at().is_some_and(|at| self.now >= at);
        let change = due.then(|| self.shift(Beneath::HalfOpen { successes: 0 }, None, None));
        let free = self.in_flight() < self.settings.half_open.probes;
        let until = self.now + self.settings.half_open.lease;
        let role = match (self.mode, self.beneath) {
            (Mode::Disabled, _) => Some(Role::Uncounted),
            (Mode::ForcedOpen, _) => None,
            (_, Beneath::Closed) => Some(Role::Counted),
            (_, Beneath::HalfOpen { .. }) if free => Some(Role::Probe { until }),
            (Mode::Shadow, _) => Some(Role::Shadowed),
            (Mode::Auto, _) => None,
        };
        self.totals.rejected += u64::from(role.is_none());
        self.totals.would_reject += u64::from(role == Some(Role::Shadowed));
        if let Some(role) = role {
            self.given.push(Given {
                era: self.era,
                role,
                slow: false,
            });
        }
        (role, change)
    }

    fn settle(&mut self, index: usize, outcome: Outcome, slow: bool) -> Option<Change> {
        let given = self.given.remove(index);
        if given.role == Role::Uncounted {
            return None;
        }
        let slow = slow && !given.slow;
        let failed = outcome.failure().is_some();
        self.totals.slow += u64::from(slow);
        self.totals.failures += u64::from(failed);
        self.totals.neutral += u64::from(outcome == Outcome::Neutral);
        self.totals.successes += u64::from(outcome == Outcome::Success);
        if given.era != self.era || self.masked() {
            return None;
        }
        match given.role {
            Role::Counted => self.verdict_closed(outcome, slow, given.slow),
            Role::Probe { until } if self.now < until => self.verdict_of_probe(outcome),
            _ => None,
        }
    }

    fn take_failure(&mut self, outcome: Outcome) {
        if let Outcome::Overload {
            retry_after: Some(hint),
        } = outcome
        {
            let longest = self.settings.reset_timeout * self.settings.max_open;
            self.hints.push(self.now + hint.min(longest));
        }
    }

    fn verdict_closed(&mut self, outcome: Outcome, slow: bool, counted: bool) -> Option<Change> {
        let failed = (outcome != Outcome::Neutral).then_some(outcome.failure().is_some());
        if failed.is_none() && !slow {
            return None;
        }
        self.events.push(Event {
            at: self.now,
            call: !counted,
            slow,
            failed,
        });
        self.verdicts.extend(failed);
        self.take_failure(outcome);
        self.judge(failed == Some(true), slow, outcome.failure())
    }

    fn judge(&mut self, failed: bool, slow: bool, kind: Option<FailureKind>) -> Option<Change> {
        let (calls, failures, slows) = self.window();
        let settings = self.settings;
        let reached = |part: u64, threshold: f64, min: u32| {
            calls >= u64::from(min) && part as f64 / calls as f64 >= threshold
        };
        let rules = [
            (
                Rule::Consecutive,
                failed
                    && settings
                        .consecutive
                        .is_some_and(|max| self.row() >= max.get()),
            ),
            (
                Rule::Rate,
                failed
                    && settings
                        .rate
                        .is_some_and(|rule| reached(failures, rule.threshold, rule.min_calls)),
            ),
            (
                Rule::Slow,
                (failed || slow)
                    && settings
                        .slow
                        .is_some_and(|rule| reached(slows, rule.threshold, rule.min_calls)),
            ),
        ];
        let met = rules.into_iter().find(|(_, met)| *met);
        met.map(|(rule, _)| self.open(Some(rule), kind))
    }

    fn verdict_of_probe(&mut self, outcome: Outcome) -> Option<Change> {
        let Beneath::HalfOpen { successes } = self.beneath else {
            return None;
        };
        match outcome {
            Outcome::Neutral => None,
            Outcome::Success => {
                self.verdicts.push(false);
                self.beneath = Beneath::HalfOpen {
                    successes: successes + 1,
                };
                (successes + 1 >= self.settings.half_open.successes).then(|| self.close())
            }
            Outcome::Failure(_) | Outcome::Overload { .. } => {
                self.verdicts.push(true);
                self.take_failure(outcome);
                Some(self.open(None, outcome.failure()))
            }
        }
    }

    fn mark_slow(&mut self, index: usize) -> Option<Change> {
        let given = self.given[index];
        if given.slow || given.role == Role::Uncounted {
            return None;
        }
        self.given[index].slow = true;
        self.totals.slow += 1;
        if given.role != Role::Counted || given.era != self.era || self.masked() {
            return None;
        }
        self.events.push(Event {
            at: self.now,
            call: true,
            slow: true,
            failed: None,
        });
        self.judge(false, true, None)
    }

    fn release(&mut self, index: usize) {
        let given = self.given.remove(index);
        self.totals.neutral += u64::from(given.role != Role::Uncounted);
    }

    fn trip(&mut self) -> Option<Change> {
        let possible = !self.masked() && !matches!(self.beneath, Beneath::Open { .. });
        possible.then(|| self.open(Some(Rule::Probes), Some(FailureKind::Timeout)))
    }

    fn early(&mut self) -> Option<Change> {
        let possible = self.retry_at().is_some() && self.hint_until().is_none();
        possible.then(|| self.shift(Beneath::HalfOpen { successes: 0 }, None, None))
    }

    fn set_mode(&mut self, mode: Mode) -> Option<Change> {
        let (from, was_masked) = (self.exported(), self.masked());
        if mode == self.mode {
            return None;
        }
        self.mode = mode;
        if was_masked || self.masked() {
            self.era += 1;
            self.generation += 1;
        }
        if let (true, Beneath::HalfOpen { successes }) =
            (was_masked || self.masked(), &mut self.beneath)
        {
            *successes = 0;
        }
        let to = self.exported();
        let rule = match (to, mode) {
            (State::Open, Mode::ForcedOpen) => Some(Rule::Operator),
            (State::Open, _) => self.opened_by,
            _ => None,
        };
        (from != to).then(|| Change {
            from,
            to,
            rule,
            kind: None,
            retry_at: self.retry_at(),
        })
    }

    fn reset(&mut self) -> Option<Change> {
        let change = self.close();
        self.closed_at = None;
        self.reopenings = 0;
        (change.from != change.to).then_some(change)
    }
}

fn seen(transition: Option<Transition>, generation: u64, now: Moment) -> Option<Change> {
    transition.map(|transition| {
        assert_eq!((transition.generation, transition.at), (generation, now));
        let Transition {
            from,
            to,
            rule,
            kind,
            retry_at,
            ..
        } = transition;
        Change {
            from,
            to,
            rule,
            kind,
            retry_at,
        }
    })
}

fn role(permit: &Permit<'_>, mode: Mode) -> &'static str {
    match (permit.is_probe(), permit.would_be_rejected(), mode) {
        (true, _, _) => "probe",
        (_, true, _) => "shadowed",
        (_, _, Mode::Disabled) => "uncounted",
        _ => "counted",
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Counted => "counted",
        Role::Probe { .. } => "probe",
        Role::Shadowed => "shadowed",
        Role::Uncounted => "uncounted",
    }
}

/// One step on both sides.
fn step<'a>(breaker: &'a Breaker, permits: &mut Vec<Permit<'a>>, model: &mut Model, step: Step) {
    let now = model.now;
    let (real, expected) = match step {
        Step::Advance { millis } => {
            model.now = now + ms(millis);
            return;
        }
        Step::Admit => {
            let admission = breaker.admit(now);
            let (expected, change) = model.admit();
            let given = admission
                .result
                .as_ref()
                .ok()
                .map(|permit| role(permit, model.mode));
            assert_eq!(given, expected.map(word));
            if let Err(rejected) = &admission.result {
                assert_eq!(
                    (rejected.state, rejected.retry_at),
                    (model.exported(), model.retry_at())
                );
            }
            permits.extend(admission.result);
            (admission.transition, change)
        }
        Step::Settle {
            permit,
            outcome,
            slow,
        } if !permits.is_empty() => {
            let index = permit % permits.len();
            let real = permits.remove(index).settle(outcome, slow, now);
            (real, model.settle(index, outcome, slow))
        }
        Step::Drop { permit } if !permits.is_empty() => {
            let index = permit % permits.len();
            drop(permits.remove(index));
            model.release(index);
            (None, None)
        }
        Step::MarkSlow { permit } if !permits.is_empty() => {
            let index = permit % permits.len();
            (permits[index].mark_slow(now), model.mark_slow(index))
        }
        Step::Settle { .. } | Step::Drop { .. } | Step::MarkSlow { .. } => return,
        Step::Trip => (
            breaker.trip(Rule::Probes, FailureKind::Timeout, now),
            model.trip(),
        ),
        Step::Early => (breaker.half_open_early(now), model.early()),
        Step::SetMode(mode) => (breaker.set_mode(mode, now), model.set_mode(mode)),
        Step::Reset => (breaker.reset(now), model.reset()),
    };
    assert_eq!(seen(real, model.generation, now), expected);
}

fn compare(breaker: &Breaker, model: &Model) {
    let snapshot = breaker.snapshot(model.now);
    assert_eq!(
        (snapshot.state, snapshot.mode),
        (model.exported(), model.mode)
    );
    assert_eq!(
        (snapshot.generation, snapshot.failures_in_row),
        (model.generation, model.row())
    );
    assert_eq!(snapshot.retry_at, model.retry_at());
    let ready = model.retry_at().is_some_and(|at| model.now >= at);
    assert_eq!(snapshot.ready_for_half_open, ready);
    assert_eq!(snapshot.hint_until, model.hint_until());
    assert_eq!(snapshot.reopenings, model.exponent());
    assert_eq!(snapshot.probes_in_flight, model.in_flight());
    let windows = model.settings.rate.is_some() || model.settings.slow.is_some();
    let window = (
        snapshot.window.calls,
        snapshot.window.failures,
        snapshot.window.slow,
    );
    assert_eq!(window, if windows { model.window() } else { (0, 0, 0) });
    let totals = Totals {
        successes: snapshot.totals.successes.unwrap_or(model.totals.successes),
        failures: snapshot.totals.failures,
        slow: snapshot.totals.slow,
        neutral: snapshot.totals.neutral,
        rejected: snapshot.totals.rejected,
        would_reject: snapshot.totals.would_reject,
    };
    assert_eq!(totals, model.totals);
    assert_eq!(snapshot.totals.successes.is_some(), windows);
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let rules = (any::<bool>(), any::<bool>(), any::<bool>());
    (rules, 2..5_u32, 1..4_u32, 1..4_u32).prop_map(|((row, rate, slow), max, probes, successes)| {
        Settings {
            consecutive: NonZeroU32::new(max).filter(|_| row),
            window: Window {
                length: ms(1_000),
                buckets: 10,
            },
            rate: rate.then_some(RateRule {
                threshold: 0.5,
                min_calls: 6,
            }),
            slow: slow.then_some(SlowRule {
                after: ms(50),
                threshold: 0.6,
                min_calls: 5,
            }),
            reset_timeout: ms(300),
            max_open: 4,
            forget_after: 3,
            jitter: 0.0,
            half_open: HalfOpen {
                probes,
                successes,
                lease: ms(200),
            },
            ramp: Some(ms(100)),
        }
    })
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Success),
        4 => Just(Outcome::Failure(FailureKind::Connect)),
        1 => proptest::option::of(0..2_000_u64)
            .prop_map(|hint| Outcome::Overload { retry_after: hint.map(ms) }),
        1 => Just(Outcome::Neutral),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let permit = || 0..100_usize;
    prop_oneof![
        30 => Just(Step::Admit),
        30 => (permit(), any_outcome(), any::<bool>())
            .prop_map(|(permit, outcome, slow)| Step::Settle { permit, outcome, slow }),
        3 => permit().prop_map(|permit| Step::Drop { permit }),
        6 => permit().prop_map(|permit| Step::MarkSlow { permit }),
        12 => prop_oneof![4 => 0..60_u64, 2 => 60..400_u64, 1 => 400..3_000_u64]
            .prop_map(|millis| Step::Advance { millis }),
        1 => Just(Step::Trip),
        2 => Just(Step::Early),
        2 => prop_oneof![4 => Just(Mode::Auto), 1 => prop::sample::select(&Mode::ALL)].prop_map(Step::SetMode),
        1 => Just(Step::Reset),
    ]
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { 256 };
    // Miri allows no files.
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_breaker_does_what_the_naive_model_does(
        settings in any_settings(),
        steps in proptest::collection::vec(any_step(), 1..if cfg!(miri) { 60 } else { 300 }),
    ) {
        let breaker = Breaker::new(settings, 0).expect("sensible");
        let (mut permits, mut model) = (Vec::new(), Model::new(settings));
        for next in steps {
            step(&breaker, &mut permits, &mut model, next);
            compare(&breaker, &model);
        }
        permits.into_iter().for_each(|permit| permit.into_ticket().release(&breaker));
    }
}
