//! Records what the controller is told and decides, so that an outage can be replayed: the monitor's side.
//!
//! The monitor only fills a buffer and hands it over; a thread of its own compresses and writes
//! ([`crate::recordings`]). When that falls behind, bytes are dropped and counted, and another recording begins: each
//! stands by itself, and none has a hole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use mainstay_breaker::{Moment, Settings};
use mainstay_degradation::recording::{Bounds, Encoder, Head};
use mainstay_degradation::{Controller, Effect, Input};
use tokio::sync::{mpsc, oneshot};

/// Pieces that may wait for the disk.
pub(crate) const QUEUE: usize = 64;
/// A piece is handed over when it has grown to this, in bytes, or at this age.
const PIECE: usize = 64 << 10;
const PIECE_AGE: Duration = Duration::from_secs(10);
/// What is only counted so far is written down this often: so much is lost with a crash.
const FLUSH: Duration = Duration::from_secs(60);
/// How long after a recording broke off the disk is given another.
const AGAIN: Duration = Duration::from_secs(60);
/// A recording ends with a day, or when its file has grown to this.
const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const FILE: u64 = 4 << 20;

/// What the writer gets.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The beginning of a recording, its number, and when that is.
    Begin(u64, Timestamp, Vec<u8>),
    /// What follows.
    More(Vec<u8>),
    /// All recordings are to go, and with them what came before this; whoever asked is told.
    Purge(oneshot::Sender<io::Result<()>>),
}

/// How the endpoints are set up, in the order of the rules.
#[derive(Debug, Default)]
pub(crate) struct Deployed {
    pub(crate) breakers: Vec<Settings>,
    pub(crate) bounds: Vec<Bounds>,
}

/// What monitor and writer share.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last recording whose file has grown to [`FILE`]: the writer may be behind, and at an earlier one still.
    pub(crate) full: AtomicU64,
    /// Pieces that were lost, because the disk was too slow or took nothing.
    pub(crate) dropped: AtomicU64,
    /// Whole recordings that were removed to keep all within their bound.
    pub(crate) removed: AtomicU64,
    /// Recordings that ended before their time: the next piece must begin another one.
    pub(crate) broken: AtomicU64,
}

pub(crate) struct Recorder {
    queue: mpsc::Sender<Piece>,
    progress: Arc<Progress>,
    present: Option<Present>,
    /// Recordings so far.
    begun: u64,
    broken_seen: u64,
    /// Not before this does another begin.
    again: Option<Moment>,
}

/// The recording that is being made.
struct Present {
    number: u64,
    encoder: Encoder,
    buffer: Vec<u8>,
    begun: Moment,
    handed: Moment,
    flushed: Moment,
}

impl Recorder {
    pub(crate) fn new(queue: mpsc::Sender<Piece>, progress: Arc<Progress>) -> Self {
        Self {
            queue,
            progress,
            present: None,
            begun: 0,
            broken_seen: 0,
            again: None,
        }
    }

    /// Begins a recording where there is none, or where the present one is full. To be asked before an input.
    pub(crate) fn prepare(
        &mut self,
        now: Moment,
        wall: Timestamp,
        controller: &Controller,
        deployed: impl FnOnce() -> Deployed,
    ) {
        let broken = self.progress.broken.load(Ordering::Relaxed);
        if broken != self.broken_seen {
            (self.broken_seen, self.present) = (broken, None);
            self.again = Some(now + AGAIN);
        }
        let full = |one: &Present| {
            let grown = self.progress.full.load(Ordering::Relaxed) == one.number;
            grown || now.saturating_since(one.begun) >= DAY
        };
        if self.present.as_ref().is_some_and(full) {
            self.end();
        }
        if self.present.is_none() && self.again.is_none_or(|at| now >= at) {
            self.begin(now, wall, controller, deployed());
        }
    }

