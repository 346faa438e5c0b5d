//! The program that is killed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainstay_testkit::{PowerCut, Program, Recording, Signal, free_port, pause};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use super::rows;
use super::sky::Sky;
use crate::support;

/// The admin key that it is given.
const KEY: &str = "mk_test00001_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHI";
/// Its data directory in its folder.
pub(crate) const DATA: &str = "data";
/// The place in the middle of an upload in parts.
pub(crate) const PART: &str = "drain.part";
/// What the kernel calls a connection that the other side has closed, and this side hasn't (`include/net/tcp_states.h`).
const CLOSE_WAIT: &str = "08";
/// The same of one that this side has closed, and the other hasn't taken all that was sent on it.
const FIN_WAIT1: &str = "04";
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Longest start.
const START: Duration = Duration::from_secs(60);

pub(crate) struct Victim {
    folder: TempDir,
    /// Records what it does below its data directory.
    power: Option<PowerCut>,
    port: u16,
    settings: Vec<(&'static str, String)>,
    program: Mutex<Option<Program>>,
    client: reqwest::Client,
    needs_parts: AtomicBool,
    lives: AtomicU64,
}

impl Victim {
    pub(crate) fn new(sky: &Sky) -> Self {
        Self::on(tempfile::tempdir().expect("a folder"), sky)
    }

    /// One that is recorded, from before its first start.
    pub(crate) fn recorded(sky: &Sky, power: PowerCut) -> Self {
        Self {
            power: Some(power),
            ..Self::new(sky)
        }
    }

