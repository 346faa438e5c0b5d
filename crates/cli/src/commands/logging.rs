//! Where log lines go and how they look.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging to standard error: ours at the configured level, libraries from warnings on.
pub(super) fn start(log: &Log) {
    let level = log.level.as_str().to_lowercase();
    let others = if log.level > tracing::Level::WARN {
        "warn"
    } else {
        &level
    };
    let filter = EnvFilter::new(format!("{others},mainstay={level}"));
    let terminal = io::stderr().is_terminal();
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    // A second start in one process would be refused; there is one.
    let _ = if text {
        base.with_ansi(terminal).with_target(false).try_init()
    } else {
        base.json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init()
    };
}
