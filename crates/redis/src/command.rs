//! The operations, as a closed type: what is done, to which key, and what repeating it would mean.

use std::time::Duration;

use crate::value::{Blob, Key};

/// One operation that a caller may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Asks whether the store answers.
    Ping,
    /// Does something to one key.
    At {
        /// The key.
        key: Key,
        /// What to do.
        action: Action,
    },
}

/// What is done to a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The value of a string key.
    Get,
    /// Stores a string, whatever the key held before.
    Set {
        /// The value.
        value: Blob,
        /// What becomes of the key's time to live.
        expiry: SetExpiry,
        /// When to store at all.
        condition: SetCondition,
    },
    /// Removes the key.
    Delete,
    /// Adds to an integer, which starts at 0.
    Incr {
        /// How much; negative to subtract.
        by: i64,
    },
    /// Adds to one end of a list, one value after the other.
    Push {
        /// Which end.
        end: End,
        /// At least one.
        values: Vec<Blob>,
    },
    /// Takes one value from an end of a list.
    Pop {
        /// Which end.
        end: End,
    },
    /// The length of a list.
    Llen,
    /// Part of a list.
    Lrange(Range),
    /// Adds members to a set.
    Sadd(Vec<Blob>),
    /// Removes members from a set.
    Srem(Vec<Blob>),
    /// All members of a set.
    Smembers,
    /// How many members a set has.
    Scard,
    /// Writes fields of a hash.
    Hset(Vec<(Blob, Blob)>),
    /// One field of a hash.
    Hget(Blob),
    /// All fields of a hash.
    Hgetall,
    /// Removes fields of a hash.
    Hdel(Vec<Blob>),
    /// Adds members to a sorted set, or gives them a new score.
    Zadd(Vec<(f64, Blob)>),
    /// Part of a sorted set, from the lowest score up; equal scores are ordered by the member's bytes.
    Zrange {
        /// Which part.
        range: Range,
        /// Whether to return the scores too.
        with_scores: bool,
    },
    /// How many members a sorted set has.
    Zcard,
    /// Gives the key a time to live.
    Expire(Duration),
    /// How long the key has to live.
    Ttl,
}

/// What `set` does to the key's time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExpiry {
    /// The key lives until it's deleted.
    Never,
    /// It lives this long.
    After(Duration),
    /// It keeps the time it had.
    Keep,
}

/// When `set` stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCondition {
    /// Always.
    Always,
    /// Only where there is no key.
    IfAbsent,
    /// Only where there is one.
    IfPresent,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its head.
    Left,
    /// Its tail.
    Right,
}

/// Positions, both included; negative ones count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first position.
    pub start: i64,
    /// The last position.
    pub stop: i64,
}

impl Range {
    /// The positions that exist in a sequence of `len`, as Redis counts them.
    pub(crate) fn within(self, len: usize) -> std::ops::Range<usize> {
        let size = i64::try_from(len).unwrap_or(i64::MAX);
        let from_end = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let start = from_end(self.start).max(0);
        let stop = from_end(self.stop).min(size - 1);
        if start > stop {
            return 0..0;
        }
        // Both lie within 0..len here.
        usize::try_from(start).unwrap_or(0)..usize::try_from(stop + 1).unwrap_or(0)
    }
}

/// Every operation's name, in the order of the documentation.
pub const OPERATIONS: [&str; 24] = [
    "get", "set", "delete", "incr", "lpush", "rpush", "lpop", "rpop", "llen", "lrange", "sadd",
    "srem", "smembers", "scard", "hset", "hget", "hgetall", "hdel", "zadd", "zrange", "zcard",
    "expire", "ttl", "ping",
];

impl Command {
    /// The operation's name, from [`OPERATIONS`].
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::At { action, .. } => action.operation(),
        }
    }

    /// The key, where the operation has one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Ping => None,
            Self::At { key, .. } => Some(key),
        }
    }

    /// Whether it may change a key.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Ping => false,
            Self::At { action, .. } => action.is_write(),
        }
    }

    /// Whether it can be carried out twice and give the same state *and* the same reply: what a retry needs.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Ping => true,
            Self::At { action, .. } => {
                let lasting = matches!(action, Action::Expire(_)) || action.is_plain_set();
                lasting || !action.is_write()
            }
        }
    }
}

impl Action {
    /// The operation's name.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set { .. } => "set",
            Self::Delete => "delete",
            Self::Incr { .. } => "incr",
            Self::Push { end: End::Left, .. } => "lpush",
            Self::Push {
                end: End::Right, ..
            } => "rpush",
            Self::Pop { end: End::Left } => "lpop",
            Self::Pop { end: End::Right } => "rpop",
            Self::Llen => "llen",
            Self::Lrange(_) => "lrange",
            Self::Sadd(_) => "sadd",
            Self::Srem(_) => "srem",
            Self::Smembers => "smembers",
            Self::Scard => "scard",
            Self::Hset(_) => "hset",
            Self::Hget(_) => "hget",
            Self::Hgetall => "hgetall",
            Self::Hdel(_) => "hdel",
            Self::Zadd(_) => "zadd",
            Self::Zrange { .. } => "zrange",
            Self::Zcard => "zcard",
            Self::Expire(_) => "expire",
            Self::Ttl => "ttl",
        }
    }

    /// Whether it may change the key.
    pub fn is_write(&self) -> bool {
        use Action::{Delete, Expire, Hdel, Hset, Incr, Pop, Push, Sadd, Set, Srem, Zadd};
        matches!(
            self,
            Set { .. }
                | Delete
                | Incr { .. }
                | Push { .. }
                | Pop { .. }
                | Sadd(_)
                | Srem(_)
                | Hset(_)
                | Hdel(_)
                | Zadd(_)
                | Expire(_)
        )
    }

    /// Whether carrying it out twice leaves the same state as once (the reply may differ).
    pub fn is_idempotent(&self) -> bool {
        match self {
            Self::Set { condition, .. } => *condition == SetCondition::Always,
            Self::Incr { .. } | Self::Push { .. } | Self::Pop { .. } => false,
            _ => true,
        }
    }

    /// Whether it changes a string and leaves its time to live.
    pub(crate) fn keeps_ttl(&self) -> bool {
        let keeps = SetExpiry::Keep;
        matches!(self, Self::Set { expiry, .. } if *expiry == keeps)
            || matches!(self, Self::Incr { .. })
    }

    fn is_plain_set(&self) -> bool {
        matches!(self, Self::Set { .. }) && self.is_idempotent()
    }
}
