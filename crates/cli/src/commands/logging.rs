//! Where log lines go and how they look.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sets the level of a log that runs.
pub(super) type SetLevel = Box<dyn Fn(Level) + Send + Sync>;

/// Starts logging to standard error: ours at the configured level, libraries from warnings on.
pub(super) fn start(log: &Log) -> SetLevel {
    let terminal = io::stderr().is_terminal();
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter(log.level))
        .with_writer(io::stderr);
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    // A second start in one process would be refused; there is one.
    if text {
        let log = base.with_ansi(terminal).with_target(false);
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        let _ = log.try_init();
        Box::new(move |level| drop(handle.reload(filter(level))))
    } else {
        let log = base.json().flatten_event(true).with_span_list(false);
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        let _ = log.try_init();
        Box::new(move |level| drop(handle.reload(filter(level))))
    }
}

fn filter(level: Level) -> EnvFilter {
    let ours = level.as_str().to_lowercase();
    let others = if level > Level::WARN { "warn" } else { &ours };
    EnvFilter::new(format!("{others},mainstay={ours}"))
}
