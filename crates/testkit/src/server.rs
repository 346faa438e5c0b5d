//! What every private server shares: a port, a command, and a line that says it's ready.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::eventually::eventually_some;
use crate::port::free_port;
use crate::program::Program;

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// Builds the command that serves on a port.
type Recipe = Box<dyn Fn(u16) -> Command + Send + Sync>;

/// A server process on a port that stays its own over restarts.
pub(crate) struct Server {
    recipe: Recipe,
    ready: &'static str,
    port: u16,
    program: Mutex<Option<Arc<Program>>>,
}

impl Server {
    /// Starts on a free port; ready when it has written a line that contains `ready`.
    pub(crate) async fn start(ready: &'static str, recipe: Recipe) -> Self {
        // A port can be lost between choosing and using it.
        for _ in 0..20 {
            let port = free_port();
            match spawn(recipe(port), ready).await {
                Ok(program) => {
                    let program = Mutex::new(Some(Arc::new(program)));
                    return Self {
                        recipe,
                        ready,
                        port,
                        program,
                    };
                }
                Err(output) if lost_port(&output) => {}
                Err(output) => panic!("the server did not start: {output}"),
            }
        }
        panic!("twenty free ports in a row were taken by others")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The process, while there is one.
    pub(crate) fn program(&self) -> Option<Arc<Program>> {
        self.slot().clone()
    }

    pub(crate) async fn kill(&self) {
        let program = self.take();
        if let Some(program) = program {
            program.kill().await;
        }
    }

    pub(crate) async fn stop(&self) {
        self.program()
            .expect("a killed server can't be stopped")
            .stop()
            .await;
    }

    pub(crate) fn cont(&self) {
        self.program()
            .expect("a killed server can't be continued")
            .cont();
    }

    /// Takes the process out, so that dropping it here ends it.
    pub(crate) fn take(&self) -> Option<Arc<Program>> {
        self.slot().take()
    }

    /// Asks it to end with `signal` and waits until it has.
    pub(crate) async fn shutdown(&self, signal: Signal) {
        let program = self.take();
        if let Some(program) = program {
            program.signal(signal);
            program.wait(STOP).await;
        }
    }

    /// Starts it again on its port, after killing it if it runs.
    pub(crate) async fn restart(&self) {
        self.kill().await;
        let program =
            eventually_some(
                START,
                "the server to start again on its port",
                async || match spawn((self.recipe)(self.port), self.ready).await {
                    Ok(program) => Some(program),
                    Err(output) if lost_port(&output) => None,
                    Err(output) => panic!("the server did not start again: {output}"),
                },
            )
            .await;
        *self.slot() = Some(Arc::new(program));
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Program>>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn spawn(command: Command, ready: &str) -> Result<Program, String> {
    let name = command.get_program().to_owned();
    let program =
        Program::start(command).map_err(|error| format!("{}: {error}", name.display()))?;
    program.line_with(START, ready).await?;
    Ok(program)
}

fn lost_port(output: &str) -> bool {
    output.to_lowercase().contains("address already in use")
}
