//! A caller's body on its way in: counted, bounded, cut into parts, and teed to the journal's spool.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use mainstay_journal::{AppendError, SpoolWriter, Spooled};
use mainstay_runtime::{Error, ErrorKind, Moment};

use crate::once::Once;
use crate::parts::PART;
use crate::room::{Room, Taken};

/// Bytes that every body may have in memory; what needs more takes room for it.
const SMALL: usize = 64 << 10;
/// The last piece that is read for a part may go beyond its end.
const SLACK: usize = 512 << 10;

/// What a caller sends. An error in it means that the caller broke off.
pub(crate) type CallerBody<'a> = BoxStream<'a, Result<Bytes, ()>>;

/// A body that is being read.
pub(crate) struct Intake<'a> {
    body: CallerBody<'a>,
    max: u64,
    length: Option<u64>,
    taken: u64,
    rest: BytesMut,
    ended: bool,
    room: Option<Taken>,
    /// Where the request has an idempotency key: what is to see all of the body.
    once: Option<&'a Once>,
}

impl<'a> Intake<'a> {
    /// A body of at most `max` bytes, and of exactly `length` where the caller said so.
    ///
    /// # Errors
    /// `TooLarge` when what the caller said is too much.
    pub(crate) fn new(
        body: CallerBody<'a>,
        max: u64,
        length: Option<u64>,
        once: Option<&'a Once>,
    ) -> Result<Self, Error> {
        if length.is_some_and(|length| length > max) {
            return Err(too_large(max));
        }
        Ok(Self {
            body,
            max,
            length,
            taken: 0,
            rest: BytesMut::new(),
            ended: false,
            room: None,
            once,
        })
    }

    /// Reads to the end for nobody but the idempotency key.
    ///
    /// # Errors
    /// As [`Intake::part`].
    pub(crate) async fn skip(&mut self) -> Result<(), Error> {
        while !self.is_done() {
            self.piece().await?;
        }
        Ok(())
    }

    /// Reads on for a caller who is refused while sending: one who is cut off in the middle of a body may never see the
    /// answer. Not for ever: a long body is cut off all the same.
    pub(crate) async fn let_finish(mut self) {
        let enough = self.taken + PART as u64;
        while !self.is_done() && self.taken < enough && self.piece().await.is_ok() {}
    }

    /// Whether there is room in memory for parts of this body; a small one needs none. It is kept until the body is
    /// dropped or taken in pieces.
    ///
    /// # Errors
    /// As [`Intake::part`].
    pub(crate) async fn has_room(&mut self, room: &Room, until: Moment) -> Result<bool, Error> {
        let mut rest = std::mem::take(&mut self.rest);
        while rest.len() <= SMALL && !self.ended {
            self.read(&mut rest).await?;
        }
        self.rest = rest;
        if !self.ended {
            let most = (self.rest.len() + self.to_come()) as u64;
            self.room = room.take(most.min(PART as u64), until).await;
        }
        Ok(self.ended || self.room.is_some())
    }

    /// What may come until the end or the end of a part, at most.
    fn to_come(&self) -> usize {
        let length = self.length.unwrap_or(u64::MAX);
        usize::try_from(length - self.taken.min(length)).map_or(PART, |bytes| bytes.min(PART))
    }

    /// The room that was taken, for who goes on with the last part.
    pub(crate) fn give_room(&mut self) -> Option<Taken> {
        self.room.take()
    }

    /// The next piece, as it comes: nearly nothing of the body is in memory.
    ///
    /// # Errors
    /// As [`Intake::part`].
    pub(crate) async fn piece(&mut self) -> Result<Bytes, Error> {
        let mut piece = std::mem::take(&mut self.rest);
        self.room = None;
        while piece.len() < SMALL && !self.ended {
            self.read(&mut piece).await?;
        }
        Ok(piece.freeze())
    }

    /// The next part: as much as one part may hold, less only at the end.
    ///
    /// # Errors
    /// The caller's mistakes: too much, more or less than was said, or broken off.
    pub(crate) async fn part(&mut self) -> Result<Bytes, Error> {
        let rest = std::mem::take(&mut self.rest);
        if self.ended && rest.len() <= PART {
            return Ok(rest.freeze());
        }
        // In one go: a buffer that grows by itself doubles, and would take twice its room.
        let mut part = BytesMut::with_capacity(rest.len() + self.to_come() + SLACK);
        part.extend_from_slice(&rest);
        drop(rest);
        // One byte more than a part tells that it isn't the last.
        while part.len() <= PART && !self.ended {
            self.read(&mut part).await?;
        }
        if part.len() > PART {
            self.rest = part.split_off(PART);
        }
        Ok(part.freeze())
    }

