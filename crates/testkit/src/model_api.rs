//! A private model API: `mainstay-test-model-api`, a program of this package.

use std::collections::BTreeMap;
use std::process::Command;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::server::Server;
use crate::{binaries, control};

const CONTROL: &str = "/control";

/// How a [`ModelApi`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelApiMode {
    /// As it should: a chat answers `echo: <last user message>`.
    #[default]
    Ok,
    /// 429 with `Retry-After`.
    RateLimited {
        /// Seconds.
        retry_after: u64,
    },
    /// 529, the status of a provider without capacity.
    #[serde(rename = "overloaded_529")]
    Overloaded529,
    /// 500.
    #[serde(rename = "internal_500")]
    Internal500,
    /// 401, whatever the key.
    Unauthorized,
    /// Answers this much later.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Reads the request and never answers.
    Hang,
    /// Closes the connection in the middle of the answer's body.
    CutMidway,
    /// Sends the first half of the answer's body, then nothing more, and keeps the connection open.
    StallMidway,
    /// 200 with a body that isn't whole JSON.
    BadJson,
    /// As `Ok`, but every chat answers this.
    FixedReply {
        /// The content of the reply.
        content: String,
    },
    /// As `Ok`, but a streamed chat goes wrong.
    Stream {
        /// How many tokens come before; 0: none, only the role.
        tokens: usize,
        /// What comes instead of the rest.
        then: StreamFault,
    },
}

/// What a streamed chat of a [`ModelApi`] does instead of going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum StreamFault {
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and the connection stays open.
    Stall,
    /// An event that isn't JSON, then the rest as if nothing had been.
    BadJson,
    /// An event with an error object, then a clean end with `[DONE]`.
    Error {
        /// The error's `type`, for instance `server_error`.
        kind: String,
    },
    /// A clean end, with neither a finish reason nor `[DONE]`.
    End,
    /// `[DONE]` and a clean end, without a finish reason.
    DoneEarly,
    /// The rest as it should be, but without `[DONE]`.
    NoDone,
    /// No stream at all: the whole answer as one JSON body, as if none had been asked for.
    Whole,
    /// Comments that keep the connection alive, one every so often, for ever.
    KeepAlive {
        /// Milliseconds between two.
        ms: u64,
    },
    /// One more token every so often, for ever.
    Endless {
        /// Milliseconds between two.
        ms: u64,
    },
    /// Tokens without a pause, for ever.
    Flood,
}

/// The streamed chats that a [`ModelApi`] has begun to answer since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Not ended yet.
    pub open: u64,
    /// Sent as far as they were to go.
    pub finished: u64,
    /// Given up, because the client's connection was gone.
    pub abandoned: u64,
}

/// A server of this test's own that speaks the OpenAI API: chat, embeddings, moderations and models.
pub struct ModelApi {
    server: Server,
}

impl ModelApi {
    /// The model that chats.
    pub const CHAT_MODEL: &str = "test-chat";
    /// The model that embeds.
    pub const EMBEDDING_MODEL: &str = "test-embedding";
    /// The model that moderates.
    pub const MODERATION_MODEL: &str = "test-moderation";

    const KEY: &str = "sk-test-0123456789";

    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When it can't be built or doesn't start.
    pub async fn start() -> Self {
        let binary = binaries::own("mainstay-test-model-api");
        let recipe = Box::new(move |port: u16| {
            let mut command = Command::new(&binary);
            command.arg(port.to_string()).arg(Self::KEY);
            command
        });
        Self {
            server: Server::start("listening", recipe).await,
        }
    }

    /// `http://127.0.0.1:<port>/v1`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port())
    }

    /// Its port, the same over restarts.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The one key that it knows.
    pub fn api_key(&self) -> &'static str {
        Self::KEY
    }

    /// Switches how it answers; back to [`ModelApiMode::Ok`] after a restart.
    pub async fn set(&self, mode: ModelApiMode) {
        let mode = serde_json::to_value(mode).expect("a mode is plain data");
        control::set(self.port(), CONTROL, &mode).await;
    }

    /// How many requests it has received on each route since it was started, for instance
    /// `/v1/chat/completions`: 2.
    pub async fn requests(&self) -> BTreeMap<String, u64> {
        let requests = control::get(self.port(), CONTROL).await["requests"].take();
        serde_json::from_value(requests).expect("counts by route")
    }

    /// What has become of the streams it has begun to answer.
    pub async fn streams(&self) -> Streams {
        let streams = control::get(self.port(), CONTROL).await["streams"].take();
        serde_json::from_value(streams).expect("three counts")
    }

    /// How many requests it has received in all since it was started.
    pub async fn requests_in_all(&self) -> u64 {
        self.requests().await.values().sum()
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

    /// Starts it again on the same port, killing it first if it runs.
    pub async fn restart(&self) {
        self.server.restart().await;
    }

    /// Ends it gracefully (SIGTERM).
    pub async fn shutdown(&self) {
        self.server.shutdown(Signal::TERM).await;
    }
}
