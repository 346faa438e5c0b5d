//! Canaries: keys of our own are written to memory as if Redis were down, and settled. So it is known before an outage
//! that Redis will take what is written during one: scripts may be forbidden, renamed, or missing.
//!
//! One for each way of settling that the configured classes need. Its name is drawn anew, so that processes on one Redis
//! don't meddle with each other's, and it ends by itself should nobody delete it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use mainstay_breaker::State;
use mainstay_runtime::{Call, CallError, Exercised, Verdict};
use redis::RedisError;

use crate::class::Class;
use crate::classify::{self, Meaning};
use crate::command::{Action, Command, SetCondition, SetExpiry};
use crate::memory::Terms;
use crate::reply::Reply;
use crate::server::Server;
use crate::standin::Settled;
use crate::value::{Blob, Key};

/// How fallbacks that are no source are named: Redis being told what was written to memory.
pub(crate) const WAY: &str = "settlement";
/// How long Redis keeps what nobody deletes.
const TTL: Duration = Duration::from_secs(600);

/// One key, what is done to it, and what Redis must hold in the end.
struct Trial {
    key: Key,
    class: Class,
    before: Option<Action>,
    during: Action,
    after: Reply,
}

impl Server {
    /// One flight of each kind.
    pub(crate) async fn canary(self: &Arc<Self>) -> Option<Exercised> {
        if self.guard().state() != State::Closed || self.standin().touched() > 0 {
            return None;
        }
        let by_script = self.settings().settles_by_script();
        let mut ended = Some(Exercised::Agreed);
        for trial in trials(by_script) {
            let held = self.try_out(&trial).await;
            self.give_up(&trial);
            ended = match held {
                Ok(reply) if reply == trial.after => continue,
                Ok(_) => Some(Exercised::Differed),
                Err(CallError::Failed(error)) if is_refusal(&error) => Some(Exercised::Failed),
                // Redis, not the way to it, is in trouble.
                Err(_) => None,
            };
            break;
        }
        // Removes markers.
        self.start_sweeping();
        ended
    }

    /// Owes nothing for a trial any more, whatever became of it: what can't be settled would be tried for ever.
    fn give_up(&self, trial: &Trial) {
        let terms = self.terms_of(trial);
        let owed = self
            .standin()
            .begin(std::slice::from_ref(&trial.key), terms.now);
        for (key, sent) in owed {
            self.standin()
                .finish(&key, &sent, &Settled::GivenUp, &terms);
        }
        self.standin().forget(&trial.key, trial.class);
    }

    fn terms_of(&self, trial: &Trial) -> Terms {
        Terms {
            now: self.guard().now(),
            ttl: TTL,
            class: trial.class,
        }
    }

    /// What Redis holds of a trial's key after it was settled.
    async fn try_out(&self, trial: &Trial) -> Result<Reply, CallError<RedisError>> {
        if let Some(before) = &trial.before {
            self.tell(&trial.key, before.clone()).await?;
        }
        let terms = self.terms_of(trial);
        let answered = self
            .standin()
            .answer(&trial.key, &trial.during, &terms, false);
        if answered.is_err() {
            // Memory is full, which is told to those whom it refuses.
            return Err(CallError::Deadline { sent: false });
        }
        // As any command on the key does, this settles what is owed first.
        let held = self.tell(&trial.key, Action::Get).await?;
        self.tell(&trial.key, Action::Delete).await?;
        Ok(held)
    }

    async fn tell(&self, key: &Key, action: Action) -> Result<Reply, CallError<RedisError>> {
        let command = Command::At {
            key: key.clone(),
            action,
        };
        let call = Call {
            operation: "exercise",
            idempotent: false,
            deadline: self.guard().now() + self.guard().call_deadline(),
            caller: None,
            instead_of: None,
            trial: false,
            as_long_as: Duration::ZERO,
        };
        let unanswered = AtomicU32::new(0);
        let work = |_| self.attempt(&command, &unanswered);
        self.guard().call(call, verdict, work).await
    }
}

/// A key or a script that we may not use, or a Redis that takes no writes at all, is no failure for those who only read.
fn verdict(error: &RedisError) -> Verdict {
    match is_refusal(error) {
        true => Verdict::SUCCESS,
        false => classify::verdict(error),
    }
}

/// Redis has answered, and its answer is no; that it has too much work is another matter.
fn is_refusal(error: &RedisError) -> bool {
    classify::is_reply(error) && classify::meaning(error) != Meaning::Overload
}

fn trials(by_script: bool) -> Vec<Trial> {
    let number = RandomState::new().hash_one(WAY);
    let key = |class: Class| Key::reserved(&format!("canary:{number:016x}:{}", class.as_str()));
    let text = |value: &str| Blob::from(value.as_bytes().to_vec());
    let set = |value: &str| Action::Set {
        value: text(value),
        expiry: SetExpiry::After(TTL),
        condition: SetCondition::Always,
    };
    let mut trials = vec![Trial {
        key: key(Class::Cache),
        class: Class::Cache,
        before: Some(set("before")),
        during: set("during"),
        after: Reply::Absent,
    }];
    if by_script {
        trials.push(Trial {
            key: key(Class::Counter),
            class: Class::Counter,
            before: Some(set("5")),
            during: Action::Incr { by: 3 },
            after: Reply::Hit { value: text("8") },
        });
        trials.push(Trial {
            key: key(Class::Session),
            class: Class::Session,
            before: None,
            during: set("during"),
            after: Reply::Hit {
                value: text("during"),
            },
        });
    }
    trials
}
