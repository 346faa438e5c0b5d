//! Active checks, for the runtime's schedule and for people.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_runtime::{Error, Probe, Verdict};

use crate::client::{Database, Replica};
use crate::driver::Driver;
use crate::fault::DATABASE;
use crate::settings::REPLICA;
use crate::write_mode::Primary;

/// How long a person waits for one endpoint.
const PATIENCE: Duration = Duration::from_secs(5);

#[async_trait]
impl Probe for Replica {
    async fn check(&self) -> Result<(), Verdict> {
        self.driver
            .probe()
            .await
            .map(drop)
            .map_err(|fault| fault.verdict)
    }
}

/// Watches the write mode beside the primary's sign of life.
pub(crate) struct PrimaryProbe(pub(crate) Arc<Primary>);

#[async_trait]
impl Probe for PrimaryProbe {
    async fn check(&self) -> Result<(), Verdict> {
        match self.0.driver.probe().await {
            Ok(read_only) => {
                if read_only {
                    self.0.set_read_only();
                }
                Ok(())
            }
            Err(fault) => Err(fault.verdict),
        }
    }
}

/// What a check of one endpoint found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The endpoint, e.g. `database/replica`.
    pub endpoint: String,
    /// One sentence for a person: how it is, or in the error what is wrong and the remedy.
    pub result: Result<String, Error>,
}

impl Database {
    /// Tries each endpoint on a new connection, past its breaker: for a person who wants to know what is wrong.
    pub async fn check(&self) -> Vec<Checked> {
        let mut checked = vec![self.check_one("database", &self.primary.driver).await];
        if let Some(replica) = &self.replica {
            checked.push(self.check_one(REPLICA, &replica.driver).await);
        }
        checked
    }

    async fn check_one(&self, endpoint: &str, driver: &Driver) -> Checked {
        let clock = self.guard().clock();
        let result = match clock
            .until(clock.now() + PATIENCE, driver.probe_anew())
            .await
        {
            Ok(Ok(read_only)) => Ok(describe(driver, read_only)),
            Ok(Err(fault)) => Err(naming(endpoint, fault.error)),
            Err(_elapsed) => Err(Error::unavailable(
                DATABASE,
                "the server accepts connections and does not answer: see whether it hangs",
            )),
        };
        Checked {
            endpoint: endpoint.to_owned(),
            result,
        }
    }
}

/// The remedy names the setting of the primary; the replica has its own.
fn naming(endpoint: &str, mut error: Error) -> Error {
    if endpoint == REPLICA {
        error.detail = error.detail.replace("database.url", "database.replica_url");
    }
    error
}

fn describe(driver: &Driver, read_only: bool) -> String {
    let engine = match driver {
        Driver::Postgres(_) => "PostgreSQL",
        Driver::Sqlite(_) => "SQLite, embedded",
    };
    let writes = if read_only {
        "read-only"
    } else {
        "takes writes"
    };
    format!("{engine}: answers, {writes}")
}