    /// Whether all parts were taken.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && self.rest.is_empty()
    }

    async fn read(&mut self, part: &mut BytesMut) -> Result<(), Error> {
        match self.body.next().await {
            Some(Ok(chunk)) => {
                self.taken += chunk.len() as u64;
                if let Some(once) = self.once {
                    once.absorb(&chunk);
                }
                part.extend_from_slice(&chunk);
                if self.taken > self.max {
                    return Err(too_large(self.max));
                }
                if self.length.is_some_and(|length| self.taken > length) {
                    return Err(wrong_length("the body is longer than its Content-Length"));
                }
            }
            Some(Err(())) => return Err(wrong_length("the body broke off before its end")),
            None => {
                self.ended = true;
                if self.length.is_some_and(|length| self.taken < length) {
                    return Err(wrong_length("the body is shorter than its Content-Length"));
                }
            }
        }
        Ok(())
    }
}

fn too_large(max: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("an object may have {max} bytes"),
    )
    .field("body")
}

fn wrong_length(detail: &str) -> Error {
    Error::new(
        ErrorKind::MalformedInput,
        format!("{detail}; nothing was stored"),
    )
    .field("body")
}

/// The spool's copy of a body, which may fail without harm while the store takes the original.
pub(crate) struct Tee(Result<SpoolWriter, AppendError>);

impl Tee {
    pub(crate) fn new(spool: SpoolWriter) -> Self {
        Self(Ok(spool))
    }

    pub(crate) async fn write(&mut self, part: &Bytes) {
        if let Ok(spool) = &mut self.0
            && let Err(error) = spool.write(part).await
        {
            self.0 = Err(error);
        }
    }

    /// Why this body can't be accepted any more.
    pub(crate) fn failure(&self) -> Option<&AppendError> {
        self.0.as_ref().err()
    }

    pub(crate) async fn finish(self) -> Result<Spooled, AppendError> {
        self.0?.finish().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn body(sizes: &[usize]) -> CallerBody<'static> {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok(Bytes::from(vec![7; *size])))
            .collect();
        stream::iter(chunks).boxed()
    }

    async fn parts(sizes: &[usize]) -> Vec<usize> {
        let mut intake = Intake::new(body(sizes), u64::MAX, None, None).unwrap();
        let mut parts = vec![intake.part().await.unwrap().len()];
        while !intake.is_done() {
            parts.push(intake.part().await.unwrap().len());
        }
        parts
    }

    #[tokio::test]
    async fn a_body_is_cut_into_whole_parts_and_a_last_one() {
        assert_eq!(parts(&[]).await, [0]);
        assert_eq!(parts(&[1, 2]).await, [3]);
        assert_eq!(parts(&[PART]).await, [PART]);
        assert_eq!(parts(&[PART - 1, 2]).await, [PART, 1]);
        assert_eq!(parts(&[3 * PART + 5]).await, [PART, PART, PART, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_small_waits_for_room_of_one_part_and_gives_it_back() {
        let clock = mainstay_runtime::Clock::start();
        let room = Room::new(PART as u64, clock);
        let soon = || clock.now() + std::time::Duration::from_secs(1);
        let intake =
            |sizes: &[usize], length| Intake::new(body(sizes), u64::MAX, length, None).unwrap();
        let mut large = intake(&[SMALL, 2 * PART], None);
        assert!(large.has_room(&room, soon()).await.unwrap());
        assert_eq!(large.part().await.unwrap().len(), PART);
        let mut small = intake(&[SMALL - 1, 1], None);
        assert!(small.has_room(&room, soon()).await.unwrap());
        let mut second = intake(&[SMALL, 1], Some(SMALL as u64 + 1));
        assert!(!second.has_room(&room, soon()).await.unwrap());
        let pieces = [second.piece().await.unwrap(), second.piece().await.unwrap()];
        assert_eq!(pieces.map(|piece| piece.len()), [SMALL + 1, 0]);
        // In pieces a body needs none any more.
        assert_eq!(large.piece().await.unwrap().len(), PART + SMALL);
        let mut third = intake(&[SMALL, 1], Some(SMALL as u64 + 1));
        assert!(third.has_room(&room, soon()).await.unwrap());
        let mut fourth = intake(&[PART], Some(PART as u64 - SMALL as u64));
        assert!(
            fourth.has_room(&room, soon()).await.is_err(),
            "it is longer"
        );
    }

    #[tokio::test]
    async fn what_a_caller_said_must_be_what_comes() {
        for (sizes, max, length, kind) in [
            (&[4usize, 4][..], 7, None, ErrorKind::TooLarge),
            (&[4, 4], 100, Some(9), ErrorKind::MalformedInput),
            (&[4, 4], 100, Some(7), ErrorKind::MalformedInput),
        ] {
            let mut intake = Intake::new(body(sizes), max, length, None).unwrap();
            assert_eq!(intake.part().await.unwrap_err().kind, kind);
        }
        assert_eq!(
            Intake::new(body(&[]), 7, Some(8), None).err().unwrap().kind,
            ErrorKind::TooLarge
        );
        let broken = stream::iter([Ok(Bytes::from_static(b"x")), Err(())]).boxed();
        let mut intake = Intake::new(broken, 100, None, None).unwrap();
        assert_eq!(
            intake.part().await.unwrap_err().kind,
            ErrorKind::MalformedInput
        );
    }
}
