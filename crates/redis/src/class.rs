//! What kind of data a key holds, which decides what may be done with it while Redis is down.

use mainstay_runtime::{Error, ErrorKind};

use crate::value::RESERVED_PREFIX;

/// A kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Can be lost or made again.
    Cache,
    /// A count that must add up.
    Counter,
    /// A session.
    Session,
    /// A lock.
    Lock,
    /// A queue.
    Queue,
}

impl Class {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Cache,
        Self::Counter,
        Self::Session,
        Self::Lock,
        Self::Queue,
    ];

    /// The name, as in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Counter => "counter",
            Self::Session => "session",
            Self::Lock => "lock",
            Self::Queue => "queue",
        }
    }
}

/// Keys that begin with `prefix` are of `class`; the longest matching prefix decides, and `cache` where none matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassRule {
    /// The beginning of the keys.
    pub prefix: String,
    /// Their class.
    pub class: Class,
}

impl ClassRule {
    /// What is wrong with these rules: errors whose field is the class's key in configuration.
    pub fn mistakes(rules: &[Self]) -> impl Iterator<Item = Error> + '_ {
        let told = rules
            .iter()
            .enumerate()
            .filter_map(|(at, rule)| Some((rule, rule.mistake(&rules[..at])?)));
        told.map(|(rule, detail)| {
            let field = format!("redis.classes.{}", rule.class.as_str());
            Error::new(ErrorKind::InvalidInput, detail).field(field)
        })
    }

    fn mistake(&self, before: &[Self]) -> Option<String> {
        let prefix = &self.prefix;
        if prefix.is_empty() {
            return Some(
                "holds an empty prefix, which every key begins with: name a prefix, or leave it out (keys without a rule are cache)"
                    .into(),
            );
        }
        if prefix.starts_with(RESERVED_PREFIX) {
            return Some(format!(
                "holds {prefix:?}, but keys that begin with {RESERVED_PREFIX:?} are Mainstay's own: choose another prefix"
            ));
        }
        let other = before
            .iter()
            .find(|other| other.prefix == *prefix && other.class != self.class)?;
        Some(format!(
            "holds {prefix:?}, which stands in redis.classes.{} too: a prefix has one class, so take it out of one of them",
            other.class.as_str()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str, class: Class) -> ClassRule {
        ClassRule {
            prefix: prefix.into(),
            class,
        }
    }

    fn check(rules: &[ClassRule], expected: &[(&str, &str)]) {
        let found: Vec<_> = ClassRule::mistakes(rules).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (error, (field, words)) in found.iter().zip(expected) {
            assert_eq!(error.field.as_deref(), Some(*field));
            assert!(error.detail.contains(words), "{error}");
        }
    }

    #[test]
    fn sensible_rules_have_no_mistakes() {
        check(
            &[
                rule("a:", Class::Counter),
                rule("a:", Class::Counter),
                rule("a:b:", Class::Cache),
                rule("main", Class::Lock),
            ],
            &[],
        );
    }

    #[test]
    fn every_mistake_names_its_key_and_the_remedy() {
        let rules = [
            rule("a:", Class::Counter),
            rule("a:", Class::Session),
            rule("", Class::Lock),
            rule("mainstay:x", Class::Queue),
        ];
        check(
            &rules,
            &[
                (
                    "redis.classes.session",
                    "\"a:\", which stands in redis.classes.counter too",
                ),
                ("redis.classes.lock", "name a prefix"),
                ("redis.classes.queue", "choose another prefix"),
            ],
        );
    }
}
