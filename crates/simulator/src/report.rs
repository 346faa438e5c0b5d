//! What a world shows: its trace, where the time went, how long outages took to be noticed and to be over.

use std::fmt::{self, Write as _};
use std::time::Duration;

use mainstay_breaker::{Rule, State};
use mainstay_degradation::Level;

use crate::checks::Violation;

/// Everything that happened, one line each: seconds, then what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace(String);

impl Trace {
    pub(crate) fn line(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        let (seconds, millis) = (at.as_secs(), at.subsec_millis());
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "{seconds}.{millis:03} {what}");
    }

    /// The lines.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// FNV-1a over the text: equal for equal traces.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        self.0.as_bytes().iter().fold(0xCBF2_9CE4_8422_2325, step)
    }
}

/// One change of the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelChange {
    /// When.
    pub at: Duration,
    /// The level before.
    pub from: Level,
    /// The level after.
    pub to: Level,
}

/// One change of a breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerChange {
    /// When.
    pub at: Duration,
    /// Whose.
    pub endpoint: String,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// What opened it.
    pub rule: Option<Rule>,
}

/// A time during which every call and every probe of an endpoint failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Whose.
    pub endpoint: String,
    /// When it began.
    pub began: Duration,
    /// When it was over; `None`: it goes on.
    pub ended: Option<Duration>,
    /// From its beginning until the breaker was open; `None`: it went by unnoticed, or isn't noticed yet.
    pub detected: Option<Duration>,
    /// From its end until the breaker was closed; `None`: it isn't, or it never opened.
    pub recovered: Option<Duration>,
}

/// What became of all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallCounts {
    /// They succeeded.
    pub succeeded: u64,
    /// They failed.
    pub failed: u64,
    /// A breaker rejected them.
    pub rejected: u64,
    /// Their callers left, their verdict was held back, or no place came free.
    pub neutral: u64,
}

/// What a world shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Everything, line by line.
    pub trace: Trace,
    /// Time spent at each level, best first.
    pub time_at: [Duration; 5],
    /// Every change of the level.
    pub level_changes: Vec<LevelChange>,
    /// Every change of a breaker.
    pub breaker_changes: Vec<BreakerChange>,
    /// Every outage.
    pub outages: Vec<Outage>,
    /// What became of the calls.
    pub calls: CallCounts,
    /// Whatever must never happen, and did.
    pub violations: Vec<Violation>,
}

/// What is gathered while a world runs.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) trace: Trace,
    pub(crate) level_changes: Vec<LevelChange>,
    pub(crate) breaker_changes: Vec<BreakerChange>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) calls: CallCounts,
}

impl Record {
    pub(crate) fn ill(&mut self, at: Duration, endpoint: &str) {
        if self.running(endpoint).is_none() {
            self.outages.push(Outage {
                endpoint: endpoint.to_owned(),
                began: at,
                ended: None,
                detected: None,
                recovered: None,
            });
        }
    }

    pub(crate) fn no_longer_ill(&mut self, at: Duration, endpoint: &str) {
        if let Some(outage) = self.running(endpoint) {
            outage.ended = Some(at);
        }
    }

    pub(crate) fn breaker(&mut self, change: BreakerChange) {
        let (at, to) = (change.at, change.to);
        let mine = |outage: &&mut Outage| outage.endpoint == change.endpoint;
        if let Some(outage) = self.outages.iter_mut().rev().find(mine) {
            if to == State::Open && outage.ended.is_none() && outage.detected.is_none() {
                outage.detected = Some(at.saturating_sub(outage.began));
            }
            let over = outage.ended.filter(|_| outage.detected.is_some());
            if let (State::Closed, Some(ended), None) = (to, over, outage.recovered) {
                outage.recovered = Some(at.saturating_sub(ended));
            }
        }
        self.breaker_changes.push(change);
    }

    fn running(&mut self, endpoint: &str) -> Option<&mut Outage> {
        let mine = |outage: &&mut Outage| outage.endpoint == endpoint && outage.ended.is_none();
        self.outages.iter_mut().rev().find(mine)
    }
}

/// How long each level was held, from EMERGENCY at the start.
pub(crate) fn time_at(changes: &[LevelChange], until: Duration) -> [Duration; 5] {
    let mut times = [Duration::ZERO; 5];
    let (mut level, mut since) = (Level::Emergency, Duration::ZERO);
    for change in changes {
        times[level.index()] += change.at.saturating_sub(since);
        (level, since) = (change.to, change.at);
    }
    times[level.index()] += until.saturating_sub(since);
    times
}
