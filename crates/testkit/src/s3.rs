//! A private S3 server: `mainstay-test-s3`, a program of this package.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::server::Server;
use crate::{binaries, control, scratch};

const BUCKET: &str = "mainstay-test";
const CONTROL: &str = "/_control";

/// How an [`S3`] server answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum S3Mode {
    /// As it should.
    #[default]
    Ok,
    /// 503 `SlowDown`, with `Retry-After` in seconds when one is given.
    SlowDown {
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// 403 `AccessDenied`.
    Forbidden,
    /// 500 `InternalError`.
    Internal,
    /// Reads the request and never answers.
    Hang,
    /// Answers this much later, after carrying the request out.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Carries some requests for objects out this much later; the others are answered as they should be.
    SlowSome {
        /// Which.
        requests: Requests,
        /// Milliseconds.
        ms: u64,
    },
    /// Carries uploads that bring a condition out this much later, also when their client has gone meanwhile, as a store
    /// does that is reached over something slow; as it should all others.
    LateUploads {
        /// Milliseconds.
        ms: u64,
    },
    /// An error of the caller's making for keys that begin with `prefix`; as it should for all others.
    Refuse {
        /// The beginning of the keys.
        prefix: String,
        /// The status, e.g. 403.
        status: u16,
        /// The code in the body, e.g. `AccessDenied`; without one the body is plain text, as with [`S3Mode::Foreign`].
        code: String,
    },
    /// An error of the caller's making to some requests for objects; the others are answered as they should be.
    RefuseSome {
        /// Which.
        requests: Requests,
        /// The status, e.g. 403.
        status: u16,
        /// The code in the body, as with [`S3Mode::Refuse`].
        code: String,
    },
    /// Carries nothing out and answers in plain text, not as S3 words its errors: as an ingress does without a route.
    Foreign {
        /// The status, e.g. 404.
        status: u16,
    },
    /// Carries the request out and closes the connection in the middle of the answer's body, or before
    /// any of it when the body is empty.
    CutMidway,
    /// The same for writes only; reads are answered as they should be.
    CutWrites,
    /// Reads writes and never answers them; reads are answered as they should be.
    HangWrites,
    /// A read of the one key that begins with `prefix` is carried out only after the next write to it, and no write
    /// before there is such a read.
    OvertakenReads {
        /// The beginning of the key.
        prefix: String,
    },
    /// Says of so many writes whose condition doesn't hold that they are done, as stores do that ignore conditions.
    /// Nothing is written then.
    IgnoreConditions {
        /// How many, from when this is set.
        times: u64,
    },
    /// Says that it has taken uploads of keys that begin with `prefix`, and keeps them in this shape; as it should for
    /// all others.
    Spoil {
        /// The beginning of the keys.
        prefix: String,
        /// What is left of them.
        leaves: Leaves,
    },
}

/// Requests for objects, by what they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requests {
    /// Those that change nothing.
    Reads,
    /// All others.
    Writes,
    /// Of those, deletes.
    Deletes,
    /// Of those, copies.
    Copies,
    /// Of those, the ones that bring more than so many bytes.
    Larger {
        /// How many.
        than: usize,
    },
}

/// What a store leaves of an upload that it spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaves {
    /// Nothing: there is no object.
    Nothing,
    /// The first half of it.
    Half,
    /// As many bytes, all of them zero.
    Zeros,
}

/// A real S3-protocol server of this test's own, which checks signatures and keeps objects in a folder.
///
/// Conditional writes are atomic, and a body is checked against its checksum headers before anything is stored.
pub struct S3 {
    server: Server,
    folder: TempDir,
}

impl S3 {
    /// Starts one on a free port of 127.0.0.1, with one empty bucket.
    ///
    /// # Panics
    /// When it can't be built or doesn't start.
    pub async fn start() -> Self {
        let folder = scratch::folder(None);
        let root = folder.path().to_owned();
        fs::create_dir(root.join(BUCKET)).expect("our folder is writable");
        let binary = binaries::own("mainstay-test-s3");
        let recipe = Box::new(move |port: u16| {
            let mut command = Command::new(&binary);
            command
                .arg(port.to_string())
                .arg(&root)
                .args([Self::ACCESS_KEY, Self::SECRET_KEY]);
            command
        });
        let server = Server::start("listening", recipe).await;
        Self { server, folder }
    }

    const ACCESS_KEY: &str = "test";
    const SECRET_KEY: &str = "testsecret0123456789";

    /// `http://127.0.0.1:<port>`, for path-style requests.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Its port, the same over restarts.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The name of its bucket.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The region to sign for; any is accepted.
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// The one access key that it knows.
    pub fn access_key(&self) -> &'static str {
        Self::ACCESS_KEY
    }

    /// The secret of that access key.
    pub fn secret_key(&self) -> &'static str {
        Self::SECRET_KEY
    }

    /// The object of this key, from the disk, whether the server runs or not.
    pub fn content(&self, key: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(BUCKET).join(key)).ok()
    }

    /// The names of the objects right under this folder of the bucket, from the disk.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join(BUCKET).join(folder));
        let names = entries.into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Switches how it answers; back to [`S3Mode::Ok`] after a restart.
    pub async fn set(&self, mode: S3Mode) {
        let mode = serde_json::to_value(mode).expect("a mode is plain data");
        control::set(self.port(), CONTROL, &mode).await;
    }

    /// How many S3 requests it has received since it was started.
    pub async fn requests(&self) -> u64 {
        control::get(self.port(), CONTROL).await["requests"]
            .as_u64()
            .unwrap_or_default()
    }

    /// How many requests for keys that begin with `prefix` have no answer yet.
    ///
    /// # Panics
    /// When it doesn't run.
    pub async fn under_way(&self, prefix: &str) -> usize {
        let control = control::get(self.port(), CONTROL).await;
        let paths = control["under_way"].as_array().expect("a list");
        let start = format!("/{BUCKET}/{prefix}");
        let ours = |path: &&serde_json::Value| path.as_str().is_some_and(|p| p.starts_with(&start));
        paths.iter().filter(ours).count()
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

    /// Starts it again on the same port with the same objects, killing it first if it runs.
    pub async fn restart(&self) {
        self.server.restart().await;
    }

    /// Ends it gracefully (SIGTERM).
    pub async fn shutdown(&self) {
        self.server.shutdown(Signal::TERM).await;
    }
}
