//! A process's memory and file descriptors, once a second, and whether they grow.

use std::fs;
use std::time::Duration;

use mainstay_testkit::pause;

/// The first part of the time, in which caches and pools fill.
const WARM_UP: f64 = 0.3;
/// What memory may grow by from the part after that to the last one: a share, and bytes. In minutes caches still fill.
const GROWTH: (f64, f64) = (0.10, 6e6);
/// The same in so many seconds and more, where a slow leak has had its time.
const LONG: usize = 1500;
const LONG_GROWTH: (f64, f64) = (0.05, 1e6);
/// The same for descriptors, whose number follows the connections of the moment.
const DESCRIPTORS: f64 = 15.0;

pub(crate) struct Gauge {
    pid: u32,
    samples: Vec<(f64, f64)>,
}

impl Gauge {
    pub(crate) fn of(pid: u32) -> Self {
        let samples = Vec::new();
        Self { pid, samples }
    }

    /// Looks for as long as it is waited for.
    pub(crate) async fn watch(&mut self) {
        loop {
            self.samples.push((self.memory(), self.descriptors()));
            pause(Duration::from_secs(1)).await;
        }
    }

    /// Bytes resident.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.expect("the program runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.expect("a number of KiB") * 1024.0
    }

    fn descriptors(&self) -> f64 {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid));
        open.expect("the program runs").count() as f64
    }

    /// Medians of both after the warm-up, in four parts of equal length.
    fn parts(&self) -> Vec<(f64, f64)> {
        let warm = (self.samples.len() as f64 * WARM_UP) as usize;
        let rest = &self.samples[warm..];
        let parts = rest.chunks(rest.len().div_ceil(4).max(1));
        let of = |part: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = part.iter().map(which).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        parts
            .map(|part| (of(part, |s| s.0), of(part, |s| s.1)))
            .collect()
    }

    pub(crate) fn report(&self) -> String {
        let parts: Vec<_> = self
            .parts()
            .iter()
            .map(|(m, d)| format!("{:.1} MB, {d} descriptors", m / 1e6))
            .collect();
        format!("after the warm-up, in four parts: {}", parts.join("; "))
    }

    pub(crate) fn is_flat(&self) {
        let parts = self.parts();
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        let (share, bytes) = match self.samples.len() {
            LONG.. => LONG_GROWTH,
            _ => GROWTH,
        };
        let bound = first.0 * (1.0 + share) + bytes;
        assert!(last.0 <= bound, "memory grows: {}", self.report());
        assert!(
            last.1 <= first.1 + DESCRIPTORS,
            "descriptors leak: {}",
            self.report()
        );
    }
}
