//! A running `mainstay serve` with a client for it.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_testkit::{
    Described, Program, Signal, SmallDisk, Trouble, eventually, eventually_some, free_port,
};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::support;

/// Longest time for anything that has to happen by itself: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// The admin key that tests preset.
pub(crate) const KEY: &str = "mk_test00001_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHI";

/// The server, its folder and a client.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) folder: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    client: reqwest::Client,
    machine: Machine,
    /// Once it has told it.
    described: OnceCell<Described>,
}

/// What it stands on.
enum Machine {
    Sound,
    Troubled(Trouble),
    /// Where it keeps what it keeps.
    Small(SmallDisk),
}

/// A reply, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    pub(crate) took: Duration,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The problem's kind, e.g. `read-only`.
    pub(crate) fn problem(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.strip_prefix("urn:mainstay:problem:").unwrap_or(kind)
    }

    /// Asserts that the journal could not take it, and that these words say why.
    pub(crate) fn is_refused_by_the_journal(&self, words: &[&str]) {
        assert_eq!(
            (self.status.as_u16(), self.problem()),
            (503, "journal-full"),
            "{self:?}"
        );
        assert!(self.header("retry-after").is_some(), "{self:?}");
        let detail = self.body["detail"].as_str().unwrap_or_default();
        for words in words {
            assert!(detail.contains(words), "{self:?}");
        }
    }
}

impl Server {
    /// Starts with settings as environment variables, without their prefix.
    pub(crate) fn launch(settings: &[(&str, &str)]) -> Self {
        Self::launch_with_file("", settings)
    }

    /// Starts with a configuration file as well.
    pub(crate) fn launch_with_file(file: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::launch_in(folder, file, settings, Machine::Sound)
    }

    /// Starts on a machine that can make trouble.
    pub(crate) fn launch_on(
        file: &str,
        settings: &[(&str, &str)],
        trouble: impl FnOnce(&Trouble),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let machine = Trouble::build(folder.path());
        trouble(&machine);
        Self::launch_in(folder, file, settings, Machine::Troubled(machine))
    }

    /// The machine it stands on.
    pub(crate) fn machine(&self) -> &Trouble {
        match &self.machine {
            Machine::Troubled(machine) => machine,
            _ => panic!("it was launched on a sound one"),
        }
    }

    /// Starts with its data on a small disk.
    pub(crate) fn launch_on_disk(disk: SmallDisk, file: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::launch_in(folder, file, settings, Machine::Small(disk))
    }

    /// The disk its data is on.
    pub(crate) fn disk(&self) -> &SmallDisk {
        match &self.machine {
            Machine::Small(disk) => disk,
            _ => panic!("it was launched on a large one"),
        }
    }

