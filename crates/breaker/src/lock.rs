//! The short lock that serialises whoever changes the state. No caller's code runs while it is held, and
//! what does is some hundred loads at most.

use core::ops::Deref;

/// Atomic fields behind a lock. The lock only serialises; the fields are safe without it.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    raw: raw::Lock,
    fields: T,
}

impl<T> Guarded<T> {
    pub(crate) fn new(fields: T) -> Self {
        Self {
            raw: raw::Lock::new(),
            fields,
        }
    }

    pub(crate) fn lock(&self) -> Held<'_, T> {
        Held {
            _raw: self.raw.acquire(),
            fields: &self.fields,
        }
    }

    /// The lock if nobody holds it.
    pub(crate) fn try_lock(&self) -> Option<Held<'_, T>> {
        Some(Held {
            _raw: self.raw.try_acquire()?,
            fields: &self.fields,
        })
    }
}

/// The lock is held while this lives.
pub(crate) struct Held<'a, T> {
    _raw: raw::Guard<'a>,
    fields: &'a T,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.fields
    }
}

#[cfg(not(loom))]
mod raw {
    use core::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug)]
    pub(super) struct Lock(AtomicBool);

    impl Lock {
        pub(super) fn new() -> Self {
            Self(AtomicBool::new(false))
        }

        pub(super) fn acquire(&self) -> Guard<'_> {
            loop {
                if let Some(guard) = self.try_acquire() {
                    return guard;
                }
                while self.0.load(Ordering::Relaxed) {
                    core::hint::spin_loop();
                }
            }
        }

        pub(super) fn try_acquire(&self) -> Option<Guard<'_>> {
            let taken = self
                .0
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            // Lazily: a guard that was made and dropped would release another's lock.
            taken.is_ok().then(|| Guard(self))
        }
    }

    pub(super) struct Guard<'a>(&'a Lock);

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.0.store(false, Ordering::Release);
        }
    }
}

/// Loom would try every number of rounds of a spinning thread; its mutex blocks instead.
#[cfg(loom)]
mod raw {
    pub(super) type Lock = LoomLock;
    pub(super) type Guard<'a> = loom::sync::MutexGuard<'a, ()>;

    #[derive(Debug)]
    pub(super) struct LoomLock(loom::sync::Mutex<()>);

    impl LoomLock {
        pub(super) fn new() -> Self {
            Self(loom::sync::Mutex::new(()))
        }

        pub(super) fn acquire(&self) -> Guard<'_> {
            self.0.lock().expect("nothing panics under it")
        }

        pub(super) fn try_acquire(&self) -> Option<Guard<'_>> {
            self.0.try_lock().ok()
        }
    }
}
