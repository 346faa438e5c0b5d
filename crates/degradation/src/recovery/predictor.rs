//! When a dependency that is down will be back, judged by its own outages.
//!
//! How long an outage lasts is taken as a mixture. Each earlier outage stands for "about as long as that one", a
//! logistic kernel over the logarithm of time; one that was not seen whole stands for "longer than that". A wide
//! log-logistic prior, worth half an outage, fills in while there are few. Outages that came after the dependency
//! had worked about as long as this time weigh more: what flaps goes on flapping. Knowing that the present
//! outage has lasted for some time rules out whatever would have been shorter, so the conditional probability
//! `1 - S(t) / S(s)` is all there is to it. See Silverman, "Density Estimation" (1986), 3.3 for the kernels and
//! 6.3 for censored data.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::history::Outage;

/// Steps of the table for each doubling of time.
const STEPS: f64 = 4.0;
/// The table begins at a quarter of a second, as the binary logarithm of seconds.
const FIRST: f64 = -2.0;
/// It ends after half a year: what has been away for longer comes back when somebody decides so.
const POINTS: usize = 105;

/// Weight of the prior, in outages.
const PRIOR_WEIGHT: f64 = 0.5;
/// Half of all outages of which nothing is known are over after this many seconds.
const PRIOR_MEDIAN: f64 = 60.0;
/// Width of the prior: S(t) = 1 / (1 + t / median), so that half of what has lasted long lasts as long again.
const PRIOR_WIDTH: f64 = 1.0;
/// Width of a single outage's kernel, in natural logarithms of time, for one outage; it shrinks with more.
const KERNEL_WIDTH: f64 = 0.4;
/// Each newer outage weighs this much more than the one before.
const RECENCY: f64 = 1.01;
/// How alike two times of working before an outage are: the width, in natural logarithms.
const ALIKE: f64 = 1.5;
/// What an outage weighs whatever came before it.
const UNLIKE_WEIGHT: f64 = 0.1;
/// What an outage weighs if what came before it or before this one was not seen.
const UNSEEN_WEIGHT: f64 = 0.5;

/// What to expect of a dependency that is down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Probability that it is back already and nobody has seen it, `0.0..=1.0`.
    pub back: f64,
    /// From now, it takes this long with a probability of one half.
    pub median: Duration,
    /// From now, it takes at most this long with a probability of nine tenths.
    pub p90: Duration,
    /// Earlier outages that this is judged by.
    pub outages: u32,
}

/// The distribution of an outage's duration, as a table of what outlasts each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Predictor {
    /// Probability of lasting longer than the point's time.
    outlasts: Box<[f64; POINTS]>,
    outages: u32,
}

/// What is written down of a predictor.
type Table = (Vec<f64>, u32);

impl From<Predictor> for Table {
    fn from(predictor: Predictor) -> Self {
        (predictor.outlasts.to_vec(), predictor.outages)
    }
}

impl TryFrom<Table> for Predictor {
    type Error = &'static str;

    fn try_from((points, outages): Table) -> Result<Self, Self::Error> {
        // Sums of shares may be off by their last bit.
        let shares = points.iter().all(|share| (0.0..1.001).contains(share));
        match <Box<[f64; POINTS]>>::try_from(points) {
            Ok(outlasts) if shares => Ok(Self { outlasts, outages }),
            _ => Err("a predictor's table that is none"),
        }
    }
}

