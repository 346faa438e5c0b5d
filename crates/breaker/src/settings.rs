//! What a breaker is told at its start, and the check that refuses what makes no sense.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::num::NonZeroU32;
use core::ops::RangeInclusive;
use core::time::Duration;

/// Most failures in a row that can be asked for: the count shares one word with the state.
pub(crate) const MAX_ROW: u32 = 65_535;
/// Most buckets a window can have.
pub(crate) const MAX_BUCKETS: u32 = if cfg!(loom) { 2 } else { 32 };
/// Most probes that can be in flight.
pub(crate) const MAX_PROBES: u32 = if cfg!(loom) { 3 } else { 32 };
/// Most probes that can be in flight without a window.
pub(crate) const SMALL_PROBES: u32 = 2;
const MAX_SUCCESSES: u32 = 1_000;
const MAX_MULTIPLE: u32 = 1_000;
const MAX_CALLS: u32 = 1_000_000;
const DAY: Duration = Duration::from_secs(86_400);

/// The sliding window that the rate and slow rules look at.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Window {
    /// How far back it looks. Rounded up to whole milliseconds per bucket.
    pub length: Duration,
    /// In how many steps it slides, `1..=32`.
    pub buckets: u32,
}

/// Opens when enough of the calls in the window failed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RateRule {
    /// Share of failures that opens (`>=`), above 0 and at most 1.
    pub threshold: f64,
    /// Calls the window must hold before the rule speaks.
    pub min_calls: u32,
}

/// Opens when enough of the calls in the window were slow.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SlowRule {
    /// A call that takes longer is slow. The caller measures; the breaker only keeps the figure.
    pub after: Duration,
    /// Share of slow calls that opens (`>=`), above 0 and at most 1.
    pub threshold: f64,
    /// Calls the window must hold before the rule speaks.
    pub min_calls: u32,
}

/// How the breaker finds out that the dependency is back.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HalfOpen {
    /// Probes in flight at most, `1..=32`.
    pub probes: u32,
    /// Successful probes that close it, `1..=1000`.
    pub successes: u32,
    /// How long a probe may hold its place: the call deadline and a second.
    pub lease: Duration,
}

/// Everything a breaker can be told. `None` switches a rule off.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Settings {
    /// Failures in a row that open it, at most 65,535.
    pub consecutive: Option<NonZeroU32>,
    /// The window of the next two rules.
    pub window: Window,
    /// The share of failures that opens it.
    pub rate: Option<RateRule>,
    /// The share of slow calls that opens it.
    pub slow: Option<SlowRule>,
    /// The first open time; each re-opening in a row doubles it.
    pub reset_timeout: Duration,
    /// The longest open time, in multiples of `reset_timeout`, `1..=1000`.
    pub max_open: u32,
    /// Closed for this many `reset_timeout`s, the open time starts from the first again, `1..=1000`.
    pub forget_after: u32,
    /// Random share by which an open time is longer or shorter, `0.0..1.0`.
    pub jitter: f64,
    /// How it closes again.
    pub half_open: HalfOpen,
    /// Time over which the in-flight limit grows back after closing; `None`: at once.
    pub ramp: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive: NonZeroU32::new(5),
            window: Window {
                length: Duration::from_secs(60),
                buckets: 10,
            },
            rate: Some(RateRule {
                threshold: 0.5,
                min_calls: 20,
            }),
            slow: Some(SlowRule {
                after: Duration::from_secs(5),
                threshold: 0.8,
                min_calls: 20,
            }),
            reset_timeout: Duration::from_secs(30),
            max_open: 10,
            forget_after: 5,
            jitter: 0.2,
            half_open: HalfOpen {
                probes: 2,
                successes: 2,
                lease: Duration::from_secs(6),
            },
            ramp: Some(Duration::from_secs(5)),
        }
    }
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// The setting, as `half_open.lease`.
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} is {}: must be {}",
            self.field, self.value, self.allowed
        )
    }
}

impl core::error::Error for SettingsError {}

impl Settings {
    /// Checks every setting.
    ///
    /// # Errors
    /// Names the first setting that makes no sense, and the allowed range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if let Some(row) = self.consecutive {
            count("consecutive", row.get(), 1..=MAX_ROW)?;
        }
        self.validate_window()?;
        span(
            "reset_timeout",
            self.reset_timeout,
            Duration::from_millis(1),
        )?;
        count("max_open", self.max_open, 1..=MAX_MULTIPLE)?;
        count("forget_after", self.forget_after, 1..=MAX_MULTIPLE)?;
        if !(0.0..1.0).contains(&self.jitter) {
            return Err(error("jitter", self.jitter, "at least 0 and below 1"));
        }
        count("half_open.probes", self.half_open.probes, 1..=MAX_PROBES)?;
        count(
            "half_open.successes",
            self.half_open.successes,
            1..=MAX_SUCCESSES,
        )?;
        span(
            "half_open.lease",
            self.half_open.lease,
            Duration::from_millis(1),
        )?;
        self.ramp
            .map_or(Ok(()), |ramp| span("ramp", ramp, Duration::from_millis(1)))
    }

    fn validate_window(&self) -> Result<(), SettingsError> {
        count("window.buckets", self.window.buckets, 1..=MAX_BUCKETS)?;
        let shortest = Duration::from_millis(u64::from(self.window.buckets));
        span("window.length", self.window.length, shortest)?;
        if let Some(rate) = self.rate {
            share("rate.threshold", rate.threshold)?;
            count("rate.min_calls", rate.min_calls, 1..=MAX_CALLS)?;
        }
        if let Some(slow) = self.slow {
            span("slow.after", slow.after, Duration::from_millis(1))?;
            share("slow.threshold", slow.threshold)?;
            count("slow.min_calls", slow.min_calls, 1..=MAX_CALLS)?;
        }
        Ok(())
    }

    /// What a breaker without a window allows.
    pub(crate) fn validate_without_window(&self) -> Result<(), SettingsError> {
        self.validate()?;
        if let Some(rate) = self.rate {
            return Err(error("rate", rate, "off: this breaker has no window"));
        }
        if let Some(slow) = self.slow {
            return Err(error("slow", slow, "off: this breaker has no window"));
        }
        count("half_open.probes", self.half_open.probes, 1..=SMALL_PROBES)
    }

    /// The longest open time before jitter.
    #[must_use]
    pub fn max_open_time(&self) -> Duration {
        self.reset_timeout.saturating_mul(self.max_open)
    }

    pub(crate) fn counts_window(&self) -> bool {
        self.rate.is_some() || self.slow.is_some()
    }
}

fn error(field: &'static str, value: impl fmt::Debug, allowed: impl fmt::Display) -> SettingsError {
    SettingsError {
        field,
        value: format!("{value:?}"),
        allowed: format!("{allowed}"),
    }
}

fn count(field: &'static str, value: u32, range: RangeInclusive<u32>) -> Result<(), SettingsError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(error(
        field,
        value,
        format!("{} to {}", range.start(), range.end()),
    ))
}

fn span(field: &'static str, value: Duration, shortest: Duration) -> Result<(), SettingsError> {
    if (shortest..=DAY).contains(&value) {
        return Ok(());
    }
    Err(error(field, value, format!("{shortest:?} to 24 h")))
}

fn share(field: &'static str, value: f64) -> Result<(), SettingsError> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    Err(error(field, value, "above 0 and at most 1"))
}
