//! Cells that many threads share without `unsafe`, and the short lock that serialises their writers.

use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Moment;

/// A number.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Counts one more; for counters that are written without the lock.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A number that may be absent; `u64::MAX` stands for absent.
#[derive(Debug)]
pub(crate) struct Maybe(Number);

impl Maybe {
    pub(crate) const fn none() -> Self {
        Self(Number::new(u64::MAX))
    }

    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.get()).filter(|value| *value != u64::MAX)
    }

    pub(crate) fn set(&self, value: Option<u64>) {
        self.0.set(value.unwrap_or(u64::MAX));
    }

    pub(crate) fn moment(&self) -> Option<Moment> {
        self.get().map(Moment::from_nanos)
    }

    pub(crate) fn set_moment(&self, moment: Option<Moment>) {
        self.set(moment.map(Moment::as_nanos));
    }
}

/// Atomic fields behind a spin lock. The lock only serialises; the fields are safe without it. No
/// caller's code runs while it is held, and what does is some hundred loads at most.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Guarded<T> {
    busy: AtomicBool,
    fields: T,
}

impl<T> Guarded<T> {
    pub(crate) const fn new(fields: T) -> Self {
        Self {
            busy: AtomicBool::new(false),
            fields,
        }
    }

    pub(crate) fn lock(&self) -> Held<'_, T> {
        while self
            .busy
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            while self.busy.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        }
        Held { guarded: self }
    }
}

/// The lock is held while this lives.
pub(crate) struct Held<'a, T> {
    guarded: &'a Guarded<T>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guarded.fields
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.guarded.busy.store(false, Ordering::Release);
    }
}
