//! Reads the configuration again while the server runs: by SIGHUP, and whoever else asks.

use std::sync::Arc;

use mainstay_runtime::{Change, Error, Handle};
use mainstay_server::{Mistake, Reload, ReloadError, Reloaded};
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;

use super::logging::Logging;
use super::{Failure, Surroundings};
use crate::config::{Changed, ConfigErrors, InForce, Loaded, Origin};
use crate::wiring;

/// Knows where the configuration came from, and what of it is in force.
pub(super) struct Reloader {
    around: Surroundings,
    handle: Handle,
    log: Logging,
    /// One reload at a time.
    in_force: Mutex<InForce>,
}

impl Reloader {
    pub(super) fn new(around: &Surroundings, loaded: Loaded, handle: Handle, log: Logging) -> Self {
        Self {
            around: around.clone(),
            handle,
            log,
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
                    Failure::Engine(error) => {
                        tracing::error!(%error, "the running server can't take this configuration");
                    }
                }
                tracing::error!("the configuration was not reloaded: nothing has changed");
                Err(failure)
            }
        }
    }

    async fn take(&self, in_force: &mut InForce) -> Result<Vec<Changed>, Failure> {
        let loaded = self.around.load_again(in_force.file.as_deref())?;
        let config = in_force.with_live_of(&loaded.config);
        let settings = wiring::engine_settings(&config)?;
        let taken = self.handle.reload(settings).await;
        let taken = taken.map_err(Failure::Engine)?;
        self.log.set_level(config.log.level);
        let changes = in_force.changes(&loaded);
        in_force.take(config, loaded);
        tracing::debug!(in_force = taken.len(), "the engine has its settings");
        Ok(changes)
    }

    /// What the server calls when an operator asks.
    pub(super) fn on_request(self: Arc<Self>) -> Reload {
        Reload::new(move || {
            let reloader = Arc::clone(&self);
            async move {
                let changed = reloader.reload().await;
                changed.map(reloaded).map_err(|failure| told(&failure))
            }
        })
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

fn reloaded(changed: Vec<Changed>) -> Reloaded {
    let (waiting, taken): (Vec<_>, Vec<_>) = changed.into_iter().partition(|c| c.needs_restart);
    let change = |Changed { key, old, new, .. }| Change { key, old, new };
    Reloaded {
        changes: taken.into_iter().map(change).collect(),
        needs_restart: waiting.into_iter().map(|one| one.key).collect(),
    }
}

fn told(failure: &Failure) -> ReloadError {
    match failure {
        Failure::Config(errors) => ReloadError::Mistakes(mistakes(errors)),
        Failure::Usage(problem) | Failure::Run(problem) => {
            ReloadError::Refused(Error::invalid("configuration", problem.clone()))
        }
        Failure::Engine(error) => ReloadError::Refused(error.clone()),
    }
}

fn mistakes(errors: &ConfigErrors) -> Vec<Mistake> {
    let file = errors.file.as_ref().map(|file| file.display().to_string());
    let all = errors.mistakes.iter().map(|mistake| {
        let (line, variable) = match &mistake.origin {
            Origin::Default => (None, None),
            Origin::Line(line) => (Some(*line), None),
            Origin::Variable(name) => (None, Some(name.clone())),
        };
        Mistake {
            file: file.clone().filter(|_| variable.is_none()),
            line,
            variable,
            key: mistake.key.clone(),
            detail: mistake.message.clone(),
        }
    });
    all.collect()
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
