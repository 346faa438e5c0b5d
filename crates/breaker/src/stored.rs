//! Settings that can be replaced while calls run: each field in an atomic of its own.

use core::array;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::cells::{Number, Small};
use crate::moment::nanos;
use crate::{HalfOpen, RateRule, Settings, SlowRule, Window};

/// Durations and shares, then whole numbers: 96 bytes in all.
const WIDE: usize = 8;
const NARROW: usize = 8;
type Fields = ([u64; WIDE], [u32; NARROW]);

const SLOW_AFTER: usize = 2;
const RAMP: usize = 7;

/// Written and read as a whole under the ledger's lock; single fields also without it.
#[derive(Debug)]
pub(crate) struct StoredSettings {
    wide: [Number; WIDE],
    narrow: [Small; NARROW],
}

impl StoredSettings {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (wide, narrow) = encode(settings);
        Self {
            wide: wide.map(Number::new),
            narrow: narrow.map(Small::new),
        }
    }

    pub(crate) fn store(&self, settings: &Settings) {
        let (wide, narrow) = encode(settings);
        for (cell, field) in self.wide.iter().zip(wide) {
            cell.set(field);
        }
        for (cell, field) in self.narrow.iter().zip(narrow) {
            cell.set(field);
        }
    }

    pub(crate) fn load(&self) -> Settings {
        decode((
            array::from_fn(|index| self.wide[index].get()),
            array::from_fn(|index| self.narrow[index].get()),
        ))
    }

    pub(crate) fn slow_after(&self) -> Option<Duration> {
        present(self.wide[SLOW_AFTER].get())
    }

    pub(crate) fn ramp(&self) -> Option<Duration> {
        present(self.wide[RAMP].get())
    }
}

/// Zero stands for absent, which validation makes free: no figure that may be absent may be zero.
fn encode(settings: &Settings) -> Fields {
    let (rate, slow) = (settings.rate, settings.slow);
    let wide = [
        nanos(settings.window.length),
        rate.map_or(0, |rate| rate.threshold.to_bits()),
        slow.map_or(0, |slow| nanos(slow.after)),
        slow.map_or(0, |slow| slow.threshold.to_bits()),
        nanos(settings.reset_timeout),
        settings.jitter.to_bits(),
        nanos(settings.half_open.lease),
        settings.ramp.map_or(0, nanos),
    ];
    let narrow = [
        settings.consecutive.map_or(0, NonZeroU32::get),
        settings.window.buckets,
        rate.map_or(0, |rate| rate.min_calls),
        slow.map_or(0, |slow| slow.min_calls),
        settings.max_open,
        settings.forget_after,
        settings.half_open.probes,
        settings.half_open.successes,
    ];
    (wide, narrow)
}

fn decode((wide, narrow): Fields) -> Settings {
    Settings {
        consecutive: NonZeroU32::new(narrow[0]),
        window: Window {
            length: Duration::from_nanos(wide[0]),
            buckets: narrow[1],
        },
        rate: (narrow[2] != 0).then(|| RateRule {
            threshold: f64::from_bits(wide[1]),
            min_calls: narrow[2],
        }),
        slow: present(wide[SLOW_AFTER]).map(|after| SlowRule {
            after,
            threshold: f64::from_bits(wide[3]),
            min_calls: narrow[3],
        }),
        reset_timeout: Duration::from_nanos(wide[4]),
        max_open: narrow[4],
        forget_after: narrow[5],
        jitter: f64::from_bits(wide[5]),
        half_open: HalfOpen {
            probes: narrow[6],
            successes: narrow[7],
            lease: Duration::from_nanos(wide[6]),
        },
        ramp: present(wide[RAMP]),
    }
}

fn present(nanos: u64) -> Option<Duration> {
    (nanos != 0).then(|| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_went_in() {
        let full = Settings::default();
        let bare = Settings {
            consecutive: None,
            rate: None,
            slow: None,
            ramp: None,
            ..full
        };
        let stored = StoredSettings::new(&full);
        assert_eq!(stored.load(), full);
        stored.store(&bare);
        assert_eq!(stored.load(), bare);
        assert_eq!((stored.slow_after(), stored.ramp()), (None, None));
    }
}
