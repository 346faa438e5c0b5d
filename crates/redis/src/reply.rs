//! What an operation answers: a closed set of words in which absent, empty and unknown never look alike.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::value::Blob;

/// An answer. In JSON an object whose `status` names the variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Reply {
    /// The value is there.
    Hit {
        /// The value.
        value: Blob,
    },
    /// The store says that there is no such key, or no such field in it.
    Absent,
    /// Redis can't be asked and memory doesn't know: the key may or may not exist.
    Unknown,
    /// Memory has taken the change while Redis is down, but can't know its result. Volatile.
    Applied,
    /// Stored.
    Stored,
    /// Not stored: the condition doesn't hold.
    NotStored,
    /// The key was there and is gone.
    Deleted,
    /// The counter's new value.
    Counter {
        /// The value.
        value: i64,
    },
    /// Counted in memory while Redis is down, on a counter whose value memory doesn't know. Volatile.
    Delta {
        /// What was counted here and Redis hasn't taken yet.
        delta: i64,
        /// Always `null`: the counter's value can't be known.
        value: (),
    },
    /// How many elements the key has (now).
    Length {
        /// At least 1: a key without elements doesn't exist.
        length: u64,
    },
    /// How many members or fields are new, or gone.
    Changed {
        /// May be 0.
        changed: u64,
    },
    /// Elements: in order for lists and sorted sets, by their bytes for sets. Empty when the range lies outside.
    Values {
        /// The elements.
        values: Vec<Blob>,
    },
    /// A hash, ordered by the fields' bytes.
    Fields {
        /// Its fields.
        fields: Vec<Field>,
    },
    /// Members with their scores, in order.
    Members {
        /// The members.
        members: Vec<Member>,
    },
    /// The key ends after this time.
    Expires {
        /// In JSON: seconds, with milliseconds as fraction.
        #[serde(serialize_with = "seconds")]
        ttl: Duration,
    },
    /// The key is there and doesn't expire.
    Persistent,
    /// The store answers.
    Pong,
}

/// A field of a hash.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Its name.
    pub field: Blob,
    /// Its value.
    pub value: Blob,
}

/// A member of a sorted set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// The member.
    pub member: Blob,
    /// Its score.
    pub score: f64,
}

impl Reply {
    /// `Absent` for 0: a key without elements doesn't exist.
    pub(crate) fn length(length: u64) -> Self {
        if length == 0 {
            Self::Absent
        } else {
            Self::Length { length }
        }
    }

    /// Whether a write that answers this has changed the key.
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::NotStored | Self::Absent)
    }

    pub(crate) fn from_option(value: Option<Blob>) -> Self {
        value.map_or(Self::Absent, |value| Self::Hit { value })
    }
}

fn seconds<S: Serializer>(ttl: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(ttl.as_secs_f64())
}
