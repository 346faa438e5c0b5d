//! The controller's inputs as bytes, so that an outage can be replayed: the format, and nothing about files.
//!
//! A recording is one stream:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `mainrec\n` |
//! | 2 | [`VERSION`], little-endian |
//! | 4 + n | length, little-endian, and the [`Head`]: when it begins, every breaker's settings, and the controller itself with its rules, seed and memory, so that a recording may begin at any time |
//! | 4 + n, again and again | length and an [`Entry`]: an input, the breakers' new settings, what bounds calls, what was decided, or the digest of what was done |
//!
//! Head and entries are written by `postcard` from the types they are. Times are steps since the entry before, and
//! ticks without news are counted instead of repeated. Whoever keeps a recording compresses it and begins another
//! one when it has grown enough; each stands by itself. A recording that was cut off is good up to its last whole
//! entry.
//!
//! It holds the names in the settings, counts, times and kinds: no addresses, keys, statements or messages, since the
//! types of the inputs have no place for any.
//!
//! ```
//! use mainstay_degradation::recording::{Encoder, Entry, Head, read};
//! use mainstay_degradation::{Controller, Input, Moment, Settings};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let rules = Settings::standard().validate().map_err(|_| "standard settings are sound")?;
//! let now = Moment::from_nanos(1_000_000_000);
//! let mut controller = Controller::new(rules, now);
//! let mut bytes = Vec::new();
//! let head = Head { at: now, wall_ms: 0, program: "1.0".into(), breakers: Vec::new(), controller: controller.clone() };
//! let mut encoder = Encoder::new(&head, &mut bytes);
//!
//! let (input, mut effects) = (Input::Tick { observed: Vec::new() }, Vec::new());
//! encoder.input(now, &input, &mut bytes);
//! controller.handle(now, input.clone(), &mut effects);
//! encoder.effects(&effects, &mut bytes);
//! encoder.flush(&mut bytes);
//!
//! let (head, mut entries) = read(&bytes)?;
//! assert_eq!(head.at, now);
//! assert_eq!(entries.next(), Some(Ok(Entry::Input { at: now, input })));
//! assert!(matches!(entries.next(), Some(Ok(Entry::Decided(_)))));
//! assert!(matches!(entries.next(), Some(Ok(Entry::Done(_)))), "the first probes are asked for");
//! assert_eq!(entries.next(), None);
//! # Ok(())
//! # }
//! ```

mod decoder;
mod digest;
mod encoder;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use crate::controller::{Controller, Effect, Input};
use crate::features::FeatureMode;
use crate::level::{HeldBy, Level};

pub use decoder::{Entries, read};
pub use digest::digest;
pub use encoder::Encoder;

/// The format's number: it grows with every change of a type that is written. A kind of entry that is added after the
/// others changes no type: recordings without it are read as before.
pub const VERSION: u16 = 2;

const MAGIC: [u8; 8] = *b"mainrec\n";
/// No entry is longer; a length beyond it is nonsense.
const LONGEST: usize = 64 << 20;
/// Ticks that one entry stands for at most, so that little is lost when a recording is cut off.
const LONGEST_RUN: u32 = 600;

/// What a recording begins with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    /// When it begins, by the clock of its entries.
    pub at: Moment,
    /// The same, in milliseconds since 1970.
    pub wall_ms: i64,
    /// Who wrote it: name and version of the program.
    pub program: String,
    /// Each endpoint's breaker as it was set, in the order of the rules; empty if nobody knows.
    pub breakers: Vec<mainstay_breaker::Settings>,
    /// The controller as it was before the first entry.
    pub controller: Controller,
}

/// One thing that was recorded.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// The controller was told something.
    Input {
        /// When.
        at: Moment,
        /// What.
        input: Input,
    },
    /// The last input led to another decision than the ones before.
    Decided(Decided),
    /// The breakers were set anew: each endpoint's, in the order of the rules in force.
    Breakers(Vec<mainstay_breaker::Settings>),
    /// The last input had other effects than a snapshot: their [`digest()`].
    Done(u64),
    /// What bounds calls from here on: each endpoint's, in the order of the rules in force.
    Bounds(Vec<Bounds>),
}

/// What bounds an endpoint's calls. The level and cascades take from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Calls in flight at most.
    pub limit: u32,
    /// How long one attempt may take.
    pub deadline: Duration,
}

/// What readers of a snapshot act on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The overall score.
    pub score: f64,
    /// Its band.
    pub target: Level,
    /// The level.
    pub level: Level,
    /// What holds it.
    pub held_by: Option<HeldBy>,
    /// What each feature may do, in the order of the rules.
    pub features: Vec<FeatureMode>,
}

impl Decided {
    /// What these effects decide; `None`: they publish nothing.
    #[must_use]
    pub fn by(effects: &[Effect]) -> Option<Self> {
        let published = effects.iter().rev().find_map(|effect| match effect {
            Effect::Publish(snapshot) => Some(snapshot),
            _ => None,
        })?;
        Some(Self {
            score: published.score,
            target: published.target,
            level: published.level,
            held_by: published.held_by,
            features: published.features.iter().map(|one| one.mode).collect(),
        })
    }
}

/// An entry as it is written. Steps are nanoseconds since the entry before.
#[derive(Deserialize)]
enum Kept {
    Idle { step: i64, count: u32 },
    Tick { step: i64, news: Vec<News> },
    Input { step: i64, input: Input },
    Decided(Decided),
    Breakers(Vec<mainstay_breaker::Settings>),
    Done(u64),
    Bounds(Vec<Bounds>),
}

/// An endpoint of which a tick has something to say.
type News = (crate::settings::EndpointId, crate::controller::Observed);

/// The same, borrowed. The order of the variants is the format.
#[derive(Serialize)]
enum Keeping<'a> {
    Idle { step: i64, count: u32 },
    Tick { step: i64, news: Vec<&'a News> },
    Input { step: i64, input: &'a Input },
    Decided(&'a Decided),
    Breakers(&'a [mainstay_breaker::Settings]),
    Done(u64),
    Bounds(&'a [Bounds]),
}

/// Why a recording can't be read, or not further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingError {
    /// It doesn't begin like one.
    NotARecording,
    /// It was written in another format.
    Version {
        /// In this one.
        found: u16,
    },
    /// It ends within its head or an entry: whoever wrote it was cut off.
    CutOff,
    /// What stands there makes no sense.
    Damaged {
        /// Where, in bytes from the beginning.
        at: usize,
    },
}

impl fmt::Display for RecordingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecording => formatter.write_str("this is no recording"),
            Self::Version { found } => write!(
                formatter,
                "the recording has format {found} and this program reads {VERSION}: \
                 use the version of the program that wrote it"
            ),
            Self::CutOff => formatter.write_str("the recording ends in the middle of an entry"),
            Self::Damaged { at } => write!(formatter, "the recording is damaged at byte {at}"),
        }
    }
}

impl core::error::Error for RecordingError {}
