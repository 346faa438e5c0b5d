//! What the store keeps about one key.

use std::time::Duration;

use mainstay_breaker::Moment;

use crate::class::Class;
use crate::command::{Action, SetExpiry};
use crate::memory::Terms;
use crate::memory::data::Data;
use crate::reply::Reply;
use crate::value::{Blob, Key};

/// A key's entry beside its name and value: its places in three indexes, generously rounded.
const ENTRY: usize = 256;

/// What a key costs without its value.
pub(crate) fn base_cost(key: &Key) -> usize {
    ENTRY + key.as_str().len()
}

/// How long a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Until it's deleted.
    Forever,
    /// Until then.
    Until(Moment),
    /// Nobody told us; it's held until then.
    Unsure(Moment),
}

impl Lifetime {
    /// When the entry is dropped.
    pub(crate) fn end(self) -> Option<Moment> {
        match self {
            Self::Forever => None,
            Self::Until(end) | Self::Unsure(end) => Some(end),
        }
    }

    /// What `ttl` answers.
    pub(crate) fn reply(self, now: Moment) -> Reply {
        match self {
            Self::Forever => Reply::Persistent,
            Self::Until(end) => Reply::Expires {
                ttl: whole_millis(end.saturating_since(now)),
            },
            Self::Unsure(_) => Reply::Unknown,
        }
    }
}

/// Redis counts in milliseconds.
fn whole_millis(ttl: Duration) -> Duration {
    Duration::new(ttl.as_secs(), ttl.subsec_millis() * 1_000_000)
}

/// What dropping a key would lose, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    /// A cache: nothing that can't be made again.
    Cache,
    /// A copy of what Redis holds.
    Copy,
    /// All there is: it's never dropped.
    All,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `None`: the key is known to be gone.
    pub(crate) data: Option<Data>,
    /// False: only what was added during this outage is known, not what Redis holds beside it.
    pub(crate) complete: bool,
    pub(crate) lifetime: Lifetime,
    /// When Redis confirmed the value this one is made from.
    pub(crate) known_at: Option<Moment>,
    pub(crate) worth: Worth,
    pub(crate) tick: u64,
    base: usize,
}

impl Entry {
    pub(crate) fn new(key: &Key, data: Data, worth: Worth) -> Self {
        Self {
            data: Some(data),
            complete: true,
            lifetime: Lifetime::Forever,
            known_at: None,
            worth,
            tick: 0,
            base: base_cost(key),
        }
    }

    pub(crate) fn text(key: &Key, value: Blob, lifetime: Lifetime, worth: Worth) -> Self {
        Self {
            lifetime,
            ..Self::new(key, Data::text(value), worth)
        }
    }

    /// The knowledge that there is no such key.
    pub(crate) fn gone(key: &Key, worth: Worth) -> Self {
        Self {
            data: None,
            ..Self::new(key, Data::text("".into()), worth)
        }
    }

    /// Makes this entry say that there is no such key.
    pub(crate) fn bury(&mut self) {
        (self.data, self.complete, self.known_at) = (None, true, None);
        self.lifetime = Lifetime::Forever;
    }

    pub(crate) fn cost(&self) -> usize {
        self.base + self.data.as_ref().map_or(0, Data::bytes)
    }

    #[cfg(test)]
    pub(crate) fn recount(&self) -> usize {
        self.base + self.data.as_ref().map_or(0, Data::recount)
    }

    /// Whether the action would keep a time to live that nobody knows, on a key that must come back to Redis with one.
    pub(crate) fn outlives(&self, action: &Action, terms: &Terms) -> bool {
        let unsure = matches!(self.lifetime, Lifetime::Unsure(_));
        terms.class == Class::Session && unsure && action.keeps_ttl()
    }

    pub(crate) fn holds(&self, value: &Blob) -> bool {
        self.data.as_ref().and_then(Data::as_text) == Some(value)
    }

    /// The lifetime of a key that this action has created.
    pub(crate) fn set_lifetime(&mut self, action: &Action, terms: &Terms) {
        if let Action::Set {
            expiry: SetExpiry::After(ttl),
            ..
        } = action
        {
            self.lifetime = Lifetime::Until(terms.now + *ttl);
        }
    }

    /// The lifetime after an action on a key that was there.
    pub(crate) fn set_lifetime_after(&mut self, reply: &Reply, action: &Action, terms: &Terms) {
        if !matches!(reply, Reply::Stored) {
            return;
        }
        match action {
            Action::Set {
                expiry: SetExpiry::Never,
                ..
            } => self.lifetime = Lifetime::Forever,
            _ => self.set_lifetime(action, terms),
        }
    }
}
