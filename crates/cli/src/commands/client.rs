//! Asks a running server over its HTTP API.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mainstay_runtime::Clock;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Failure, KEY_VARIABLE, Surroundings};
use crate::cli::ServerArguments;
use crate::config::Config;

/// Longest time for an answer to a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time for a command; reading a large body takes its time.
const COMMAND_PATIENCE: Duration = Duration::from_secs(300);
/// How often one question is put again to a server that has had too many.
const TRIES: u32 = 10;
/// Longest pause before that, in seconds.
const LONGEST_PAUSE: u64 = 60;

/// Where to ask, and with what.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    key: String,
    /// What the key must be allowed to do.
    scope: &'static str,
}

/// What of a problem is shown.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

impl Client {
    /// A client of the server that the arguments name, else of the one that listens where the configuration says.
    ///
    /// # Errors
    /// Names what is missing: a key, an address.
    pub(super) fn new(
        around: &Surroundings,
        arguments: &ServerArguments,
        scope: &'static str,
    ) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().connect_timeout(PATIENCE).build();
        Ok(Self {
            http: http.map_err(|error| Failure::Run(format!("no HTTP client: {error}")))?,
            url: url(around, arguments)?,
            key: key(around, arguments, scope)?,
            scope,
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, PATIENCE).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::POST, path, COMMAND_PATIENCE).await
    }

    async fn send(
        &self,
        method: &Method,
        url: &Url,
        patience: Duration,
    ) -> Result<Response, Failure> {
        let request = self
            .http
            .request(method.clone(), url.clone())
            .timeout(patience)
            .bearer_auth(&self.key);
        let reply = request.send().await;
        reply.map_err(|error| unreachable_server(url, &error))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        patience: Duration,
    ) -> Result<T, Failure> {
        let url = self
            .url
            .join(path)
            .map_err(|error| Failure::Usage(format!("{}: {error}", self.url)))?;
        let clock = Clock::start();
        let mut reply = self.send(&method, &url, patience).await?;
        for _ in 0..TRIES {
            // What asks often, a page at a time, goes on when it may.
            let Some(pause) = may_ask_again_after(&reply) else {
                break;
            };
            clock.sleep(pause).await;
            reply = self.send(&method, &url, patience).await?;
        }
        match reply.status() {
            StatusCode::OK => reply
                .json()
                .await
                .map_err(|error| Failure::Run(format!("{url}: not a reply of Mainstay: {error}"))),
            StatusCode::UNAUTHORIZED => Err(Failure::Usage(format!(
                "the server doesn't know this key ({KEY_VARIABLE} or --key-file); `mainstay key list` shows all"
            ))),
            StatusCode::FORBIDDEN => Err(Failure::Usage(format!(
                "the key lacks the scope {scope}; make one with `mainstay key new --scopes {scope}`",
                scope = self.scope
            ))),
            other => {
                let said = reply.json::<Problem>().await.ok();
                let said = said.map(|problem| problem.detail.unwrap_or(problem.title));
                Err(Failure::Run(
                    said.unwrap_or_else(|| format!("{url}: {other}")),
                ))
            }
        }
    }
}

/// When the server says that this key has used up its requests for the moment.
fn may_ask_again_after(reply: &Response) -> Option<Duration> {
    let is_limited = reply.status() == StatusCode::TOO_MANY_REQUESTS;
    let said = reply.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = said.parse::<u64>().ok().filter(|_| is_limited)?;
    Some(Duration::from_secs(seconds.clamp(1, LONGEST_PAUSE)))
}

fn unreachable_server(url: &Url, error: &reqwest::Error) -> Failure {
    let why = if error.is_connect() {
        "nothing answers there; is the server running? --url names another address"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the request failed"
    };
    Failure::Run(format!("{}: {why}", url.origin().ascii_serialization()))
}

fn url(around: &Surroundings, arguments: &ServerArguments) -> Result<Url, Failure> {
    let text = match &arguments.url {
        Some(url) => format!("{}/", url.trim_end_matches('/')),
        None => listening(&around.load()?.config)?,
    };
    let url = Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| {
        Failure::Usage(format!(
            "{text} is no URL; it should look like http://127.0.0.1:8080"
        ))
    })
}

fn listening(config: &Config) -> Result<String, Failure> {
    let mut address = config.server.listen;
    if address.port() == 0 {
        return Err(Failure::Usage(
            "server.listen has port 0, a free one: name the server's address with --url".to_owned(),
        ));
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}/"))
}

fn key(around: &Surroundings, arguments: &ServerArguments, scope: &str) -> Result<String, Failure> {
    if let Some(path) = &arguments.key_file {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))?;
        return Ok(text.trim().to_owned());
    }
    let found = around
        .variable(KEY_VARIABLE)
        .map(|key| key.trim().to_owned());
    found.ok_or_else(|| Failure::Usage(format!("no key: set {KEY_VARIABLE} or name a file with --key-file (`mainstay key new --scopes {scope}` makes one)")))
}
