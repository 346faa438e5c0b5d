//! Reads a recording. Whatever the bytes are, it gives entries or says what is wrong, and never panics.

use alloc::vec::Vec;

use mainstay_breaker::Moment;
use serde::Deserialize;

use super::encoder::quiet;
use super::{Entry, Head, Kept, LONGEST, LONGEST_RUN, MAGIC, RecordingError, VERSION};
use crate::controller::Input;
use crate::settings::EndpointId;
use crate::snapshot::EndpointView;

/// Reads the head; the entries are read as they are asked for.
///
/// # Errors
/// When it is no recording, has another format, is cut off within its head or damaged there.
pub fn read(bytes: &[u8]) -> Result<(Head, Entries<'_>), RecordingError> {
    let magic = bytes.get(..MAGIC.len());
    if magic != Some(&MAGIC) {
        return Err(RecordingError::NotARecording);
    }
    let version = bytes.get(MAGIC.len()..MAGIC.len() + 2);
    let version: [u8; 2] = version
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(RecordingError::CutOff)?;
    let found = u16::from_le_bytes(version);
    if found != VERSION {
        return Err(RecordingError::Version { found });
    }
    let start = MAGIC.len() + 2;
    let (head, next): (Head, usize) = entry(bytes, start)?;
    if !head.controller.is_sound() {
        return Err(RecordingError::Damaged { at: start });
    }
    let endpoints = head.controller.rules().endpoints().count();
    let entries = Entries {
        bytes,
        next,
        last: head.at,
        views: alloc::vec![EndpointView::default(); endpoints],
        run: None,
    };
    Ok((head, entries))
}

/// The entries of a recording, in order. An error is the last item.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    next: usize,
    last: Moment,
    views: Vec<EndpointView>,
    /// Step and number of ticks without news that are still to be given.
    run: Option<(i64, u32)>,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((step, left)) = self.run {
            self.run = (left > 1).then_some((step, left - 1));
            return Some(Ok(self.tick(step, Vec::new())));
        }
        if self.next >= self.bytes.len() {
            return None;
        }
        let at = self.next;
        let read = entry(self.bytes, at).and_then(|(kept, next)| {
            self.next = next;
            self.given(kept, at)
        });
        if read.is_err() {
            self.next = self.bytes.len();
        }
        Some(read)
    }
}

impl Entries<'_> {
    fn given(&mut self, kept: Kept, at: usize) -> Result<Entry, RecordingError> {
        let damaged = RecordingError::Damaged { at };
        match kept {
            Kept::Idle { step, count } => {
                let left = count.checked_sub(1).filter(|left| *left < LONGEST_RUN);
                let left = left.ok_or(damaged)?;
                self.run = (left > 0).then_some((step, left));
                Ok(self.tick(step, Vec::new()))
            }
            Kept::Tick { step, news } => {
                let known = |(id, _): &super::News| id.index() < self.views.len();
                if news.iter().all(known) {
                    Ok(self.tick(step, news))
                } else {
                    Err(damaged)
                }
            }
            Kept::Input { step, input } => {
                if let Input::Settings(rules) = &input {
                    self.views = alloc::vec![EndpointView::default(); rules.endpoints().count()];
                }
                let at = self.go(step);
                Ok(Entry::Input { at, input })
            }
            Kept::Decided(decided) => Ok(Entry::Decided(decided)),
            Kept::Breakers(settings) => Ok(Entry::Breakers(settings)),
            Kept::Done(digest) => Ok(Entry::Done(digest)),
            Kept::Bounds(bounds) => Ok(Entry::Bounds(bounds)),
        }
    }

    fn tick(&mut self, step: i64, news: Vec<super::News>) -> Entry {
        for (id, one) in &news {
            self.views[id.index()] = one.breaker;
        }
        let all = (0..).map(EndpointId).zip(self.views.iter().copied());
        let mut observed: Vec<super::News> = all.map(|(id, view)| (id, quiet(view))).collect();
        for (id, one) in news {
            observed[id.index()].1 = one;
        }
        let at = self.go(step);
        let input = Input::Tick { observed };
        Entry::Input { at, input }
    }

    fn go(&mut self, step: i64) -> Moment {
        let nanos = self.last.as_nanos().wrapping_add(step.cast_unsigned());
        self.last = Moment::from_nanos(nanos);
        self.last
    }
}

/// What stands at `start`, and where the next entry begins.
fn entry<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    start: usize,
) -> Result<(T, usize), RecordingError> {
    let begins = start + 4;
    let length = bytes.get(start..begins);
    let length: [u8; 4] = length
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(RecordingError::CutOff)?;
    let damaged = RecordingError::Damaged { at: start };
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| damaged)?;
    if length > LONGEST {
        return Err(damaged);
    }
    let ends = begins + length;
    let own = bytes.get(begins..ends).ok_or(RecordingError::CutOff)?;
    match postcard::take_from_bytes(own) {
        Ok((read, [])) => Ok((read, ends)),
        _ => Err(damaged),
    }
}
