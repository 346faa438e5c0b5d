//! How a provider can fail to give a usable answer, without its words: they may repeat a key or a prompt.

use std::time::Duration;

use http::StatusCode;

/// One attempt without a usable answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection: refused, unknown host, unreachable.
    #[error("it could not be reached")]
    Connect,
    /// The TLS handshake failed.
    #[error("no secure connection could be made: {0}")]
    Tls(&'static str),
    /// The driver's own time limit passed.
    #[error("it did not answer in time")]
    Timeout,
    /// Something that isn't HTTP, or a connection that broke within an answer.
    #[error("the connection broke before the answer was whole")]
    Broken,
    /// An answer over our bound.
    #[error("its answer is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// A whole answer that isn't what the API promises.
    #[error("its answer is not what the API promises: {0}")]
    Malformed(&'static str),
    /// A stream that ended before the answer had.
    #[error("its answer ended before it was whole")]
    Unfinished,
    /// A status that isn't success.
    #[error("it answered {}{}", .0.status.as_u16(), .0.words())]
    Refused(Box<Refusal>),
    /// An error instead of the rest of a stream that had begun with success.
    #[error("it broke off with an error{}", .0.words())]
    BrokeOff(Box<Refusal>),
}

/// What a provider said of an error, as far as it is safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The status; of an error within a stream the one that it would have had before it.
    pub(crate) status: StatusCode,
    /// `error.code`, or else `error.type`, if it is one plain word.
    pub(crate) code: Option<String>,
    /// `error.param`, if it is a plain path.
    pub(crate) param: Option<String>,
    /// What its headers ask to wait.
    pub(crate) retry_after: Option<Duration>,
    /// No money or quota is left: waiting doesn't help.
    pub(crate) out_of_quota: bool,
    /// It doesn't take `response_format` as it was asked.
    pub(crate) response_format: bool,
}

impl Refusal {
    fn words(&self) -> String {
        let code = self.code.as_ref();
        code.map(|code| format!(" ({code})")).unwrap_or_default()
    }
}

impl Fault {
    /// What the provider said, when it said something.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::BrokeOff(refusal) => Some(refusal),
            _ => None,
        }
    }
}
