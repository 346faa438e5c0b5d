//! The ETags that the store has shown lately: what is known of a key when work on it is accepted.
//!
//! What a copy leaves bears no mark of ours. So what was seen of its target before is no base any more, also where that
//! is told only afterwards, and where nobody hears how the copy ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use crate::recent::Recent;
use crate::turns::{Asked, Lately, Turns};

/// Keys remembered at most: nothing is wrong without one, only less is known.
const MAX_KEYS: usize = 50_000;
/// Copies that have ended and are remembered at most. What was asked before one that isn't any more is asked in vain.
const MAX_COPIED: usize = 1000;

/// The last ETag seen of each key.
#[derive(Debug, Default)]
pub(crate) struct Etags(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    etags: Recent<String>,
    /// The copies at the store, by target.
    copying: HashMap<Arc<str>, Copying>,
    /// Targets of copies that have ended.
    copied: Lately,
    turns: Turns,
}

#[derive(Debug, Default)]
struct Copying {
    count: usize,
    /// Something was seen of it meanwhile, which is newer than what was known before.
    touched: bool,
}

/// The target of a copy. Dropped, it may have been replaced: nothing is known of it.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    etags: &'a Etags,
    key: &'a str,
    /// Since when it may change, and what was known before that.
    begun: OnceLock<(Asked, Option<String>)>,
}

impl Etags {
    pub(crate) fn new(turns: Turns) -> Self {
        Self(Mutex::new(Known {
            turns,
            ..Known::default()
        }))
    }

    /// The store has shown this; none means that the object is gone, or that the store gives no ETags.
    pub(crate) fn saw(&self, key: &str, etag: Option<&str>) {
        self.lock().saw(key, etag);
    }

    /// The same of an answer that may show the time before a copy.
    pub(crate) fn saw_since(&self, asked: Asked, key: &str, etag: Option<&str>) {
        let mut known = self.lock();
        if etag.is_none() || known.is_current(asked, key) {
            known.saw(key, etag);
        } else {
            known.touch(key);
        }
    }

    /// A write of ours has left this. Where a copy may have replaced it, nothing is known: what was before is not there
    /// any more either way.
    pub(crate) fn wrote(&self, asked: Asked, key: &str, etag: Option<&str>) {
        let mut known = self.lock();
        let etag = etag.filter(|_| known.is_current(asked, key));
        known.saw(key, etag);
    }

    /// For what is asked now.
    pub(crate) fn asked(&self) -> Asked {
        self.lock().turns.asked()
    }

    /// Whether what was asked then can't show the time before a copy.
    pub(crate) fn is_current(&self, asked: Asked, key: &str) -> bool {
        self.lock().is_current(asked, key)
    }

    pub(crate) fn of(&self, key: &str) -> Option<String> {
        self.lock().etags.get(key).map(|(_, etag)| etag.clone())
    }

