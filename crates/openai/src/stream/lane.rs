//! Between the provider's pace and the caller's: what has come and hasn't been read yet.
//!
//! The provider is read as fast as it sends, so that a caller who reads slowly holds no place under its limit and
//! no verdict is put off. What waits for a slow caller is bounded, in bytes and in time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mainstay_runtime::{Error, ErrorKind};
use tokio::sync::Notify;

/// Bytes that may wait for their reader.
const MOST_WAITING: usize = 4 << 20;

#[derive(Debug, Default)]
struct Lane {
    waiting: Mutex<Waiting>,
    /// Told when something has come, or the end.
    come: Notify,
    /// Told when the reader has taken something, or is gone.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// How it ends, once nothing more comes: told after all pieces.
    end: Option<Result<(), Error>>,
    /// The reader has been told the end, or is gone.
    over: bool,
}

impl Lane {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Every change is whole before anything in it can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that fills it. Dropped without [`Sender::end`], it never looks like a clean end.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Lane>);

/// The end that is read.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Lane>);

/// More waits for the reader than may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

pub(crate) fn lane() -> (Sender, Receiver) {
    let lane = Arc::<Lane>::default();
    (Sender(Arc::clone(&lane)), Receiver(lane))
}

impl Sender {
    /// Adds a piece.
    pub(crate) fn send(&self, piece: Bytes) -> Result<(), Full> {
        let mut waiting = self.0.waiting();
        if waiting.bytes + piece.len() > MOST_WAITING && !waiting.pieces.is_empty() {
            return Err(Full);
        }
        waiting.bytes += piece.len();
        waiting.pieces.push_back(piece);
        drop(waiting);
        self.0.come.notify_one();
        Ok(())
    }

    /// Nothing more comes.
    pub(crate) fn end(&self, end: Result<(), Error>) {
        self.0.waiting().end.get_or_insert(end);
        self.0.come.notify_one();
    }

    /// What still waits is dropped, and the reader is told `error` instead; but what went wrong before is no fault of
    /// theirs.
    pub(crate) fn expire(&self, error: Error) {
        let mut waiting = self.0.waiting();
        waiting.pieces = VecDeque::new();
        waiting.bytes = 0;
        let before = waiting.end.take().and_then(Result::err);
        waiting.end = Some(Err(before.unwrap_or(error)));
    }

    /// Waits until the reader has been told the end, or is gone.
    pub(crate) async fn over(&self) {
        loop {
            let taken = self.0.taken.notified();
            if self.0.waiting().over {
                return;
            }
            taken.await;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let stopped =
            Error::new(ErrorKind::Internal, "the answer was given up").dependency("openai");
        self.end(Err(stopped));
    }
}

impl Receiver {
    /// The next piece, or the error that stands for the rest; `None` after a good end, and after an error.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            let come = self.0.come.notified();
            if let Some(next) = self.ready() {
                return next;
            }
            come.await;
        }
    }

    fn ready(&self) -> Option<Option<Result<Bytes, Error>>> {
        let mut waiting = self.0.waiting();
        if waiting.over {
            return Some(None);
        }
        if let Some(piece) = waiting.pieces.pop_front() {
            waiting.bytes -= piece.len();
            return Some(Some(Ok(piece)));
        }
        let end = waiting.end.clone()?;
        waiting.over = true;
        drop(waiting);
        self.0.taken.notify_one();
        Some(end.err().map(Err))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.pieces = VecDeque::new();
        waiting.over = true;
        drop(waiting);
        self.0.taken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    fn late() -> Error {
        Error::new(ErrorKind::Timeout, "too late")
    }

    #[tokio::test]
    async fn the_end_comes_after_all_pieces_and_once() {
        let (sender, mut receiver) = lane();
        sender.send(piece(1)).unwrap();
        sender.end(Err(late()));
        sender.end(Ok(()));
        assert_eq!(receiver.next().await, Some(Ok(piece(1))));
        assert_eq!(receiver.next().await, Some(Err(late())));
        assert_eq!(receiver.next().await, None);
        sender.over().await;
    }

    #[tokio::test]
    async fn a_sender_that_vanishes_is_no_clean_end() {
        let (sender, mut receiver) = lane();
        drop(sender);
        assert_eq!(
            receiver.next().await.unwrap().unwrap_err().kind,
            ErrorKind::Internal
        );
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_one_piece_always_fits() {
        let (sender, mut receiver) = lane();
        sender.send(piece(MOST_WAITING + 1)).unwrap();
        assert_eq!(sender.send(piece(1)), Err(Full));
        receiver.next().await.unwrap().unwrap();
        sender.send(piece(1)).unwrap();
    }

    #[tokio::test]
    async fn what_expires_is_dropped_and_told() {
        let (sender, mut receiver) = lane();
        sender.send(piece(1)).unwrap();
        sender.end(Ok(()));
        sender.expire(late());
        assert_eq!(receiver.next().await, Some(Err(late())));
        assert_eq!(receiver.next().await, None);

        let (sender, mut receiver) = lane();
        let broken = Error::new(ErrorKind::Unavailable, "it broke off");
        sender.send(piece(1)).unwrap();
        sender.end(Err(broken.clone()));
        sender.expire(late());
        assert_eq!(receiver.next().await, Some(Err(broken)));
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed() {
        let (sender, receiver) = lane();
        sender.send(piece(1)).unwrap();
        drop(receiver);
        sender.over().await;
    }
}
