//! What is known of a dependency's fallbacks: whether one is in use, and when each last worked.
//!
//! A fallback that nobody has tried fails at the worst moment. So adapters say which fallbacks they have, answers in
//! earnest and exercises are noted, and what is neglected is told. Ages outlive the process in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::kept;

/// Without an answer for this long a fallback is in use no more.
const LULL: Duration = Duration::from_secs(300);
/// One that has not worked for this long, or never, is exercised out of turn.
const SELDOM: Duration = Duration::from_secs(3_600);
const VERSION: u32 = 1;

/// What became of a fallback when it last worked, or should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exercised {
    /// It gave what the dependency gave.
    Agreed,
    /// It gave something else: older data, or wrong data.
    Differed,
    /// It gave nothing.
    Failed,
    /// It answered a caller in earnest.
    Used,
}

impl Exercised {
    /// The word for replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Differed => "differed",
            Self::Failed => "failed",
            Self::Used => "used",
        }
    }
}

/// One fallback, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct FallbackStatus {
    /// Whose.
    pub dependency: String,
    /// Who answers: a source, e.g. `cache` or `provider:<name>`, or another way that a canary tries.
    pub source: String,
    /// It is exercised while all is well.
    pub exercised: bool,
    /// For how long fallbacks of this dependency have been giving answers.
    pub in_use: Option<Duration>,
    /// When it was last tried, in earnest or as an exercise, and what became of it.
    pub last: Option<(Timestamp, Exercised)>,
    /// How long ago it last worked, or since it was first waited for if it never has.
    pub age: Duration,
}

/// A moment that may lie before this process.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Moment,
    /// How old it was then.
    before: Duration,
}

impl Mark {
    fn age(&self, now: Moment) -> Duration {
        now.saturating_since(self.at) + self.before
    }

