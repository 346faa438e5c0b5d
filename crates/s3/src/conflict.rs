//! What happens to accepted work whose object somebody else has changed since.

use mainstay_journal::Entry;
use serde_json::json;

use crate::objects::{DEPENDENCY, Inner};

/// Whose version stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// A person decides: the entry is set aside, and the object stays as it is until then.
    #[default]
    SetAside,
    /// The accepted work is carried out over what somebody else has left.
    Ours,
    /// What somebody else has left stays, and the accepted work is given up.
    Theirs,
}

impl Policy {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SetAside => "set-aside",
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

/// Policies by the beginning of keys; the longest that fits counts, and without one the entry is set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts(Vec<(String, Policy)>);

impl Conflicts {
    /// Rules in any order.
    pub fn new(mut rules: Vec<(String, Policy)>) -> Self {
        rules.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self(rules)
    }

    /// What holds for a key.
    pub fn of(&self, key: &str) -> Policy {
        let rule = self.0.iter().find(|(prefix, _)| key.starts_with(prefix));
        rule.map(|(_, policy)| *policy).unwrap_or_default()
    }
}

impl Inner {
    /// Tells of a conflict and of what is done about it. The entry's number stands for its key, which is for whoever may
    /// read the journal.
    pub(crate) fn tell_conflict(&self, entry: &Entry, policy: Policy) {
        let outcome = match policy {
            Policy::SetAside => "it was set aside",
            Policy::Ours => "the accepted work replaces that",
            Policy::Theirs => "that stays, and the accepted work was given up",
        };
        tracing::warn!(dependency = DEPENDENCY, entry = %entry.id, policy = policy.as_str(), "conflict: somebody else has changed the object");
        if let Some(engine) = self.engine.get() {
            engine.events().push(
                self.guard.clock().wall(),
                "object_conflict",
                format!("Somebody else has changed the object of journal entry {} since it was accepted: {outcome}.", entry.id),
                json!({"dependency": DEPENDENCY, "entry": entry.id, "operation": entry.kind, "policy": policy.as_str()}),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides_and_a_person_where_none_fits() {
        let rules = [("a/", Policy::Ours), ("a/b/", Policy::Theirs)];
        let rules = Conflicts::new(rules.map(|(p, o)| (p.to_owned(), o)).to_vec());
        assert_eq!(rules.of("a/x"), Policy::Ours);
        assert_eq!(rules.of("a/b/x"), Policy::Theirs);
        assert_eq!(rules.of("b"), Policy::SetAside);
    }
}
