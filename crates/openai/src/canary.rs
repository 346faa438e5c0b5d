//! Canaries: where the operator wants it, the providers that would take over are asked a question of our own now and then,
//! so that a key that has expired or a model that is gone shows before an outage does.
//!
//! Never a caller's question: nothing that callers wrote goes to a company that would not have got it anyway.

use std::sync::Arc;

use mainstay_runtime::breaker::State;
use mainstay_runtime::{CallError, CallerId, Context, Exercised};

use crate::failover::{Ask, Turn};
use crate::models::Inner;
use crate::provider::Question;
use crate::reply::ChatReply;
use crate::request::{ChatRequest, Operation, message};

/// Asked of every provider but the first. Short, since it is paid for.
const QUESTION: &str = "Answer with the word: yes";

/// Asks the provider at this place of the list.
pub(crate) async fn fly(inner: Arc<Inner>, at: usize) -> Option<Exercised> {
    let provider = inner.providers.get(at)?;
    if provider.guard.state() != State::Closed {
        return None;
    }
    let until = provider.guard.now() + provider.guard.call_deadline();
    let ctx = Context::new(CallerId::OURSELVES, until);
    let body = ChatRequest::new(vec![message("user", QUESTION)]).body();
    let question = Question {
        ctx: &ctx,
        operation: Operation::Chat,
        model: None,
        body: &|_| body.clone(),
        read: &ChatReply::read,
    };
    let turn = Turn {
        until,
        last: false,
        trial: false,
    };
    match question.ask(provider, turn).await {
        Ok(reply) if reply.text().is_some_and(|text| !text.is_empty()) => Some(Exercised::Agreed),
        Ok(_) => Some(Exercised::Differed),
        Err(CallError::Rejected(_) | CallError::Busy { .. }) => None,
        Err(CallError::Failed(_) | CallError::Deadline { .. }) => Some(Exercised::Failed),
    }
}
