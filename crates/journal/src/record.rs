//! One entry in memory. There may be hundreds of thousands, so rare things lie behind a pointer and names are shared.

use std::sync::Arc;

use crate::entry::{BodyInfo, Entry, EntryId, State};

/// Where a body lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Row,
    File(u64),
}

/// A body as its row describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredBody {
    pub(crate) info: BodyInfo,
    pub(crate) place: Place,
}

/// What an entry is, in its caller's words: from closed sets, so the index keeps one of each.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Label {
    pub(crate) queue: Arc<str>,
    pub(crate) kind: Box<str>,
}

/// What an entry that has failed adds.
#[derive(Debug, Default)]
struct Trouble {
    last_error: Option<Box<str>>,
    not_before_ms: Option<i64>,
}

/// An entry as its row describes it, and when it may be claimed.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) label: Arc<Label>,
    pub(crate) key: Arc<str>,
    /// JSON text: a parsed tree would be several times as large.
    pub(crate) meta: Box<str>,
    pub(crate) body: Option<StoredBody>,
    pub(crate) accepted_at_ms: i64,
    pub(crate) attempts: u32,
    pub(crate) set_aside: bool,
    trouble: Option<Box<Trouble>>,
}

impl Record {
    /// One that nobody has tried yet.
    pub(crate) fn new(
        queue: &str,
        kind: &str,
        key: &str,
        meta: Box<str>,
        body: Option<StoredBody>,
        accepted_at_ms: i64,
    ) -> Self {
        let (queue, kind) = (queue.into(), kind.into());
        Self {
            label: Arc::new(Label { queue, kind }),
            key: key.into(),
            meta,
            body,
            accepted_at_ms,
            attempts: 0,
            set_aside: false,
            trouble: None,
        }
    }

    /// What the entry counts against `max_bytes`.
    pub(crate) fn bytes(&self) -> u64 {
        self.body.map_or(0, |body| body.info.len) + self.row_bytes()
    }

    /// The same without its body.
    pub(crate) fn row_bytes(&self) -> u64 {
        (self.key.len() + self.label.kind.len() + self.meta.len()) as u64
    }

    pub(crate) fn failed_with(&mut self, error: Box<str>) {
        self.trouble.get_or_insert_default().last_error = Some(error);
    }

    pub(crate) fn not_before_ms(&self) -> Option<i64> {
        self.trouble.as_ref()?.not_before_ms
    }

    pub(crate) fn wait_until(&mut self, not_before_ms: Option<i64>) {
        if not_before_ms != self.not_before_ms() {
            self.trouble.get_or_insert_default().not_before_ms = not_before_ms;
        }
    }

    /// As it is shown.
    pub(crate) fn entry(&self, id: EntryId, state: State) -> Entry {
        let trouble = self.trouble.as_ref();
        Entry {
            id,
            queue: self.label.queue.to_string(),
            key: self.key.to_string(),
            kind: self.label.kind.to_string(),
            // Nesting past the parser's limit can be written but not parsed: then the text itself is given.
            meta: serde_json::from_str(&self.meta).unwrap_or_else(|_| self.meta.to_string().into()),
            body: self.body.map(|body| body.info),
            accepted_at_ms: self.accepted_at_ms,
            attempts: self.attempts,
            last_error: trouble.and_then(|t| t.last_error.as_deref().map(str::to_owned)),
            not_before_ms: self.not_before_ms(),
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it weighs decides how many fit into memory: past 120 bytes an allocator takes the next size.
    #[test]
    fn a_record_stays_small() {
        assert!(size_of::<Record>() <= 120, "{} bytes", size_of::<Record>());
    }
}
