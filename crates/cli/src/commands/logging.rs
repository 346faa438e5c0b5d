//! Where log lines go and how they look.
//!
//! A log must never hold up what it tells of: lines wait in a bounded queue for a thread of their own, and what standard
//! error doesn't take (its reader has gone or stands still, its disk is full) is dropped and counted.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Lines that may wait; some 3 MB.
const QUEUE: usize = 8_192;
/// How long the end waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

type SetLevel = Arc<dyn Fn(Level) + Send + Sync>;

/// A log that runs.
#[derive(Clone)]
pub(super) struct Logging {
    set_level: SetLevel,
    lost: Lost,
    writing: Arc<Mutex<Option<WorkerGuard>>>,
}

/// Counts the lines that were not written.
#[derive(Clone)]
pub(super) struct Lost {
    /// For want of room in the queue.
    dropped: ErrorCounter,
    /// By errors of the stream.
    failed: Arc<AtomicU64>,
}

impl Lost {
    pub(super) fn lines(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.dropped.dropped_lines() as u64
    }
}

impl Logging {
    pub(super) fn set_level(&self, level: Level) {
        (self.set_level)(level);
    }

    pub(super) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// Waits until what was logged is written, but not for ever; nothing is logged afterwards.
    pub(super) fn end(&self) {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writing) = writing.take() else {
            return;
        };
        let (done, ended) = mpsc::channel();
        // In a thread of its own: where the queue is full, dropping it writes to standard output, which may hang too.
        std::thread::spawn(move || {
            drop(writing);
            let _ = done.send(());
        });
        let _ = ended.recv_timeout(LAST_LINES);
    }
}

/// Takes every line: what the stream behind it refuses is counted.
struct Counted<W> {
    stream: W,
    failed: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.stream.write_all(line).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What couldn't be written is counted already.
        let _ = self.stream.flush();
        Ok(())
    }
}

/// Starts logging to standard error: ours at the configured level, libraries from warnings on.
pub(super) fn start(log: &Log) -> Logging {
    let terminal = io::stderr().is_terminal();
    let failed = Arc::new(AtomicU64::new(0));
    let stream = Counted {
        stream: io::stderr(),
        failed: Arc::clone(&failed),
    };
    let queue = NonBlockingBuilder::default().buffered_lines_limit(QUEUE);
    let (lines, writing) = queue.lossy(true).thread_name("log").finish(stream);
    let dropped = lines.error_counter();
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter(log.level))
        .log_internal_errors(false)
        .with_writer(lines);
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    // A second start in one process would be refused; there is one.
    let set_level: SetLevel = if text {
        let log = base.with_ansi(terminal).with_target(false);
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        let _ = log.try_init();
        Arc::new(move |level| drop(handle.reload(filter(level))))
    } else {
        let log = base.json().flatten_event(true).with_span_list(false);
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        let _ = log.try_init();
        Arc::new(move |level| drop(handle.reload(filter(level))))
    };
    Logging {
        set_level,
        lost: Lost { dropped, failed },
        writing: Arc::new(Mutex::new(Some(writing))),
    }
}

fn filter(level: Level) -> EnvFilter {
    let ours = level.as_str().to_lowercase();
    let others = if level > Level::WARN { "warn" } else { &ours };
    EnvFilter::new(format!("{others},mainstay={ours}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _line: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn what_a_broken_stream_refuses_is_counted_and_no_error() {
        let failed = Arc::new(AtomicU64::new(0));
        let mut stream = Counted {
            stream: Broken,
            failed: Arc::clone(&failed),
        };
        stream.write_all(b"a line\n").unwrap();
        stream.write_all(b"another\n").unwrap();
        stream.flush().unwrap();
        assert_eq!(failed.load(Ordering::Relaxed), 2);
    }
}