    /// From wall time, which may have jumped: never in the future.
    fn of(wall: Timestamp, clock: Clock) -> Self {
        let before = Duration::try_from(clock.wall().duration_since(wall)).unwrap_or_default();
        Self {
            at: clock.now(),
            before,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    exercised: bool,
    /// It is by reads that it is exercised, not by a canary.
    by_reads: bool,
    /// Overdue, and no read has been told so yet.
    wanted: bool,
    /// When it was first waited for.
    since: (Mark, Timestamp),
    worked: Option<(Mark, Timestamp)>,
    last: Option<(Timestamp, Exercised)>,
}

impl Known {
    /// How long ago it last worked, or was first waited for.
    fn age(&self, now: Moment) -> Duration {
        let (mark, _) = self.worked.unwrap_or(self.since);
        mark.age(now)
    }

    fn is_overdue(&self, now: Moment) -> bool {
        self.exercised && (self.worked.is_none() || self.age(now) > SELDOM)
    }
}

/// The fallbacks of one dependency.
#[derive(Debug)]
pub(crate) struct Fallbacks {
    pub(crate) dependency: String,
    /// Since when they give answers, in nanoseconds; 0: they don't.
    in_use_since: AtomicU64,
    last_used: AtomicU64,
    /// The dependency and all its endpoints are well.
    calm: AtomicBool,
    /// One of them should be exercised with its next read, whatever chance says.
    overdue: AtomicBool,
    known: Mutex<BTreeMap<String, Known>>,
    /// Something has to be written down.
    changed: AtomicBool,
}

impl Fallbacks {
    fn new(dependency: String) -> Self {
        Self {
            dependency,
            in_use_since: AtomicU64::new(0),
            last_used: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
            known: Mutex::default(),
            changed: AtomicBool::new(false),
        }
    }

    /// There is such a fallback, and it is exercised.
    pub(crate) fn declare(
        &self,
        source: &str,
        by_reads: bool,
        kept: Option<&WrittenFallback>,
        clock: Clock,
    ) {
        let worked = kept.and_then(|one| one.worked);
        let since = kept.and_then(|one| one.since);
        let since = since.unwrap_or_else(|| clock.wall());
        let known = Known {
            exercised: true,
            by_reads,
            wanted: false,
            since: (Mark::of(since, clock), since),
            worked: worked.map(|wall| (Mark::of(wall, clock), wall)),
            last: kept.and_then(|one| Some((one.last?, one.result?))),
        };
        self.lock().insert(source.to_owned(), known);
    }

    /// The dependency itself has answered.
    pub(crate) fn rested(&self) {
        if self.in_use_since.load(Ordering::Relaxed) != 0 {
            self.in_use_since.store(0, Ordering::Relaxed);
        }
    }

    /// It has answered a caller.
    pub(crate) fn used(&self, source: &str, clock: Clock) {
        let now = clock.now();
        let nanos = now.as_nanos().max(1);
        let before = Moment::from_nanos(self.last_used.swap(nanos, Ordering::Relaxed));
        let lull = now.saturating_since(before) > LULL;
        if lull {
            self.in_use_since.store(nanos, Ordering::Relaxed);
        } else {
            let order = Ordering::Relaxed;
            let _ = self.in_use_since.compare_exchange(0, nanos, order, order);
        }
        self.note(source, Exercised::Used, clock);
    }

    /// It was tried, and this became of it. What gave older data has worked.
    pub(crate) fn note(&self, source: &str, ended: Exercised, clock: Clock) {
        self.keep(source, ended, ended != Exercised::Failed, clock);
    }

    /// A canary tried it. Nobody else has changed a canary, so what gave something else has not worked.
    pub(crate) fn note_canary(&self, way: &str, ended: Exercised, clock: Clock) {
        self.keep(way, ended, ended == Exercised::Agreed, clock);
    }

    fn keep(&self, source: &str, ended: Exercised, worked: bool, clock: Clock) {
        let (now, wall) = (clock.now(), clock.wall());
        let mut all = self.lock();
        let known = all.entry(source.to_owned()).or_insert(Known {
            exercised: false,
            by_reads: false,
            wanted: false,
            since: (Mark::of(wall, clock), wall),
            worked: None,
            last: None,
        });
        known.last = Some((wall, ended));
        if worked {
            let mark = Mark {
                at: now,
                before: Duration::ZERO,
            };
            known.worked = Some((mark, wall));
        }
        self.changed.store(true, Ordering::Relaxed);
    }

    /// For how long it has been giving answers.
    pub(crate) fn in_use(&self, now: Moment) -> Option<Duration> {
        let since = self.in_use_since.load(Ordering::Relaxed);
        let last = Moment::from_nanos(self.last_used.load(Ordering::Relaxed));
        let lively = now.saturating_since(last) <= LULL;
        (since != 0 && lively).then(|| now.saturating_since(Moment::from_nanos(since)))
    }

    /// How long ago the one of them that is most neglected worked; `None`: none is exercised.
    pub(crate) fn neglected(&self, now: Moment) -> Option<Duration> {
        let all = self.lock();
        let exercised = all.values().filter(|known| known.exercised);
        exercised.map(|known| known.age(now)).max()
    }

    /// Whether the dependency is well. Once it is again nobody may have asked it yet, but no fallback stands in for it
    /// any more.
    pub(crate) fn set_calm(&self, calm: bool) {
        if calm && !self.calm.swap(calm, Ordering::Relaxed) {
            self.rested();
        }
        self.calm.store(calm, Ordering::Relaxed);
    }

    /// All is well: there may be exercises.
    pub(crate) fn is_calm(&self, clock: Clock) -> bool {
        // Most reads ask this, and need no clock: nothing has been in use.
        let resting = || self.in_use_since.load(Ordering::Relaxed) == 0;
        self.calm.load(Ordering::Relaxed) && (resting() || self.in_use(clock.now()).is_none())
    }

    /// Looks for one that chance has left out for too long. Asked now and then, so that reads need not look.
    pub(crate) fn find_overdue(&self, now: Moment) {
        let mut found = false;
        for known in self.lock().values_mut() {
            known.wanted = known.by_reads && known.is_overdue(now);
            found |= known.wanted;
        }
        self.overdue.store(found, Ordering::Relaxed);
    }

    /// Whether this one is overdue; told once until the next look.
    pub(crate) fn take_overdue(&self, source: &str, clock: Clock) -> bool {
        if !self.overdue.load(Ordering::Relaxed) {
            return false;
        }
        let now = clock.now();
        let mut all = self.lock();
        let Some(known) = all.get_mut(source).filter(|known| known.wanted) else {
            return false;
        };
        known.wanted = false;
        let overdue = known.is_overdue(now);
        let others = all.values().any(|known| known.wanted);
        self.overdue.store(others, Ordering::Relaxed);
        overdue
    }

    /// Whether it is time to try this one. Takes a lock, and is asked now and then.
    pub(crate) fn is_seldom(&self, way: &str, now: Moment) -> bool {
        let known = self.lock().get(way).copied();
        known.is_some_and(|known| known.is_overdue(now))
    }

    pub(crate) fn status(&self, now: Moment) -> Vec<FallbackStatus> {
        let in_use = self.in_use(now);
        let all = self.lock();
        let one = |(source, known): (&String, &Known)| FallbackStatus {
            dependency: self.dependency.clone(),
            source: source.clone(),
            exercised: known.exercised,
            in_use,
            last: known.last,
            age: known.age(now),
        };
        all.iter().map(one).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Nothing panics while the lock is held.
        self.known.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// As written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    version: u32,
    /// By dependency and source.
    fallbacks: BTreeMap<String, BTreeMap<String, WrittenFallback>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct WrittenFallback {
    /// When it was first waited for.
    since: Option<Timestamp>,
    worked: Option<Timestamp>,
    last: Option<Timestamp>,
    result: Option<Exercised>,
}

/// The file that keeps when fallbacks last worked.
#[derive(Clone, Debug)]
pub(crate) struct FallbackFile {
    path: PathBuf,
    found: Written,
}

impl FallbackFile {
    /// What the file in this data directory holds.
    pub(crate) fn load(data_dir: &Path) -> Self {
        let path = data_dir.join("fallbacks.json");
        let found = kept::read_or_set_aside(&path, |bytes| {
            let found: Written = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
            match found.version {
                VERSION => Ok(found),
                other => Err(format!(
                    "it has format {other}, and this program reads {VERSION}"
                )),
            }
        });
        let found = found.unwrap_or_else(|| Written {
            version: VERSION,
            fallbacks: BTreeMap::new(),
        });
        Self { path, found }
    }

    /// A dependency's fallbacks, none declared yet.
    pub(crate) fn of(&self, dependency: &str) -> Fallbacks {
        Fallbacks::new(dependency.to_owned())
    }

    /// What was written of one fallback.
    pub(crate) fn kept(&self, dependency: &str, source: &str) -> Option<&WrittenFallback> {
        self.found.fallbacks.get(dependency)?.get(source)
    }

    /// What to write, if anything has changed since this was last asked.
    pub(crate) fn changes<'a>(
        &self,
        all: impl Iterator<Item = &'a Fallbacks> + Clone,
    ) -> Option<Vec<u8>> {
        let changed = all
            .clone()
            .map(|one| one.changed.swap(false, Ordering::Relaxed));
        if !changed.fold(!self.path.exists(), |any, one| any | one) {
            return None;
        }
        let mut written = self.found.clone();
        for one in all {
            let sources = written.fallbacks.entry(one.dependency.clone()).or_default();
            for (source, known) in &*one.lock() {
                let fallback = WrittenFallback {
                    since: Some(known.since.1),
                    worked: known.worked.map(|(_, wall)| wall),
                    last: known.last.map(|(wall, _)| wall),
                    result: known.last.map(|(_, result)| result),
                };
                sources.insert(source.clone(), fallback);
            }
        }
        serde_json::to_vec(&written).ok()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
