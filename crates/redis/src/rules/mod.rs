//! What each operation does with a key of each class while Redis is down: one table, which the code asks and the
//! documentation prints.

use crate::class::Class;

/// What is done with a key while Redis is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Read from memory.
    Read,
    /// Read a counter from memory, of which only the difference may be known.
    Sum,
    /// Written in memory, whatever Redis holds.
    Write,
    /// Added in memory, with a result where the key is known.
    Add,
    /// Removed from memory, with a result where the key is known.
    Remove,
    /// Carried out in memory on a key that it knows.
    Known,
    /// Counted in memory.
    Count,
    /// Not done.
    Refuse,
}

use Rule::{Add, Count, Known, Read, Refuse, Remove, Sum, Write};

/// In the order of [`crate::OPERATIONS`]; the columns are cache, counter and session. Locks and queues are refused.
const TABLE: [(&str, [Rule; 3]); 24] = [
    ("get", [Read, Sum, Read]),
    ("set", [Write, Refuse, Write]),
    ("delete", [Remove, Refuse, Known]),
    ("incr", [Add, Count, Known]),
    ("lpush", [Add, Refuse, Refuse]),
    ("rpush", [Add, Refuse, Refuse]),
    ("lpop", [Known, Refuse, Refuse]),
    ("rpop", [Known, Refuse, Refuse]),
    ("llen", [Read, Read, Read]),
    ("lrange", [Read, Read, Read]),
    ("sadd", [Add, Refuse, Refuse]),
    ("srem", [Remove, Refuse, Refuse]),
    ("smembers", [Read, Read, Read]),
    ("scard", [Read, Read, Read]),
    ("hset", [Add, Refuse, Refuse]),
    ("hget", [Read, Read, Read]),
    ("hgetall", [Read, Read, Read]),
    ("hdel", [Remove, Refuse, Refuse]),
    ("zadd", [Add, Refuse, Refuse]),
    ("zrange", [Read, Read, Read]),
    ("zcard", [Read, Read, Read]),
    ("expire", [Known, Refuse, Known]),
    ("ttl", [Read, Read, Read]),
    ("ping", [Refuse, Refuse, Refuse]),
];

/// The rule for an operation, by its name.
pub(crate) fn rule(class: Class, operation: &str) -> Rule {
    let column = match class {
        Class::Cache => 0,
        Class::Counter => 1,
        Class::Session => 2,
        Class::Lock | Class::Queue => return Refuse,
    };
    let row = TABLE.iter().find(|(name, _)| *name == operation);
    row.map_or(Refuse, |(_, rules)| rules[column])
}

#[cfg(feature = "contract")]
pub(crate) mod document;
