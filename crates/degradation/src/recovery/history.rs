//! Outages that are over: what a dependency's own past says about how long it stays away.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Outages that are kept of each dependency: more make forecasts hardly better, and each is looked at when an outage
/// begins.
pub const KEPT: usize = 250;

/// One outage of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// How long it lasted, or was seen to last.
    pub lasted: Duration,
    /// It was seen from its beginning to its end; if not, it lasted longer than it was seen.
    pub complete: bool,
    /// How long the dependency had worked before; `None`: that was not seen.
    pub worked: Option<Duration>,
}

/// How a dependency was last seen, in times before the moment that this is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It has worked without an outage.
    Works {
        /// For so long.
        lasts: Duration,
    },
    /// It is in an outage.
    Down {
        /// For so long.
        lasts: Duration,
        /// Of these, it was watched for so long, from the beginning on.
        seen: Duration,
        /// How long it had worked before; `None`: that was not seen.
        worked: Option<Duration>,
        /// Its beginning was seen.
        begun: bool,
    },
}

/// The outages of every dependency, by its name, oldest first, and how each stands: plain data, to be written down and
/// handed back at the next start ([`Input::History`](crate::Input::History)).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutageHistory {
    /// By the dependency's name: those that are over.
    pub dependencies: BTreeMap<String, VecDeque<Outage>>,
    /// By the dependency's name.
    pub standing: BTreeMap<String, Standing>,
}

impl OutageHistory {
    /// A dependency's outages, oldest first.
    pub fn of(&self, name: &str) -> impl DoubleEndedIterator<Item = &Outage> + ExactSizeIterator {
        const NONE: &VecDeque<Outage> = &VecDeque::new();
        self.dependencies.get(name).unwrap_or(NONE).iter()
    }

    /// Adds the newest outage and drops the oldest beyond [`KEPT`].
    pub fn push(&mut self, name: &str, outage: Outage) {
        if !self.dependencies.contains_key(name) {
            self.dependencies.insert(name.into(), VecDeque::new());
        }
        if let Some(outages) = self.dependencies.get_mut(name) {
            outages.push_back(outage);
            shorten(outages);
        }
    }

    /// Puts an earlier history before this one.
    pub(crate) fn follow(&mut self, earlier: Self) {
        for (name, mut outages) in earlier.dependencies {
            let later = self.dependencies.entry(name).or_default();
            outages.append(later);
            shorten(&mut outages);
            *later = outages;
        }
    }
}

fn shorten(outages: &mut VecDeque<Outage>) {
    let beyond = outages.len().saturating_sub(KEPT);
    outages.drain(..beyond);
}

/// How a dependency has recovered: figures over its last outages that were seen from beginning to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recoveries {
    /// How many.
    pub count: u32,
    /// Half of them took at most this long.
    pub median: Duration,
    /// Nine of ten took at most this long.
    pub p90: Duration,
    /// The longest.
    pub longest: Duration,
    /// The last.
    pub last: Duration,
}

impl Recoveries {
    /// `None` without any.
    pub fn of<'a>(outages: impl IntoIterator<Item = &'a Outage>) -> Option<Self> {
        let complete = outages.into_iter().filter(|outage| outage.complete);
        let mut lasted: Vec<Duration> = complete.map(|outage| outage.lasted).collect();
        let last = *lasted.last()?;
        lasted.sort_unstable();
        // The smallest that at least this share of all doesn't exceed.
        let at = |tenths: usize| lasted[(lasted.len() * tenths).div_ceil(10) - 1];
        Some(Self {
            count: u32::try_from(lasted.len()).unwrap_or(u32::MAX),
            median: at(5),
            p90: at(9),
            longest: lasted[lasted.len() - 1],
            last,
        })
    }
}
