//! `mainstay status`.

mod reply;
mod view;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use mainstay_runtime::Clock;
use reqwest::{Client, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::{Failure, KEY_VARIABLE, Surroundings};
use crate::cli::StatusArguments;
use crate::config::Config;
use crate::output::print;
use reply::{Status, Why};

const PATIENCE: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(1);
/// Cursor to the upper left, everything below it cleared.
const REDRAW: &str = "\x1b[H\x1b[J";
const CLEAR: &str = "\x1b[2J";

/// Where to ask, and with what.
struct Question {
    client: Client,
    url: Url,
    key: String,
}

pub(super) async fn run(
    around: &Surroundings,
    arguments: &StatusArguments,
) -> Result<ExitCode, Failure> {
    let question = Question {
        client: client()?,
        url: url(around, arguments)?,
        key: key(around, arguments)?,
    };
    if !arguments.watch {
        print(&picture(around, &question).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::start();
    if around.screen.is_terminal {
        print(CLEAR)?;
    }
    loop {
        let next = clock.now() + EVERY;
        // A server that restarts is what one watches for.
        let picture = match picture(around, &question).await {
            Ok(picture) => picture,
            Err(failure @ Failure::Usage(_)) => return Err(failure),
            Err(failure) => failure.to_string(),
        };
        let start = if around.screen.is_terminal {
            REDRAW
        } else {
            ""
        };
        print(&format!("{start}{picture}"))?;
        tokio::select! {
            () = clock.sleep_until(next) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn picture(around: &Surroundings, question: &Question) -> Result<String, Failure> {
    let (status, why) = tokio::try_join!(
        question.ask::<Status>("status"),
        question.ask::<Why>("status/why")
    )?;
    Ok(view::draw(around.screen, &status, &why))
}

impl Question {
    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let url = self
            .url
            .join(path)
            .map_err(|error| Failure::Usage(format!("{}: {error}", self.url)))?;
        let asked = self
            .client
            .get(url.clone())
            .bearer_auth(&self.key)
            .send()
            .await;
        let reply = asked.map_err(|error| unreachable_server(&url, &error))?;
        match reply.status() {
            StatusCode::OK => reply
                .json()
                .await
                .map_err(|error| Failure::Run(format!("{url}: not a reply of Mainstay: {error}"))),
            StatusCode::UNAUTHORIZED => Err(Failure::Usage(format!(
                "the server doesn't know this key ({KEY_VARIABLE} or --key-file); `mainstay key list` shows all"
            ))),
            StatusCode::FORBIDDEN => Err(Failure::Usage(
                "the key lacks the scope status; make one with `mainstay key new --scopes status`"
                    .to_owned(),
            )),
            other => Err(Failure::Run(format!("{url}: {other}"))),
        }
    }
}

fn unreachable_server(url: &Url, error: &reqwest::Error) -> Failure {
    let why = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "nothing answers there; is the server running? --url names another address"
    } else {
        "the request failed"
    };
    Failure::Run(format!("{}: {why}", url.origin().ascii_serialization()))
}

fn client() -> Result<Client, Failure> {
    let client = Client::builder().timeout(PATIENCE).build();
    client.map_err(|error| Failure::Run(format!("no HTTP client: {error}")))
}

fn url(around: &Surroundings, arguments: &StatusArguments) -> Result<Url, Failure> {
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

fn key(around: &Surroundings, arguments: &StatusArguments) -> Result<String, Failure> {
    if let Some(path) = &arguments.key_file {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))?;
        return Ok(text.trim().to_owned());
    }
    let found = around
        .variable(KEY_VARIABLE)
        .map(|key| key.trim().to_owned());
    found.ok_or_else(|| Failure::Usage(format!("no key: set {KEY_VARIABLE} or name a file with --key-file (`mainstay key new --scopes status` makes one)")))
}
