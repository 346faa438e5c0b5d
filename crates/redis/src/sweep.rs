//! Settles, behind live traffic, what Redis is owed and nobody asks for; and says what couldn't be settled as wished.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_runtime::{Attempt, Call, Guard};

use crate::class::{Class, ClassRule};
use crate::classify;
use crate::server::Server;
use crate::standin::Settled;

/// Keys of one batch where the level allows the full rate.
const BATCH: f64 = 128.0;
/// Bytes of one batch, unless its first key has more: it must arrive within one call's deadline.
const BATCH_BYTES: f64 = 1024.0 * 1024.0;
/// Pause between batches, and between looks at whether Redis is back.
const PAUSE: Duration = Duration::from_millis(100);
/// How much of a full batch is added after each that Redis settled, until it is full again.
const MORE: f64 = 0.05;
/// Longest pause after batches that Redis couldn't settle.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Batch by batch, oldest first, as soon as the breaker lets it and as fast as the level does; ends when nothing is owed.
pub(crate) async fn run(server: Weak<Server>, guard: Guard) {
    let (mut pause, mut share) = (PAUSE, 1.0);
    loop {
        guard.clock().sleep(pause).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        if guard.is_open() {
            pause = PAUSE;
        } else if server.settle_oldest(share).await {
            (pause, share) = (PAUSE, (share + MORE).min(1.0));
        } else {
            // Later, and less: a slow Redis may manage part of it in time.
            (pause, share) = ((pause * 2).min(LONGEST_PAUSE), share / 2.0);
        }
        if server.has_swept() {
            return;
        }
    }
}

impl Server {
    /// One batch, this share of a full one. Returns whether Redis settled it.
    async fn settle_oldest(&self, share: f64) -> bool {
        let guard = self.guard();
        let level = guard.tuning().batch.clamp(0.0, 1.0);
        // One key at least, so that nothing stops it for good; casts are exact enough, since both factors are at most 1.
        let count = (BATCH * level * share).ceil() as usize;
        let bytes = (BATCH_BYTES * share) as usize;
        let keys = self.standin().oldest_touched(count.max(1), bytes);
        let call = Call {
            operation: "reconcile",
            idempotent: false,
            deadline: guard.now() + guard.call_deadline(),
            caller: None,
            instead_of: None,
            trial: false,
            as_long_as: Duration::ZERO,
        };
        let work = async |_: Attempt| {
            let mut lease = self.pool().lend().await?;
            self.settle(&mut lease, &keys).await
        };
        guard.call(call, classify::verdict, work).await.is_ok()
    }

    /// Whether nothing is owed any more, and the task may end.
    fn has_swept(&self) -> bool {
        if self.standin().touched() > 0 || self.has_spent_markers() {
            return false;
        }
        self.sweeping.store(false, Ordering::Release);
        // A key touched between the look and the store would find the task still running, and gone.
        self.standin().touched() == 0 || self.sweeping.swap(true, Ordering::AcqRel)
    }
}

/// What couldn't be settled as wished, by rule: events tell how many keys, never which.
#[derive(Default)]
pub(crate) struct Troubles(Vec<Trouble>);

struct Trouble {
    settled: Settled,
    class: Class,
    prefix: String,
    count: usize,
}

impl Troubles {
    /// Notes how a key of this rule was settled.
    pub(crate) fn note(&mut self, settled: &Settled, rule: Option<&ClassRule>) {
        let (Some(rule), false) = (rule, matches!(settled, Settled::Done(_))) else {
            return;
        };
        let same = |one: &&mut Trouble| one.settled == *settled && one.prefix == rule.prefix;
        match self.0.iter_mut().find(same) {
            Some(trouble) => trouble.count += 1,
            None => self.0.push(Trouble {
                settled: settled.clone(),
                class: rule.class,
                prefix: rule.prefix.clone(),
                count: 1,
            }),
        }
    }

    pub(crate) fn announce(self, guard: &Guard) {
        for trouble in self.0 {
            let (class, prefix, count) = (trouble.class.as_str(), trouble.prefix, trouble.count);
            let (kind, why) = match trouble.settled {
                Settled::Kept => (
                    "redis_value_kept",
                    "had changed in Redis too: its values stand, what was written here is gone",
                ),
                Settled::Refused => (
                    "redis_refused",
                    "can't be brought back: Redis refuses to change what they hold, or to run scripts for this user (EVAL)",
                ),
                Settled::GivenUp | Settled::Done(_) => (
                    "redis_given_up",
                    "were sent to Redis days ago and never answered: sent again they might count twice, so they are left",
                ),
            };
            let message = format!("{count} keys of class {class} under {prefix:?} {why}");
            let data = serde_json::json!({"class": class, "prefix": prefix, "count": count});
            guard.announce(kind, message, data);
        }
    }
}
