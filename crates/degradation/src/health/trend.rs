//! Where a score is going: a straight line fitted to it by least squares.

use alloc::collections::VecDeque;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use crate::settings::HealthRules;

/// Where a score is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Trend {
    /// Up.
    Improving,
    /// Neither, or not enough is known.
    #[default]
    Stable,
    /// Down.
    Declining,
}

impl Trend {
    /// The word for replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Improving => "improving",
            Self::Stable => "stable",
            Self::Declining => "declining",
        }
    }
}

/// Samples of a score over the last while, and the line through them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TrendLine {
    samples: VecDeque<(Moment, f64)>,
    last: Option<Moment>,
    trend: Trend,
}

impl TrendLine {
    /// The trend at the last sample.
    #[must_use]
    pub const fn trend(&self) -> Trend {
        self.trend
    }

    /// Takes a sample if the last one is old enough.
    pub fn sample(&mut self, now: Moment, rules: &HealthRules, score: f64) {
        let recent = |at| now.saturating_since(at) < rules.trend_step;
        if self.last.is_some_and(recent) {
            return;
        }
        self.last = Some(now);
        self.samples.push_back((now, score));
        let oldest = now - rules.trend_window;
        while self.samples.pop_front_if(|(at, _)| *at < oldest).is_some() {}
        let change = self.change();
        self.trend = if change > rules.trend_points {
            Trend::Improving
        } else if change < -rules.trend_points {
            Trend::Declining
        } else {
            Trend::Stable
        };
    }

    /// How many points the fitted line rises from the first sample to the last.
    #[expect(clippy::cast_precision_loss, reason = "a few hundred samples")]
    fn change(&self) -> f64 {
        let (Some((first, _)), Some((last, _))) = (self.samples.front(), self.samples.back())
        else {
            return 0.0;
        };
        let count = self.samples.len() as f64;
        let seconds = |at: &Moment| at.saturating_since(*first).as_secs_f64();
        let mean_time = self.samples.iter().map(|(at, _)| seconds(at)).sum::<f64>() / count;
        // Times are taken off their mean, so that it makes no difference whether scores are taken off theirs.
        let (mut together, mut spread) = (0.0, 0.0);
        for (at, score) in &self.samples {
            let off = seconds(at) - mean_time;
            together += off * score;
            spread += off * off;
        }
        if spread > 0.0 {
            together / spread * seconds(last)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn after(scores: impl Iterator<Item = f64>) -> Trend {
        let rules = HealthRules::with_p95(Duration::from_secs(1));
        let mut line = TrendLine::default();
        for (second, score) in scores.enumerate() {
            line.sample(
                Moment::default() + Duration::from_secs(second as u64),
                &rules,
                score,
            );
        }
        line.trend()
    }

    #[test]
    fn a_change_beyond_five_points_over_five_minutes_is_a_trend() {
        let slope =
            |total: f64| (0..=300).map(move |second| 50.0 + total * f64::from(second) / 300.0);
        assert_eq!(after(slope(5.5)), Trend::Improving);
        assert_eq!(after(slope(4.5)), Trend::Stable);
        assert_eq!(after(slope(-4.5)), Trend::Stable);
        assert_eq!(after(slope(-5.5)), Trend::Declining);
    }

    #[test]
    fn what_is_older_than_five_minutes_is_forgotten() {
        let scores = core::iter::repeat_n(0.0, 100).chain(core::iter::repeat_n(100.0, 400));
        assert_eq!(after(scores), Trend::Stable);
    }

    #[test]
    fn a_single_sample_has_no_trend() {
        assert_eq!(after(core::iter::once(10.0)), Trend::Stable);
    }
}