impl Predictor {
    /// For an outage that began after the dependency had worked for `worked`, if that was seen. `outages` are
    /// the earlier ones, oldest first.
    pub fn new<'a>(
        outages: impl DoubleEndedIterator<Item = &'a Outage> + ExactSizeIterator,
        worked: Option<Duration>,
    ) -> Self {
        let count = outages.len();
        let width = kernel_width(count);
        let priors: [f64; POINTS] = core::array::from_fn(|point| prior(log_time(point)));
        let mut outlasts = Box::new(priors.map(|prior| PRIOR_WEIGHT * prior));
        let mut total = PRIOR_WEIGHT;
        let mut recency = 1.0;
        for outage in outages.rev() {
            let weight = recency * likeness(worked, outage.worked);
            let lasted = log(outage.lasted);
            if outage.complete {
                add_kernel(&mut outlasts, weight, lasted, width);
            } else {
                add_unfinished(&mut outlasts, &priors, weight, lasted);
            }
            total += weight;
            recency /= RECENCY;
        }
        outlasts.iter_mut().for_each(|sum| *sum /= total);
        Self {
            outlasts,
            outages: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    /// Any outage was known.
    #[must_use]
    pub const fn has_history(&self) -> bool {
        self.outages > 0
    }

    /// Probability that it is back `elapsed` after the outage began, when it was last seen down `seen_down` after
    /// that; `None`: beyond anything that can be told.
    #[must_use]
    pub fn back(&self, seen_down: Duration, elapsed: Duration) -> Option<f64> {
        let still = self.outlasts(elapsed)?;
        let then = self.outlasts(seen_down)?;
        Some((1.0 - still / then).clamp(0.0, 1.0))
    }

    /// What to expect `elapsed` after the outage began, when the dependency was last seen down `seen_down` after
    /// it began. `None`: the outage has lasted beyond anything that can be told.
    #[must_use]
    pub fn predict(&self, seen_down: Duration, elapsed: Duration) -> Option<Prediction> {
        let still = self.outlasts(elapsed)?;
        Some(Prediction {
            back: self.back(seen_down, elapsed)?,
            median: self.reaches(still * 0.5)?.saturating_sub(elapsed),
            p90: self.reaches(still * 0.1)?.saturating_sub(elapsed),
            outages: self.outages,
        })
    }

    /// Probability of lasting longer than that; `None` beyond the table.
    fn outlasts(&self, time: Duration) -> Option<f64> {
        let place = (libm::log2(time.as_secs_f64()) - FIRST) * STEPS;
        if place < 0.0 {
            let share = time.as_secs_f64() / seconds(0.0);
            return Some(1.0 - share * (1.0 - self.outlasts[0]));
        }
        let point = floor(place);
        let (before, after) = (*self.outlasts.get(point)?, *self.outlasts.get(point + 1)?);
        Some(before + (after - before) * (place - libm::floor(place)))
    }

    /// When the probability of lasting longer has fallen to `goal`; `None` beyond the table.
    fn reaches(&self, goal: f64) -> Option<Duration> {
        let point = self.outlasts.partition_point(|share| *share > goal);
        let after = *self.outlasts.get(point)?;
        let Some(previous) = point.checked_sub(1) else {
            let share = (1.0 - goal) / (1.0 - after);
            return Some(Duration::from_secs_f64(
                share.clamp(0.0, 1.0) * seconds(0.0),
            ));
        };
        let before = self.outlasts[previous];
        let place = index(previous) + (before - goal) / (before - after);
        Some(Duration::from_secs_f64(seconds(place)))
    }
}

/// An outage lasted about that long.
fn add_kernel(outlasts: &mut [f64; POINTS], weight: f64, lasted: f64, width: f64) {
    // From one point to the next, the odds of being over grow by the same factor.
    let mut odds = libm::exp((log_time(0) - lasted) / width);
    let growth = libm::exp((log_time(1) - log_time(0)) / width);
    for sum in outlasts {
        *sum += weight / (1.0 + odds);
        odds *= growth;
    }
}

/// An outage lasted longer than that.
fn add_unfinished(outlasts: &mut [f64; POINTS], priors: &[f64; POINTS], weight: f64, lasted: f64) {
    let known = prior(lasted);
    for (sum, prior) in outlasts.iter_mut().zip(priors) {
        *sum += weight * (prior / known).min(1.0);
    }
}

/// What is known of many outages is known more sharply (Silverman, 3.4.2).
#[expect(clippy::cast_precision_loss, reason = "a history is short")]
fn kernel_width(count: usize) -> f64 {
    KERNEL_WIDTH * libm::pow(count.max(1) as f64, -0.2)
}

/// How much an outage that came after `other` says about one that came after `worked`.
fn likeness(worked: Option<Duration>, other: Option<Duration>) -> f64 {
    let (Some(worked), Some(other)) = (worked, other) else {
        return UNSEEN_WEIGHT;
    };
    let apart = (log(worked) - log(other)) / ALIKE;
    UNLIKE_WEIGHT + (1.0 - UNLIKE_WEIGHT) * libm::exp(-0.5 * apart * apart)
}

/// What the prior says outlasts this time.
fn prior(log_time: f64) -> f64 {
    logistic((libm::log(PRIOR_MEDIAN) - log_time) / PRIOR_WIDTH)
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Natural logarithm of seconds; nothing is shorter than a millisecond.
fn log(time: Duration) -> f64 {
    libm::log(time.as_secs_f64().max(0.001))
}

fn log_time(point: usize) -> f64 {
    libm::log(seconds(index(point)))
}

fn seconds(place: f64) -> f64 {
    libm::exp2(FIRST + place / STEPS)
}

#[expect(clippy::cast_precision_loss, reason = "a table is short")]
fn index(point: usize) -> f64 {
    point as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and rounding down is meant"
)]
fn floor(place: f64) -> usize {
    place as usize
}
