//! The cheapest honest checks: a new connection, a login and a PING; for the embedded store a real write and read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mainstay_breaker::FailureKind;
use mainstay_runtime::{Clock, Probe, Verdict};

use crate::class::Class;
use crate::classify;
use crate::command::{Action, SetCondition, SetExpiry};
use crate::memory::{Memory, Terms};
use crate::pool::Pool;
use crate::reply::Reply;
use crate::value::Key;

/// Asks Redis over a connection of its own: a full pool can't hide that Redis is well, nor an old connection that it
/// accepts no new ones.
pub(crate) struct ServerProbe {
    pub(crate) pool: Arc<Pool>,
}

#[async_trait]
impl Probe for ServerProbe {
    async fn check(&self) -> Result<(), Verdict> {
        let asked = async {
            let mut con = self.pool.connector().connect().await?;
            redis::cmd("PING").query_async::<String>(&mut con).await
        };
        match asked.await {
            Ok(_) => Ok(()),
            Err(error) => match classify::verdict(&error) {
                // A correct "no" to PING is still no answer to it.
                Verdict::SUCCESS => Err(Verdict::failure(FailureKind::Protocol)),
                verdict => Err(verdict),
            },
        }
    }
}

/// Writes to the embedded store and reads it back.
pub(crate) struct MemoryProbe {
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) clock: Clock,
}

#[async_trait]
impl Probe for MemoryProbe {
    async fn check(&self) -> Result<(), Verdict> {
        let key = Key::reserved("probe");
        let terms = Terms {
            now: self.clock.now(),
            ttl: Duration::from_secs(60),
            class: Class::Cache,
        };
        let value = terms.now.as_nanos().to_string();
        let set = Action::Set {
            value: value.as_str().into(),
            expiry: SetExpiry::Never,
            condition: SetCondition::Always,
        };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = memory.apply(&key, &set, &terms);
        let read = memory.apply(&key, &Action::Get, &terms);
        memory.forget(&key);
        match (stored, read) {
            (Ok(_), Ok(held))
                if held.reply
                    == (Reply::Hit {
                        value: value.into(),
                    }) =>
            {
                Ok(())
            }
            _ => Err(Verdict::failure(FailureKind::Internal)),
        }
    }
}