    /// One in a folder with its data, or without any.
    pub(crate) fn on(folder: TempDir, sky: &Sky) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = folder.path().join("mainstay.toml");
        std::fs::write(file, rows::statements()).expect("the file is written");
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20));
        Self {
            folder,
            power: None,
            port: free_port(),
            settings: settings(sky),
            program: Mutex::new(None),
            client: client.build().expect("a client"),
            needs_parts: AtomicBool::new(false),
            lives: AtomicU64::new(0),
        }
    }

    /// What it did until now.
    pub(crate) fn recording(&self) -> Recording {
        let power = self.power.as_ref().expect("it is recorded");
        power.recording()
    }

    /// Starts it, to die at a fault point where one is named.
    pub(crate) fn start(&self, fault: Option<String>) {
        let parts = fault.as_ref().is_some_and(|at| at.starts_with(PART));
        self.needs_parts.store(parts, Ordering::Relaxed);
        self.lives.fetch_add(1, Ordering::Relaxed);
        let mut command = support::mainstay(self.folder.path());
        command.arg("serve");
        let data = self.folder.path().join(DATA);
        command.env("MAINSTAY_DATA_DIR", &data);
        if let Some(power) = &self.power {
            power.record(&mut command, &data);
        }
        command.env("MAINSTAY_SERVER_LISTEN", format!("127.0.0.1:{}", self.port));
        for (name, value) in &self.settings {
            command.env(format!("MAINSTAY_{name}"), value);
        }
        if let Some(fault) = fault {
            command.env("CRASH_AT", fault);
        }
        *self.lock() = Some(Program::start(command).expect("the program starts"));
    }

    /// How often it was started.
    pub(crate) fn lives(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// Whether it is to die where it comes only with what is uploaded in parts.
    pub(crate) fn needs_parts(&self) -> bool {
        self.needs_parts.load(Ordering::Relaxed)
    }

    /// Waits until it serves, its journal opened and checked; false when it died before. That it answers says less:
    /// it does so while it is starting.
    pub(crate) async fn is_ready(&self) -> bool {
        let mut waited = Duration::ZERO;
        while waited < START {
            if self.has_said("listening on ") {
                return true;
            }
            if self.has_died() {
                return false;
            }
            pause(LOOK).await;
            waited += LOOK;
        }
        panic!("it didn't start");
    }

    fn has_said(&self, words: &str) -> bool {
        let program = self.lock();
        let mut lines = program.iter().flat_map(Program::stdout);
        lines.any(|line| line.contains(words))
    }

    fn has_died(&self) -> bool {
        let program = self.lock();
        program.as_ref().is_none_or(|p| p.exit_status().is_some())
    }

    /// Waits for its death, but not longer than this.
    pub(crate) async fn dies_within(&self, life: Duration) -> bool {
        let mut waited = Duration::ZERO;
        while waited < life && !self.has_died() {
            pause(LOOK).await;
            waited += LOOK;
        }
        self.has_died()
    }

    /// Kills it; says whether it was dead already, by the signal that fault points send.
    pub(crate) async fn kill(&self) -> bool {
        let program = self.lock().take().expect("it was started");
        let was_dead = program.exit_status().is_some();
        program.signal(Signal::KILL);
        let ended = program.wait(Duration::from_secs(20)).await;
        let by_kill = std::os::unix::process::ExitStatusExt::signal(&ended) == Some(9);
        assert!(
            by_kill,
            "it ended by itself ({ended}): {:?} {:?}",
            program.stdout(),
            program.stderr()
        );
        was_dead
    }

    /// Waits until it has closed, on its side, too, whatever its clients have closed, or is dead: on a busy machine that
    /// takes its time, and a large body that waits in sockets is read first.
    pub(crate) async fn notices(&self) {
        let port = format!(":{:04X}", self.port);
        let is_half_closed = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            match fields[..] {
                [_, here, there, state, ..] => {
                    (here.ends_with(&port) && state == CLOSE_WAIT)
                        || (there.ends_with(&port) && state == FIN_WAIT1)
                }
                _ => false,
            }
        };
        let mut waited = Duration::ZERO;
        while waited < START {
            let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux tells of sockets");
            if !sockets.lines().any(is_half_closed) {
                return;
            }
            pause(LOOK).await;
            waited += LOOK;
        }
        panic!("a closed connection is never noticed");
    }

    /// `None` when it can't tell now.
    pub(crate) async fn journal(&self) -> Option<Value> {
        let request = self.request(Method::GET, "/journal?limit=1000");
        let reply = request.send().await.expect("an answer");
        let can_tell = reply.status().is_success();
        can_tell.then_some(reply.json().await.expect("JSON"))
    }

    pub(crate) async fn metrics(&self) -> String {
        let request = self.request(Method::GET, "/metrics");
        let reply = request.send().await.expect("an answer");
        reply.text().await.expect("text")
    }

    /// A request whose client leaves after so long, if it does.
    pub(crate) fn request_for(
        &self,
        method: Method,
        path: &str,
        patience: Option<Duration>,
    ) -> RequestBuilder {
        let request = self.request(method, path);
        match patience {
            Some(patience) => request.timeout(patience),
            None => request,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        request.header("x-api-key", KEY)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Program>> {
        self.program.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Where its dependencies are, and that it is quick to try again, also right after an outage of its own.
fn settings(sky: &Sky) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    let mut settings = support::s3_settings(&sky.s3);
    settings.retain(|(name, _)| *name != "S3_ENDPOINT");
    settings.extend([
        ("S3_ENDPOINT", sky.s3_endpoint()),
        // Shorter than a life: what hangs is given up while there are still clients.
        ("S3_FIRST_BYTE", text("500ms")),
        ("DATABASE_CALL_DEADLINE", text("1s")),
        ("REDIS_URL", sky.redis_url()),
        ("REDIS_CLASSES_COUNTER", text("visits:")),
        ("DATABASE_URL", sky.postgres_url()),
        ("BREAKERS_S3_RESET_TIMEOUT", text("200ms")),
        ("BREAKERS_S3_RAMP", text("100ms")),
        ("BREAKERS_REDIS_RESET_TIMEOUT", text("200ms")),
        ("BREAKERS_REDIS_RAMP", text("100ms")),
        ("BREAKERS_DATABASE_RESET_TIMEOUT", text("200ms")),
        ("BREAKERS_DATABASE_RAMP", text("100ms")),
        // Drains at full rate: a life is too short for the pace of a system that has just been in trouble.
        ("DEGRADATION_TUNING_EMERGENCY_BATCH", text("1.0")),
        ("DEGRADATION_TUNING_MINIMAL_BATCH", text("1.0")),
        ("DEGRADATION_TUNING_LIMITED_BATCH", text("1.0")),
        ("DEGRADATION_TUNING_DEGRADED_BATCH", text("1.0")),
        ("JOURNAL_MIN_FREE_DISK", text("0B")),
        ("ADMIN_KEY", text(KEY)),
        ("RATELIMIT_ENABLED", text("false")),
    ]);
    settings
}
