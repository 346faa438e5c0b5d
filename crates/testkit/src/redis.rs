//! A private Redis server.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::binaries::find_installed;
use crate::scratch;
use crate::server::Server;

/// A real `redis-server` of this test's own, without persistence unless the arguments ask for it.
pub struct Redis {
    server: Server,
    password: Option<String>,
    _folder: TempDir,
}

impl Redis {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When `redis-server` isn't installed or doesn't start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further arguments, for instance `["--maxmemory", "2mb"]` or `["--requirepass", "secret"]`.
    ///
    /// # Panics
    /// When `redis-server` isn't installed or doesn't start with them.
    pub async fn start_with(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut from_password = args.iter().skip_while(|arg| *arg != "--requirepass");
        let password = from_password.nth(1).cloned();
        let folder = scratch::folder(None);
        let binary = find_installed("redis-server", &[], "redis-server");
        let data = folder.path().to_owned();
        let recipe = Box::new(move |port| command(&binary, &data, port, &args));
        let server = Server::start("eady to accept connections", recipe).await;
        Self {
            server,
            password,
            _folder: folder,
        }
    }

    /// `redis://…`, with the password when one was asked for.
    pub fn url(&self) -> String {
        let login = self
            .password
            .as_ref()
            .map(|word| format!(":{word}@"))
            .unwrap_or_default();
        format!("redis://{login}127.0.0.1:{}/", self.port())
    }

    /// Its port, the same over restarts.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Kills it (SIGKILL): its port refuses connections from now on.
    pub async fn kill(&self) {
        self.server.kill().await;
    }

    /// Freezes it (SIGSTOP): connections are still accepted by the kernel, answers don't come.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Continues a frozen one (SIGCONT).
    pub fn cont(&self) {
        self.server.cont();
    }

    /// Starts it again on the same port, killing it first if it runs; empty unless its arguments ask for persistence.
    pub async fn restart(&self) {
        self.server.restart().await;
    }

    /// Ends it gracefully (SIGTERM).
    pub async fn shutdown(&self) {
        self.server.shutdown(Signal::TERM).await;
    }
}

fn command(binary: &PathBuf, data: &PathBuf, port: u16, args: &[String]) -> Command {
    let mut command = Command::new(binary);
    command.args(["--bind", "127.0.0.1", "--daemonize", "no", "--save", ""]);
    command
        .arg("--port")
        .arg(port.to_string())
        .arg("--dir")
        .arg(data)
        .args(args);
    command
}