    fn begin(&mut self, now: Moment, wall: Timestamp, controller: &Controller, deployed: Deployed) {
        // Without room for its beginning there is no recording.
        let Ok(place) = self.queue.try_reserve() else {
            return;
        };
        let head = Head {
            at: now,
            wall_ms: wall.as_millisecond(),
            program: concat!("mainstay ", env!("CARGO_PKG_VERSION")).to_owned(),
            breakers: deployed.breakers,
            controller: controller.clone(),
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&head, &mut bytes);
        encoder.bounds(&deployed.bounds, &mut bytes);
        self.begun += 1;
        let number = self.begun;
        place.send(Piece::Begin(number, wall, bytes));
        self.present = Some(Present {
            number,
            encoder,
            buffer: Vec::new(),
            begun: now,
            handed: now,
            flushed: now,
        });
    }

    /// The controller is about to be told something.
    pub(crate) fn input(&mut self, now: Moment, input: &Input) {
        if let Some(present) = &mut self.present {
            present.encoder.input(now, input, &mut present.buffer);
        }
    }

    /// The controller has answered.
    pub(crate) fn effects(&mut self, now: Moment, effects: &[Effect]) {
        let Some(present) = &mut self.present else {
            return;
        };
        present.encoder.effects(effects, &mut present.buffer);
        if now.saturating_since(present.flushed) >= FLUSH {
            present.encoder.flush(&mut present.buffer);
            present.flushed = now;
        }
        let old = now.saturating_since(present.handed) >= PIECE_AGE;
        if present.buffer.len() >= PIECE || (old && !present.buffer.is_empty()) {
            present.handed = now;
            self.hand_over();
        }
    }

    /// The endpoints were set up anew.
    pub(crate) fn deployed(&mut self, deployed: &Deployed) {
        if let Some(Present {
            encoder, buffer, ..
        }) = &mut self.present
        {
            encoder.breakers(&deployed.breakers, buffer);
            encoder.bounds(&deployed.bounds, buffer);
        }
    }

    /// Has all recordings removed, the present one too. The next input begins another.
    pub(crate) fn purge(&mut self, done: oneshot::Sender<io::Result<()>>) {
        self.present = None;
        // Without room in the queue nothing is removed: whoever waits finds that nobody answers.
        let _ = self.queue.try_send(Piece::Purge(done));
    }

    fn hand_over(&mut self) {
        let Some(present) = &mut self.present else {
            return;
        };
        let piece = Piece::More(std::mem::take(&mut present.buffer));
        if self.queue.try_send(piece).is_err() {
            self.progress.dropped.fetch_add(1, Ordering::Relaxed);
            self.present = None;
        }
    }

    fn end(&mut self) {
        if let Some(present) = &mut self.present {
            present.encoder.flush(&mut present.buffer);
        }
        self.hand_over();
        self.present = None;
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_degradation::Settings as RuleSettings;

    #[test]
    fn a_writer_that_is_behind_cuts_no_later_recording_off() {
        let (queue, mut pieces) = mpsc::channel(QUEUE);
        let progress = Arc::<Progress>::default();
        let mut recorder = Recorder::new(queue, Arc::clone(&progress));
        let rules = RuleSettings::standard().validate().unwrap();
        let controller = Controller::new(rules, Moment::default());
        let mut second = 0;
        let mut begun = || {
            second += 1;
            let now = Moment::from_nanos(second * 1_000_000_000);
            recorder.prepare(now, Timestamp::UNIX_EPOCH, &controller, Deployed::default);
            let numbers = std::iter::from_fn(|| pieces.try_recv().ok());
            let numbers = numbers.filter_map(|piece| match piece {
                Piece::Begin(number, ..) => Some(number),
                _ => None,
            });
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(begun(), [1]);
        progress.full.store(1, Ordering::Relaxed);
        assert_eq!(begun(), [2], "the first has grown enough");
        // The writer finds pieces of the first one in the queue, and writes them.
        progress.full.store(1, Ordering::Relaxed);
        assert_eq!(begun(), [0; 0]);
        progress.full.store(2, Ordering::Relaxed);
        assert_eq!(begun(), [3]);
    }
}
