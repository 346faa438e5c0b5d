//! What the journal says of a key: a reader sees accepted work before the store does.

use std::time::Duration;

use jiff::Timestamp;
use mainstay_journal::{Entry, EntryId, State};
use mainstay_runtime::{Error, ErrorKind};

use crate::copies::CopyInfo;
use crate::key::Key;
use crate::objects::{
    ByteRange, COPY, DELETE, DEPENDENCY, Inner, ObjectInfo, QUEUE, accepted_at, content_type_of,
    source_of,
};

/// Where the present content of a key is.
#[derive(Debug)]
pub(crate) enum Found {
    /// In the body of this entry.
    Body(Entry),
    /// Nowhere: it was deleted.
    Gone,
    /// In the store, under this key: the key asked for, or the one it was accepted as a copy of.
    Store {
        key: Key,
        /// Whether it was the journal that said so.
        accepted: bool,
    },
}

impl Inner {
    /// Follows accepted copies to their sources, each as it stood when the copy was accepted.
    pub(crate) fn resolve(&self, key: &Key) -> Found {
        let (mut key, mut before, mut accepted) = (key.clone(), None, false);
        loop {
            let last = self.last_before(&key, before);
            let Some(entry) = last.and_then(|last| self.in_force(last)) else {
                return Found::Store { key, accepted };
            };
            match entry.kind.as_str() {
                DELETE => return Found::Gone,
                COPY => match source_of(&entry).and_then(|from| Key::parse("from", &from).ok()) {
                    Some(from) => (key, before, accepted) = (from, Some(entry.id), true),
                    None => return Found::Gone,
                },
                _ => return Found::Body(entry),
            }
        }
    }

    /// This entry, or the last one of its key before it that changes what a reader sees. A copy that was set aside has
    /// nothing to show: what was there before still is.
    pub(crate) fn in_force(&self, mut entry: Entry) -> Option<Entry> {
        while entry.kind == COPY && entry.state == State::SetAside {
            entry = self.journal.last_before(QUEUE, &entry.key, entry.id)?;
        }
        Some(entry)
    }

    fn last_before(&self, key: &Key, before: Option<EntryId>) -> Option<Entry> {
        match before {
            None => self.journal.latest(QUEUE, key.as_str()),
            Some(before) => self.journal.last_before(QUEUE, key.as_str(), before),
        }
    }

    /// How old something is that was last seen then; one that an earlier process saw in the future is new.
    pub(crate) fn age_of(&self, seen: Timestamp) -> Duration {
        Duration::try_from(self.steady().duration_since(seen)).unwrap_or_default()
    }
}

/// What is known of an object whose body is in the journal.
pub(crate) fn info_of_entry(key: &Key, entry: &Entry) -> ObjectInfo {
    ObjectInfo {
        key: key.as_str().to_owned(),
        size: entry.body.map_or(0, |body| body.len),
        etag: None,
        content_type: content_type_of(entry),
        last_modified: accepted_at(entry),
    }
}

/// What is known of an object from its local copy.
pub(crate) fn info_of_copy(key: &Key, copy: &CopyInfo) -> ObjectInfo {
    ObjectInfo {
        key: key.as_str().to_owned(),
        size: copy.size,
        etag: copy.etag.clone(),
        content_type: copy.content_type.clone(),
        last_modified: copy.last_modified,
    }
}

/// The answer to a read of what isn't there.
pub(crate) fn not_found(key: &Key) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("there is no object `{}`", key.as_str()),
    )
    .dependency(DEPENDENCY)
}

/// The bytes that a range means in an object of this size.
///
/// # Errors
/// `RangeNotSatisfiable` when none of them lies in the object.
pub(crate) fn bytes_of(range: Option<ByteRange>, size: u64) -> Result<std::ops::Range<u64>, Error> {
    let bytes = match range {
        None => return Ok(0..size),
        Some(ByteRange::Last(count)) => size.saturating_sub(count)..size,
        Some(ByteRange::From { first, last }) => {
            first..last.map_or(size, |last| last.saturating_add(1)).min(size)
        }
    };
    if bytes.is_empty() {
        Err(outside())
    } else {
        Ok(bytes)
    }
}

/// A range that no object of any size could satisfy.
pub(crate) fn outside() -> Error {
    Error::new(
        ErrorKind::RangeNotSatisfiable,
        "the range lies outside the object",
    )
    .field("range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_objects_end_and_refused_beyond_it() {
        let from = |first, last| Some(ByteRange::From { first, last });
        let cases = [
            (None, 10, Some(0..10)),
            (None, 0, Some(0..0)),
            (from(0, None), 10, Some(0..10)),
            (from(3, Some(5)), 10, Some(3..6)),
            (from(9, Some(u64::MAX)), 10, Some(9..10)),
            (from(10, None), 10, None),
            (from(5, Some(4)), 10, None),
            (from(0, None), 0, None),
            (Some(ByteRange::Last(3)), 10, Some(7..10)),
            (Some(ByteRange::Last(30)), 10, Some(0..10)),
            (Some(ByteRange::Last(0)), 10, None),
        ];
        for (range, size, expected) in cases {
            assert_eq!(bytes_of(range, size).ok(), expected, "{range:?} of {size}");
        }
    }
}
