//! Reads the configuration again while the server runs: by SIGHUP, and whoever else asks.

use std::sync::Arc;

use mainstay_runtime::Handle;
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;

use super::logging::SetLevel;
use super::{Failure, Surroundings};
use crate::config::{Changed, InForce, Loaded};
use crate::wiring;

/// Knows where the configuration came from, and what of it is in force.
pub(super) struct Reloader {
    around: Surroundings,
    handle: Handle,
    set_level: SetLevel,
    /// One reload at a time.
    in_force: Mutex<InForce>,
}

impl Reloader {
    pub(super) fn new(
        around: &Surroundings,
        loaded: Loaded,
        handle: Handle,
        set_level: SetLevel,
    ) -> Self {
        Self {
            around: around.clone(),
            handle,
            set_level,
            in_force: Mutex::new(InForce::new(loaded)),
        }
    }

    /// Reads file and environment again, checks everything, and puts what can be into force. Logs what changed.
    ///
    /// # Errors
    /// Every mistake, logged; nothing has changed then.
    pub(super) async fn reload(&self) -> Result<Vec<Changed>, Failure> {
        let mut in_force = self.in_force.lock().await;
        match self.take(&mut in_force).await {
            Ok(changes) => {
                tell(&changes);
                Ok(changes)
            }
            Err(failure) => {
                match &failure {
                    Failure::Config(errors) => errors.log(),
                    Failure::Usage(problem) | Failure::Run(problem) => {
                        tracing::error!(problem, "a mistake in the configuration");
                    }
                }
                tracing::error!("the configuration was not reloaded: nothing has changed");
                Err(failure)
            }
        }
    }

    async fn take(&self, in_force: &mut InForce) -> Result<Vec<Changed>, Failure> {
        let loaded = self.around.load()?;
        let config = in_force.with_live_of(&loaded.config);
        let settings = wiring::engine_settings(&config)?;
        let taken = self.handle.reload(settings).await;
        let taken = taken.map_err(|error| Failure::Usage(error.detail))?;
        (self.set_level)(config.log.level);
        let changes = in_force.changes(&loaded);
        in_force.take(config, loaded);
        tracing::debug!(in_force = taken.len(), "the engine has its settings");
        Ok(changes)
    }

    /// Reloads whenever the signal comes, until the server stops.
    pub(super) async fn at_each(self: Arc<Self>, mut hangup: Signal) {
        let stopping = self.handle.stopping();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = hangup.recv() => {}
            }
            tracing::info!(signal = "SIGHUP", "reloading the configuration");
            // Logged where it fails.
            let _ = self.reload().await;
        }
    }
}

fn tell(changes: &[Changed]) {
    for one in changes {
        let Changed {
            key,
            old,
            new,
            from,
            needs_restart,
        } = one;
        if *needs_restart {
            tracing::warn!(key, old, new, from, "a setting changes with a restart only");
        } else {
            tracing::info!(key, old, new, from, "a setting has changed");
        }
    }
    let waiting = changes.iter().filter(|one| one.needs_restart).count();
    tracing::info!(
        changed = changes.len() - waiting,
        need_restart = waiting,
        "the configuration is reloaded"
    );
}
