//! Taking the configuration anew while the server runs. What reads it is handed in: the server opens no files.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mainstay_runtime::{Change, Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Mistake, Problem};

type Outcome = Pin<Box<dyn Future<Output = Result<Reloaded, ReloadError>> + Send>>;

/// Reads the configuration, checks all of it, and puts it into force; or says what is wrong with it and changes nothing.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Outcome + Send + Sync>);

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Reloads by calling `work`.
    pub fn new<F, Fut>(work: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reloaded, ReloadError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(work())))
    }

    /// Does it.
    ///
    /// # Errors
    /// What is wrong; nothing was changed then.
    pub async fn run(&self) -> Result<Reloaded, ReloadError> {
        (self.0)().await
    }
}

/// What a new configuration has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force now.
    pub changes: Vec<Change>,
    /// Settings that have another value now, and take it with the next start only.
    pub needs_restart: Vec<String>,
}

/// Why a configuration was not taken.
#[derive(Clone, Debug)]
pub enum ReloadError {
    /// It has mistakes.
    Mistakes(Vec<Mistake>),
    /// The running engine can't take it.
    Refused(Error),
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let (detail, mistakes) = match error {
            ReloadError::Mistakes(mistakes) => {
                let count = mistakes.len();
                let plural = if count == 1 { "mistake" } else { "mistakes" };
                let detail = format!("the configuration has {count} {plural}; nothing was changed");
                (detail, mistakes)
            }
            // Not the configuration's fault.
            ReloadError::Refused(error) if error.kind != ErrorKind::InvalidInput => {
                return error.into();
            }
            ReloadError::Refused(error) => {
                let mistake = Mistake {
                    key: error.field.unwrap_or_default(),
                    detail: error.detail,
                    ..Mistake::default()
                };
                let detail =
                    "the running server can't take this configuration; nothing was changed";
                (detail.to_owned(), vec![mistake])
            }
        };
        Self {
            mistakes,
            ..Self::new(
                "invalid-configuration",
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                detail,
            )
        }
    }
}

/// What a reload has done.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReloadReply {
    /// Always true: errors are problems.
    success: bool,
    /// What is in force now.
    changes: Vec<ChangeView>,
    /// Settings that have another value in the configuration, and take it with the next start only.
    needs_restart: Vec<String>,
}

/// A setting that has another value now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeView {
    /// e.g. `breakers.redis.fail_max`.
    key: String,
    old: String,
    new: String,
}

impl From<Reloaded> for ReloadReply {
    fn from(reloaded: Reloaded) -> Self {
        let view = |change: Change| ChangeView {
            key: change.key,
            old: change.old,
            new: change.new,
        };
        Self {
            success: true,
            changes: reloaded.changes.into_iter().map(view).collect(),
            needs_restart: reloaded.needs_restart,
        }
    }
}
