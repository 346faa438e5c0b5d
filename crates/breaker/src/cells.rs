//! Cells that many threads share without `unsafe`.

use crate::Moment;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A number.
#[derive(Debug)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Counts one more; for counters that many write without the lock.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts more, for counters with one writer at a time: the lock's holder, or a lane's owner. A plain
    /// load and store cost a fraction of a locked addition.
    pub(crate) fn add_alone(&self, more: u64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(more), Ordering::Relaxed);
    }
}

impl Default for Number {
    fn default() -> Self {
        Self::new(0)
    }
}

/// A number that may be absent; `u64::MAX` stands for absent.
#[derive(Debug)]
pub(crate) struct Maybe(Number);

impl Maybe {
    pub(crate) fn none() -> Self {
        Self(Number::new(u64::MAX))
    }

    pub(crate) fn moment(&self) -> Option<Moment> {
        let nanos = self.0.get();
        (nanos != u64::MAX).then_some(Moment::from_nanos(nanos))
    }

    pub(crate) fn set(&self, moment: Option<Moment>) {
        self.0.set(moment.map_or(u64::MAX, Moment::as_nanos));
    }
}

/// A number that fits 32 bits.
#[derive(Debug)]
pub(crate) struct Small(AtomicU32);

impl Small {
    pub(crate) fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }
}

/// The code of an enum's variant that may be absent; `u8::MAX` stands for absent.
#[derive(Debug)]
pub(crate) struct MaybeCode(AtomicU8);

impl MaybeCode {
    pub(crate) fn none() -> Self {
        Self(AtomicU8::new(u8::MAX))
    }

    pub(crate) fn get(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Acquire)).filter(|code| *code != u8::MAX)
    }

    pub(crate) fn set(&self, code: Option<u8>) {
        self.0.store(code.unwrap_or(u8::MAX), Ordering::Release);
    }
}