    fn launch_in(folder: TempDir, file: &str, settings: &[(&str, &str)], machine: Machine) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::fs::write(folder.path().join("mainstay.toml"), file).expect("the file is written");
        let port = free_port();
        let settings: Vec<_> = settings
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Self {
            program: start(&folder, port, &settings, &machine),
            folder,
            port,
            settings,
            client: reqwest::Client::new(),
            machine,
            described: OnceCell::new(),
        }
    }

    /// Starts and waits until it is ready.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let server = Self::launch(settings);
        server.ready().await;
        server
    }

    pub(crate) async fn ready(&self) {
        eventually(SOON, "the server is ready", async || {
            let reply = self.client.get(self.url("/readyz")).send().await;
            reply.is_ok_and(|r| r.status().is_success())
        })
        .await;
    }

    /// Ends it with SIGTERM and starts it again on the same folder and port.
    pub(crate) async fn restart(&mut self) {
        self.program.signal(Signal::TERM);
        let ended = self.program.wait(SOON).await;
        assert!(ended.success(), "{ended:?}: {:?}", self.program.stderr());
        self.start_again().await;
    }

    /// Starts one that has ended, or was killed, on the same folder and port.
    pub(crate) async fn start_again(&mut self) {
        self.program = start(&self.folder, self.port, &self.settings, &self.machine);
        self.ready().await;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, self.url(path))
            .header("x-api-key", KEY)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it measures how long a caller waits"
    )]
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let began = tokio::time::Instant::now().into_std();
        let (client, request) = request.build_split();
        let request = request.expect("a request");
        let (method, path) = (
            request.method().to_string(),
            request.url().path().to_owned(),
        );
        let response: Response = client.execute(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a whole answer");
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let reply = Reply {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
            took: began.elapsed(),
        };
        if let Some(described) = self.described().await {
            described.check(&method, &path, status.as_u16());
        }
        reply
    }

    /// The API's description, unless the server can't be asked now.
    async fn described(&self) -> Option<&Described> {
        let fetch = async || {
            let reply = self.client.get(self.url("/openapi.json")).send().await;
            let reply = reply.ok().filter(|reply| reply.status().is_success());
            reply
                .ok_or(())?
                .json()
                .await
                .map(Described::new)
                .map_err(drop)
        };
        self.described.get_or_try_init(fetch).await.ok()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        self.send(self.request(Method::PUT, path).body(body)).await
    }

    /// Waits until the level is this one.
    pub(crate) async fn level(&self, level: &str) -> Reply {
        eventually_some(SOON, &format!("the level is {level}"), async || {
            let reply = self.get("/status").await;
            (reply.body["level"] == level).then_some(reply)
        })
        .await
    }

    /// Waits until a dependency's breaker is in this state.
    pub(crate) async fn breaker(&self, dependency: &str, state: &str) {
        eventually(
            SOON,
            &format!("the breaker of {dependency} is {state}"),
            async || {
                let reply = self.get(&format!("/health/{dependency}")).await;
                reply.body["breaker_state"] == state
            },
        )
        .await;
    }

    /// A feature's mode.
    pub(crate) async fn feature(&self, name: &str) -> String {
        let reply = self.get(&format!("/features/{name}")).await;
        reply.body["mode"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of a metric by its name with labels, as Prometheus writes it; 0 when it isn't there.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let reply = self.get("/metrics").await;
        let text = reply.body.as_str().unwrap_or_default();
        let found = text
            .lines()
            .find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_default()
    }

    /// The sum of a metric over all its lines with this label.
    pub(crate) async fn sum(&self, name: &str, label: &str) -> f64 {
        let reply = self.get("/metrics").await;
        let text = reply.body.as_str().unwrap_or_default();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{') && rest.contains(label))
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

fn start(folder: &TempDir, port: u16, settings: &[(String, String)], machine: &Machine) -> Program {
    let mut command = support::mainstay(folder.path());
    command
        .arg("serve")
        .env("MAINSTAY_ADMIN_KEY", KEY)
        .env("MAINSTAY_RATELIMIT_ENABLED", "false")
        .env("MAINSTAY_SERVER_LISTEN", format!("127.0.0.1:{port}"));
    // An open breaker that tries again after two seconds instead of thirty, a level that may rise after one instead of
    // ten, an outage that is noticed without traffic within seconds: the same behaviour, sooner.
    for dependency in ["DATABASE", "REDIS", "S3", "OPENAI"] {
        for (setting, value) in [
            (format!("BREAKERS_{dependency}_RESET_TIMEOUT"), "2s"),
            (format!("DEGRADATION_PROBES_{dependency}_HEARTBEAT"), "2s"),
            (format!("DEGRADATION_PROBES_{dependency}_FAILING"), "1s"),
        ] {
            command.env(format!("MAINSTAY_{setting}"), value);
        }
    }
    command.env("MAINSTAY_DEGRADATION_DWELL", "1s");
    for (name, value) in settings {
        command.env(format!("MAINSTAY_{name}"), value);
    }
    match machine {
        Machine::Sound => {}
        Machine::Troubled(trouble) => {
            let data = data_dir(folder);
            // The default is relative; trouble is made for absolute paths.
            command.env("MAINSTAY_DATA_DIR", &data);
            trouble.below(&mut command, &data);
        }
        Machine::Small(disk) => {
            command.env("MAINSTAY_DATA_DIR", disk.path().join("data"));
            command = disk.with(&command);
        }
    }
    Program::start(command).expect("the program starts")
}

/// Where it keeps what it keeps.
fn data_dir(folder: &TempDir) -> PathBuf {
    let folder = folder.path().canonicalize();
    folder.expect("it is there").join("mainstay-data")
}