    /// A copy to this key is about to be made.
    pub(crate) fn target<'a>(&'a self, key: &'a str) -> Target<'a> {
        let begun = OnceLock::new();
        Target {
            etags: self,
            key,
            begun,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Target<'_> {
    /// The copy is about to be sent: from now on the object may be replaced at any time.
    pub(crate) fn may_change(&self) {
        self.begun.get_or_init(|| self.etags.lock().begin(self.key));
    }

    /// The copy has ended. Where it surely was not carried out, what was known before holds.
    pub(crate) fn ended(mut self, may_be_done: bool) {
        if !may_be_done && let Some((asked, before)) = self.begun.take() {
            self.etags.lock().take_back(self.key, asked, before);
        }
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if self.begun.take().is_some() {
            self.etags.lock().end(self.key);
        }
    }
}

impl Known {
    fn saw(&mut self, key: &str, etag: Option<&str>) {
        self.touch(key);
        self.etags.remove(key);
        if let Some(etag) = etag {
            let turn = self.turns.next();
            self.etags.insert(MAX_KEYS, turn, key, etag.to_owned());
        }
    }

    fn is_current(&self, asked: Asked, key: &str) -> bool {
        !self.copying.contains_key(key) && !self.copied.may_follow(asked, key)
    }

    fn begin(&mut self, key: &str) -> (Asked, Option<String>) {
        self.copying.entry(key.into()).or_default().count += 1;
        (self.turns.asked(), self.etags.remove(key))
    }

    fn end(&mut self, key: &str) {
        self.leave(key);
        self.etags.remove(key);
        self.copied.tell(MAX_COPIED, self.turns.next(), key);
    }

    /// The copy was not carried out; unless another one was, or something else was seen meanwhile, nothing has changed.
    fn take_back(&mut self, key: &str, asked: Asked, before: Option<String>) {
        let touched = self.copying.get(key).is_some_and(|copying| copying.touched);
        self.leave(key);
        if self.is_current(asked, key) && !touched {
            self.saw(key, before.as_deref());
        }
    }

    fn touch(&mut self, key: &str) {
        if let Some(copying) = self.copying.get_mut(key) {
            copying.touched = true;
        }
    }

    fn leave(&mut self, key: &str) {
        if let Some(copying) = self.copying.get_mut(key) {
            copying.count -= 1;
            if copying.count == 0 {
                self.copying.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_copys_target_is_known_only_what_was_asked_after_it() {
        let etags = Etags::default();
        let before = etags.asked();
        etags.saw("a", Some("old"));
        let target = etags.target("a");
        assert_eq!(etags.of("a").as_deref(), Some("old"), "it isn't sent yet");
        target.may_change();
        target.may_change();
        let during = etags.asked();
        for asked in [before, during, etags.asked()] {
            etags.saw_since(asked, "a", Some("old"));
            assert_eq!(etags.of("a"), None);
        }
        drop(target);
        for asked in [before, during] {
            assert!(!etags.is_current(asked, "a"));
            etags.saw_since(asked, "a", Some("old"));
            etags.saw_since(asked, "b", Some("other"));
            assert_eq!(etags.of("a"), None);
            assert_eq!(etags.of("b").as_deref(), Some("other"));
        }
        etags.saw_since(etags.asked(), "a", Some("new"));
        assert_eq!(etags.of("a").as_deref(), Some("new"));
        assert!(etags.lock().copying.is_empty());
    }

    #[test]
    fn a_copy_that_was_not_carried_out_changes_nothing() {
        let etags = Etags::default();
        let before = etags.asked();
        let fail = |meanwhile: &dyn Fn()| {
            etags.saw("a", Some("old"));
            let target = etags.target("a");
            target.may_change();
            meanwhile();
            target.ended(false);
            etags.of("a")
        };
        assert_eq!(fail(&|| ()).as_deref(), Some("old"));
        assert!(etags.is_current(before, "a"));
        let theirs = || etags.saw_since(etags.asked(), "a", Some("theirs"));
        assert_eq!(fail(&theirs), None, "somebody else has changed it");
        assert_eq!(fail(&|| etags.saw("a", None)), None, "it was gone");
        // What is known for sure is newer.
        assert_eq!(
            fail(&|| etags.saw("a", Some("new"))).as_deref(),
            Some("new")
        );
        let other = || {
            let other = etags.target("a");
            other.may_change();
            other.ended(true);
        };
        assert_eq!(fail(&other), None);
        let unsent = etags.target("a");
        etags.saw("a", Some("old"));
        unsent.ended(true);
        assert_eq!(etags.of("a").as_deref(), Some("old"));
    }

    #[test]
    fn what_was_asked_before_a_copy_that_is_forgotten_is_not_believed() {
        let etags = Etags::default();
        let before = etags.asked();
        let copy = |key: &str| {
            let target = etags.target(key);
            target.may_change();
        };
        copy("a");
        let after = etags.asked();
        for at in 1..MAX_COPIED {
            copy(&at.to_string());
        }
        assert!(etags.is_current(before, "other"));
        copy("one more");
        assert!(!etags.is_current(before, "other"));
        assert!(!etags.is_current(before, "a"));
        assert!(etags.is_current(after, "other"));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let etags = Etags::default();
        etags.saw("a", Some("one"));
        etags.saw("a", None);
        etags.saw("never", None);
        assert_eq!(etags.of("a"), None);
    }
}
