//! A log that isn't taken holds up nothing: neither requests nor decisions, nor the end.

use std::fs::File;
use std::process::Stdio;

use mainstay_testkit::{Program, Signal};
use reqwest::Client;
use tempfile::TempDir;

use super::server::KEY;
use crate::support;

/// Requests that log more than a pipe holds.
const MANY: usize = 1_500;

struct Logging {
    program: Program,
    address: String,
    client: Client,
    _folder: TempDir,
}

impl Logging {
    async fn into(stderr: impl Into<Stdio>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = support::mainstay(folder.path());
        command
            .arg("serve")
            .env("MAINSTAY_ADMIN_KEY", KEY)
            .env("MAINSTAY_RATELIMIT_ENABLED", "false")
            .env("MAINSTAY_SERVER_LISTEN", "127.0.0.1:0");
        let program = Program::start_into(command, stderr).expect("the program starts");
        let line = program.line_with(support::SOON, "listening on ").await;
        let line = line.expect("it starts");
        let address = line.rsplit(' ').next().unwrap_or_default().to_owned();
        Self {
            program,
            address,
            client: Client::new(),
            _folder: folder,
        }
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.address);
        let request = self.client.get(url).header("x-api-key", KEY);
        let request = request.timeout(support::SOON);
        let reply = request.send().await.expect("an answer");
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        reply.text().await.expect("a whole answer")
    }

    /// Answers all requests, and ends when it is told to. Gives how many lines it says that it has lost.
    async fn goes_on(self) -> u64 {
        for _ in 0..MANY {
            self.get("/status").await;
        }
        let metrics = self.get("/metrics").await;
        let lost = metrics
            .lines()
            .find_map(|line| line.strip_prefix("log_lines_lost_total "));
        let lost = lost.and_then(|lost| lost.parse().ok());
        self.program.signal(Signal::TERM);
        assert!(self.program.wait(support::SOON).await.success());
        lost.expect("it counts them")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stands_still_holds_up_nothing() {
    let (_unread, log) = std::io::pipe().expect("a pipe");
    Logging::into(log).await.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_gone_harms_nothing_and_what_it_misses_is_counted() {
    let (reader, log) = std::io::pipe().expect("a pipe");
    let server = Logging::into(log).await;
    drop(reader);
    assert!(server.goes_on().await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_log_harms_nothing_and_what_it_misses_is_counted() {
    let log = File::options().write(true).open("/dev/full");
    let log = log.expect("what always is full");
    let lost = Logging::into(log).await.goes_on().await;
    assert!(lost > 0);
}
