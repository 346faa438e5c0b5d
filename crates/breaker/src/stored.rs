//! Settings that can be replaced while calls run: each field in an atomic of its own.

use core::array;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::cells::Number;
use crate::moment::nanos;
use crate::{HalfOpen, RateRule, Settings, SlowRule, Window};

const FIELDS: usize = 16;
const SLOW_AFTER: usize = 5;
const RAMP: usize = 15;

/// Written and read as a whole under the ledger's lock; single fields also without it.
#[derive(Debug)]
pub(crate) struct StoredSettings([Number; FIELDS]);

impl StoredSettings {
    pub(crate) fn new(settings: &Settings) -> Self {
        let fields = encode(settings);
        Self(array::from_fn(|index| Number::new(fields[index])))
    }

    pub(crate) fn store(&self, settings: &Settings) {
        for (cell, field) in self.0.iter().zip(encode(settings)) {
            cell.set(field);
        }
    }

    pub(crate) fn load(&self) -> Settings {
        decode(array::from_fn(|index| self.0[index].get()))
    }

    pub(crate) fn slow_after(&self) -> Option<Duration> {
        present(self.0[SLOW_AFTER].get())
    }

    pub(crate) fn ramp(&self) -> Option<Duration> {
        present(self.0[RAMP].get())
    }
}

/// Zero stands for absent, which validation makes free: no figure that may be absent may be zero.
fn encode(settings: &Settings) -> [u64; FIELDS] {
    let (rate, slow) = (settings.rate, settings.slow);
    [
        settings.consecutive.map_or(0, |row| u64::from(row.get())),
        nanos(settings.window.length),
        u64::from(settings.window.buckets),
        rate.map_or(0, |rate| rate.threshold.to_bits()),
        rate.map_or(0, |rate| u64::from(rate.min_calls)),
        slow.map_or(0, |slow| nanos(slow.after)),
        slow.map_or(0, |slow| slow.threshold.to_bits()),
        slow.map_or(0, |slow| u64::from(slow.min_calls)),
        nanos(settings.reset_timeout),
        u64::from(settings.max_open),
        u64::from(settings.forget_after),
        settings.jitter.to_bits(),
        u64::from(settings.half_open.probes),
        u64::from(settings.half_open.successes),
        nanos(settings.half_open.lease),
        settings.ramp.map_or(0, nanos),
    ]
}

fn decode(fields: [u64; FIELDS]) -> Settings {
    Settings {
        consecutive: NonZeroU32::new(small(fields[0])),
        window: Window {
            length: Duration::from_nanos(fields[1]),
            buckets: small(fields[2]),
        },
        rate: (fields[4] != 0).then(|| RateRule {
            threshold: f64::from_bits(fields[3]),
            min_calls: small(fields[4]),
        }),
        slow: present(fields[SLOW_AFTER]).map(|after| SlowRule {
            after,
            threshold: f64::from_bits(fields[6]),
            min_calls: small(fields[7]),
        }),
        reset_timeout: Duration::from_nanos(fields[8]),
        max_open: small(fields[9]),
        forget_after: small(fields[10]),
        jitter: f64::from_bits(fields[11]),
        half_open: HalfOpen {
            probes: small(fields[12]),
            successes: small(fields[13]),
            lease: Duration::from_nanos(fields[14]),
        },
        ramp: present(fields[RAMP]),
    }
}

fn small(field: u64) -> u32 {
    u32::try_from(field).unwrap_or(u32::MAX)
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
