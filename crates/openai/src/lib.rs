//! OpenAI-compatible model providers behind circuit breakers, in order of preference.
//!
//! [`Models`] asks the first provider that can answer, falls back to its own earlier answer to the very same request
//! of the same caller, labelled with its age, and otherwise says that it can't. It never invents an answer.

mod cache;
mod canary;
mod check;
mod classify;
mod failover;
mod fault;
mod models;
mod probe;
mod provider;
mod refusal;
mod reply;
mod request;
mod schema;
mod settings;
mod stream;
mod structured;
mod transport;

pub use check::{Checked, Problem};
pub use models::Models;
pub use reply::{ChatReply, Choice, EmbedReply, Embedding, Judgement, ModerateReply, ReplyMessage};
pub use request::{ChatRequest, EmbedRequest, ModerateRequest, StructuredRequest, message};
pub use settings::{ProviderSettings, Settings};
pub use stream::ChatStream;
