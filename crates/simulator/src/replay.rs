//! Plays a recording again: what happened, as a story, and what another policy would have done.
//!
//! The controller is the real one. Under the recorded settings it must decide what was recorded, and a story says so
//! ([`Fidelity::Exact`]) or where it doesn't. Under other rules the same calls, probes and transitions are judged anew:
//! exact for the controller, and where the rules would have made other calls or probes, a story names them as left out
//! ([`Unplayed`]). Other breaker settings would have let other calls pass, which nobody recorded; their effect is
//! estimated, and labelled so: such a breaker goes with the recorded one until its settings act otherwise, and from there
//! on lives on what was counted each second and on what probes found while calls were rejected.
//!
//! ```
//! use mainstay_degradation::{Language, Level};
//! use mainstay_simulator::{Condition, Fidelity, Scenario, WhatIf, World, replay};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let seconds = Duration::from_secs;
//! let outage = Scenario::quiet().outage("redis", seconds(60), seconds(90), Condition::Refuses);
//! let mut world = World::new(outage, 7)?;
//! world.record();
//! world.run(seconds(180));
//! let story = replay(&world.recording(), &WhatIf::default(), Language::English)?;
//! assert_eq!(story.fidelity, Fidelity::Exact);
//! assert_eq!(story.summary.away[0].worst, Level::Degraded);
//! # Ok(())
//! # }
//! ```

mod estimate;
mod names;
mod player;
mod policy;
mod story;
mod trouble;
mod unplayed;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_degradation::recording::{Bounds, Entries, Entry, RecordingError, read};
use mainstay_degradation::{Language, Rules};

pub use story::{Away, Fidelity, Happened, Lane, LevelSpan, Story, Summary};
pub use unplayed::Unplayed;

use player::Player;

/// What is to be otherwise than it was. Nothing, by default.
#[derive(Debug, Clone, Default)]
pub struct WhatIf {
    /// The controller's rules, from beginning to end, whatever was reloaded meanwhile; `None`: as they were, changes
    /// during the recording included.
    pub rules: Option<Rules>,
    /// Settings of breakers, by endpoint, from beginning to end; what isn't named stays as it was.
    pub breakers: BTreeMap<String, mainstay_breaker::Settings>,
    /// Limits of calls in flight, by endpoint. They are not replayed: a story names those that were others
    /// ([`Unplayed::Limit`]), or that nobody recorded.
    pub limits: BTreeMap<String, u32>,
    /// How long one attempt may take, by endpoint: the same ([`Unplayed::Deadline`]).
    pub deadlines: BTreeMap<String, Duration>,
    /// Settings that would make other calls and that no recording tells: a story names them ([`Unplayed::Untold`]).
    pub untold: BTreeSet<String>,
}

/// How the endpoints were set up, each in the order of the rules.
#[derive(Debug, Default)]
struct Deployed {
    /// Their breakers after every reload.
    breakers: Vec<Vec<mainstay_breaker::Settings>>,
    /// What bounded their calls, at first and after every reload.
    bounds: Vec<Vec<Bounds>>,
}

/// The story of a recording. One that is cut off or damaged is told as far as it goes, see [`Story::broken`].
///
/// # Errors
/// When it is no recording, has another format, or not even its head can be read.
pub fn replay(
    recording: &[u8],
    what_if: &WhatIf,
    language: Language,
) -> Result<Story, RecordingError> {
    let (head, entries) = read(recording)?;
    let deployed = if what_if.is_deployed() {
        Deployed::read(entries.clone())
    } else {
        Deployed::default()
    };
    let mut player = Player::new(head, what_if, &deployed, language);
    let mut broken = None;
    for entry in entries {
        match entry {
            Ok(entry) => player.play(entry),
            Err(error) => broken = Some(error),
        }
    }
    Ok(player.finish(broken))
}

impl WhatIf {
    /// It names settings that a recording holds by endpoint.
    fn is_deployed(&self) -> bool {
        !(self.breakers.is_empty() && self.limits.is_empty() && self.deadlines.is_empty())
    }
}

impl Deployed {
    fn read(entries: Entries<'_>) -> Self {
        let mut deployed = Self::default();
        for entry in entries {
            match entry {
                Ok(Entry::Breakers(settings)) => deployed.breakers.push(settings),
                Ok(Entry::Bounds(bounds)) => deployed.bounds.push(bounds),
                _ => {}
            }
        }
        deployed
    }
}
