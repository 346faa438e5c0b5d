//! Whether accepted work may still be carried out: what the store has of its key now, against what was known of it
//! when the work was accepted.
//!
//! Everything we write carries a mark, so that what an earlier attempt of ours has left is never taken for somebody
//! else's change. It names its key: a store's own copy of the object takes the mark along, whoever asked for it. An
//! object that is gone is no conflict: there is nothing to be overwritten.

use mainstay_journal::{Entry, EntryId};
use object_store::{Attribute, GetResult};
use serde_json::{Value, json};

use crate::store::Condition;

/// The user metadata that holds the mark.
pub(crate) const MARK: &str = "mainstay-write";

/// What was known of a key in the store when work on it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing: whatever is there is replaced.
    Unknown,
    /// There was no object.
    Absent,
    /// It had this ETag.
    Etag(String),
}

impl Base {
    /// As the entry has it.
    pub(crate) fn of(entry: &Entry) -> Self {
        match entry.meta.get("base") {
            Some(Value::String(etag)) => Self::Etag(etag.clone()),
            Some(Value::Bool(false)) => Self::Absent,
            _ => Self::Unknown,
        }
    }

    /// Writes it into an entry's metadata.
    pub(crate) fn write_to(&self, meta: &mut Value) {
        match self {
            Self::Unknown => {
                if let Some(fields) = meta.as_object_mut() {
                    fields.remove("base");
                }
            }
            Self::Absent => meta["base"] = json!(false),
            Self::Etag(etag) => meta["base"] = json!(etag),
        }
    }

    pub(crate) fn after(etag: Option<String>) -> Self {
        etag.map_or(Self::Unknown, Self::Etag)
    }

    /// What must hold of the object for it to be unchanged.
    pub(crate) fn condition(&self) -> Option<Condition> {
        match self {
            Self::Unknown => None,
            Self::Absent => Some(Condition::Absent),
            Self::Etag(etag) => Some(Condition::Matches(etag.clone())),
        }
    }
}

/// The object that the store has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) etag: Option<String>,
    pub(crate) size: u64,
    pub(crate) mark: Option<String>,
    pub(crate) content_type: Option<String>,
}

impl Present {
    pub(crate) fn of(result: &GetResult) -> Self {
        let attribute = |which: &Attribute| {
            let value = result.attributes.get(which);
            value.map(|value| value.as_ref().to_owned())
        };
        Self {
            etag: result.meta.e_tag.clone(),
            size: result.meta.size,
            mark: attribute(&Attribute::Metadata(MARK.into())),
            content_type: attribute(&Attribute::ContentType),
        }
    }

    /// What holds of it now.
    pub(crate) fn condition(&self) -> Condition {
        self.etag
            .clone()
            .map_or(Condition::None, Condition::Matches)
    }
}

/// The mark of an upload to a key: of this entry, or of one that never was in the journal, to which one with an
/// idempotency key adds what tells it from all others.
pub(crate) fn mark(journal: &str, key: &str, entry: Option<EntryId>) -> String {
    let ours = ours(journal, key);
    match entry {
        Some(id) => format!("{ours}{id}"),
        None => format!("{ours}live"),
    }
}

/// How all marks of uploads to a key begin.
fn ours(journal: &str, key: &str) -> String {
    let digest = blake3::hash(key.as_bytes()).to_hex();
    format!("{journal}/{}/", &digest[..16])
}

/// How accepted work stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// An earlier attempt has brought it to the store.
    Done,
    /// It may be carried out as long as this holds.
    Free(Condition),
    /// Somebody else has changed the object since; this condition holds of what they left.
    Changed(Condition),
}

/// How the work of `id` on a key stands.
pub(crate) fn standing(
    base: &Base,
    journal: &str,
    (key, id): (&str, EntryId),
    present: Option<&Present>,
) -> Standing {
    let Some(present) = present else {
        return Standing::Free(Condition::Absent);
    };
    let own = mark(journal, key, Some(id));
    match &present.mark {
        Some(there) if *there == own => return Standing::Done,
        Some(there) if there.starts_with(&ours(journal, key)) => {
            return Standing::Free(present.condition());
        }
        _ => {}
    }
    match base {
        Base::Unknown => Standing::Free(present.condition()),
        Base::Etag(etag) if present.etag.as_ref() == Some(etag) => {
            Standing::Free(present.condition())
        }
        _ => Standing::Changed(present.condition()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mark in the words `journal/key/rest`.
    fn there(etag: &str, mark: Option<&str>) -> Option<Present> {
        let mark = mark.map(|mark| {
            let [journal, key, rest] = mark.splitn(3, '/').collect::<Vec<_>>()[..] else {
                panic!("{mark}");
            };
            format!("{}{rest}", ours(journal, key))
        });
        Some(Present {
            etag: Some(etag.into()),
            size: 1,
            mark,
            content_type: None,
        })
    }

    #[test]
    fn only_somebody_elses_change_is_a_conflict() {
        let matches = |etag: &str| Condition::Matches(etag.into());
        let known = || Base::Etag("a".into());
        let cases = [
            (Base::Unknown, None, Standing::Free(Condition::Absent)),
            (
                Base::Unknown,
                there("x", None),
                Standing::Free(matches("x")),
            ),
            (known(), there("a", None), Standing::Free(matches("a"))),
            (known(), there("x", None), Standing::Changed(matches("x"))),
            // Gone: nothing would be overwritten.
            (known(), None, Standing::Free(Condition::Absent)),
            (Base::Absent, None, Standing::Free(Condition::Absent)),
            (
                Base::Absent,
                there("x", None),
                Standing::Changed(matches("x")),
            ),
            // What we wrote ourselves, under another entry or under none, under this one; another journal's; and what
            // somebody has copied here of what we wrote elsewhere.
            (
                known(),
                there("x", Some("us/k/4")),
                Standing::Free(matches("x")),
            ),
            (
                known(),
                there("x", Some("us/k/live")),
                Standing::Free(matches("x")),
            ),
            (
                known(),
                there("x", Some("us/k/live/once")),
                Standing::Free(matches("x")),
            ),
            (known(), there("x", Some("us/k/7")), Standing::Done),
            (
                known(),
                there("x", Some("them/k/7")),
                Standing::Changed(matches("x")),
            ),
            (
                known(),
                there("x", Some("us/backup/7")),
                Standing::Changed(matches("x")),
            ),
        ];
        let id: EntryId = "7".parse().unwrap();
        for (base, present, expected) in cases {
            let found = standing(&base, "us", ("k", id), present.as_ref());
            assert_eq!(found, expected, "{base:?} {present:?}");
        }
    }
}
