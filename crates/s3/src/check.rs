//! What `mainstay check` asks of the store, with the remedy for what fails.

use std::time::Duration;

use mainstay_runtime::Error;
use mainstay_runtime::breaker::FailureKind;

use crate::classify::{Failed, Meaning, classify, meaning, names_bucket};
use crate::objects::{DEPENDENCY, Objects};
use crate::settings::Target;

/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Objects {
    /// Tries the store once, for `mainstay check`. The breaker isn't asked and nothing counts.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub async fn check(&self) -> Result<String, Error> {
        let inner = &self.0;
        let (clock, started) = (inner.guard.clock(), inner.now());
        let error = match clock.until(started + PATIENCE, inner.store_works()).await {
            Err(_) => {
                "nothing answered within 5 s: check s3.endpoint and the firewall, and that the store isn't frozen"
            }
            Ok(Err(failed)) => self.remedy(&failed),
            Ok(Ok(())) => return Ok(self.praise(inner.now().saturating_since(started)).await),
        };
        Err(Error::unavailable(DEPENDENCY, error))
    }

    async fn praise(&self, took: Duration) -> String {
        let ms = took.as_secs_f64() * 1000.0;
        match &self.0.settings.target {
            Target::Local(dir) => format!(
                "embedded store in {} wrote and read in {ms:.1} ms",
                dir.display()
            ),
            Target::S3(target) => {
                let conditions = match self.0.honours_conditions().await {
                    Some(true) => "conditions on writes are honoured",
                    Some(false) => {
                        "conditions on writes are ignored by this store, so they will be refused"
                    }
                    None => {
                        "whether conditions on writes are honoured could not be tried (is it allowed to write?)"
                    }
                };
                format!(
                    "bucket `{}` answered in {ms:.1} ms; {conditions}",
                    target.bucket
                )
            }
        }
    }

    fn remedy(&self, failed: &Failed) -> &'static str {
        if self.is_embedded() {
            return "the folder can't be written: check data_dir, its owner and the free space";
        }
        if names_bucket(&failed.error) {
            return "there is no such bucket: check s3.bucket and s3.region, or create it";
        }
        match (
            meaning(failed),
            failed.seen.status,
            classify(failed).failure_kind(),
        ) {
            (_, Some(300..=399), _) => "it redirects: check s3.endpoint and s3.region",
            (Meaning::Misconfigured, ..) => {
                "it refuses us: check s3.access_key_id, s3.secret_access_key, this machine's time, and that the key may list the bucket"
            }
            (Meaning::Overloaded, ..) => "it asks for less at the moment: try again later",
            (_, _, Some(FailureKind::Connect)) => {
                "no connection: check s3.endpoint, that it runs there, and DNS, firewall and certificates"
            }
            (_, Some(404), _) => "what answers there is not an S3 endpoint: check s3.endpoint",
            (_, _, Some(FailureKind::Protocol)) => {
                "what answers there is not an S3 endpoint: check s3.endpoint and its port"
            }
            _ => "the store answered but can't serve: look at its log",
        }
    }
}
