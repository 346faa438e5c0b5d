//! Asks the providers in order until one answers, and says what it means when none does.

use std::future::Future;
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Outcome};
use mainstay_runtime::{Call, CallError, Context, Error, ErrorKind};

use crate::classify::classify;
use crate::fault::Fault;
use crate::provider::Provider;
use crate::request::Operation;

/// An answer and who gave it.
#[derive(Debug)]
pub(crate) struct Given<'a, T> {
    pub(crate) value: T,
    pub(crate) provider: &'a Provider,
    /// Whether it is the first that was to be asked.
    pub(crate) preferred: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Ended {
    /// A correct "no", or a request that can't be asked: nobody else would answer better.
    No(Error),
    /// An answer that can't be used.
    Unusable(Error),
    /// No provider could answer.
    Missed(Vec<Miss>),
}

/// One provider that could not answer.
#[derive(Debug)]
pub(crate) struct Miss {
    pub(crate) provider: String,
    pub(crate) why: CallError<Fault>,
}

/// What can be asked of any provider.
pub(crate) trait Ask: Sync {
    /// What an answer is.
    type Answer;
    /// What is asked for.
    fn operation(&self) -> Operation;
    /// Only providers with this model may answer.
    fn model(&self) -> Option<&str>;
    /// Asks one provider.
    fn ask(
        &self,
        provider: &Provider,
        turn: Turn,
    ) -> impl Future<Output = Result<Self::Answer, CallError<Fault>>> + Send;
}

/// How one provider is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Until then at the latest.
    pub(crate) until: Moment,
    /// Nobody else is left to be asked: a second try here is better than none.
    pub(crate) last: bool,
    /// Everybody's breaker is open, and this is the least bad of them.
    pub(crate) trial: bool,
}

impl Turn {
    /// The call to be made in it.
    pub(crate) fn call(self, operation: Operation, ctx: &Context) -> Call {
        let call = Call::new(operation.name(), ctx).no_later_than(self.until);
        if self.trial { call.trial() } else { call }
    }
}

/// Who may be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Among<'a> {
    pub(crate) providers: &'a [Provider],
    /// All but the first of them.
    pub(crate) spares_first: bool,
}

impl<'a> From<&'a [Provider]> for Among<'a> {
    fn from(providers: &'a [Provider]) -> Self {
        Self {
            providers,
            spares_first: false,
        }
    }
}

/// Asks every provider that may answer, in order, within the deadline. When all of them are open, the least bad is
/// tried if a trial is due: refusing everybody would make an outage of what may be over.
pub(crate) async fn ask<'a, Q: Ask>(
    among: Among<'a>,
    question: &Q,
    deadline: Moment,
) -> Result<Given<'a, Q::Answer>, Ended> {
    let operation = question.operation();
    let candidates = candidates(among, operation, question.model()).map_err(Ended::No)?;
    let trial = least_bad(&candidates);
    let mut missed = Vec::new();
    for (at, provider) in candidates.iter().copied().enumerate() {
        let now = provider.guard.now();
        if at > 0 && now >= deadline {
            break;
        }
        let others = candidates[at + 1..]
            .iter()
            .any(|other| !other.guard.is_open());
        let until = if others {
            halfway(now, deadline)
        } else {
            deadline
        };
        let turn = Turn {
            until,
            last: !others,
            trial: trial == Some(at),
        };
        match question.ask(provider, turn).await {
            Ok(value) => {
                return Ok(Given {
                    value,
                    provider,
                    preferred: at == 0 && !among.spares_first,
                });
            }
            Err(why) => match correct_no(provider, operation, &why) {
                Some(error) => return Err(Ended::No(error)),
                None => missed.push(Miss::note(provider, why)),
            },
        }
    }
    Err(Ended::Missed(missed))
}

/// Where to try while every breaker is open: of those whose trial is due, the one whose open time ends soonest, then
/// the one that has re-opened least often, then the first.
fn least_bad(candidates: &[&Provider]) -> Option<usize> {
    if !candidates.iter().all(|provider| provider.guard.is_open()) {
        return None;
    }
    let due = |at: &usize| {
        let guard = &candidates[*at].guard;
        guard.trial_at().is_some_and(|trial| trial <= guard.now())
    };
    let badness = |at: &usize| {
        let breaker = candidates[*at].guard.snapshot();
        (breaker.retry_at, breaker.reopenings)
    };
    (0..candidates.len()).filter(due).min_by_key(badness)
}

/// Who may answer: those with a model for it, and with the one that was asked for. Nobody, where that is the first one
/// alone, and it is spared.
fn candidates<'a>(
    among: Among<'a>,
    operation: Operation,
    model: Option<&str>,
) -> Result<Vec<&'a Provider>, Error> {
    let Among {
        providers,
        spares_first,
    } = among;
    let able = || providers.iter().filter(|p| p.model(operation).is_some());
    if able().next().is_none() {
        let key = operation.model_key();
        let detail = format!(
            "no provider is configured for this: set `{key}` of one in [[openai.providers]]"
        );
        return Err(Error::new(ErrorKind::NotConfigured, detail).dependency("openai"));
    }
    let asked_for = |p: &&Provider| model.is_none_or(|model| p.model(operation) == Some(model));
    let mut found: Vec<_> = able().filter(asked_for).collect();
    if found.is_empty() {
        return Err(Error::invalid(
            "model",
            "no provider is configured with this model; leave it out to use any",
        ));
    }
    if spares_first {
        found.retain(|found| {
            !providers
                .first()
                .is_some_and(|first| std::ptr::eq(*found, first))
        });
    }
    Ok(found)
}

fn halfway(now: Moment, deadline: Moment) -> Moment {
    now + deadline.saturating_since(now) / 2
}

/// The error for a refusal that the caller's own request has caused.
fn correct_no(provider: &Provider, operation: Operation, why: &CallError<Fault>) -> Option<Error> {
    let CallError::Failed(fault) = why else {
        return None;
    };
    let refusal = fault.refusal()?;
    let status = refusal.status.as_u16();
    // A missing model or route is this provider's, not the request's: another may have it.
    if classify(fault).outcome != Outcome::Success || matches!(status, 404 | 405) {
        return None;
    }
    let detail = format!(
        "the provider `{}` refused the request: {fault}",
        provider.name()
    );
    let kind = match status {
        413 => ErrorKind::TooLarge,
        _ if operation == Operation::Structured => ErrorKind::BadAnswer,
        _ => ErrorKind::InvalidInput,
    };
    let error = Error::new(kind, detail)
        .dependency("openai")
        .retryable(false);
    Some(match &refusal.param {
        Some(param) => error.field(param.clone()),
        None => error,
    })
}

impl Miss {
    fn note(provider: &Provider, why: CallError<Fault>) -> Self {
        let miss = Self {
            provider: provider.name().to_owned(),
            why,
        };
        tracing::debug!(dependency = "openai", provider = %miss.provider, why = %miss.words(), "no answer");
        miss
    }

    fn words(&self) -> String {
        match &self.why {
            CallError::Rejected(_) => "its circuit breaker is open".into(),
            CallError::Busy { .. } => "too many calls to it are in flight".into(),
            CallError::Deadline { .. } => "it did not answer in time".into(),
            CallError::Failed(fault) => fault.to_string(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match &self.why {
            CallError::Rejected(rejection) => rejection.retry_after,
            CallError::Busy { retry_after } => Some(*retry_after),
            CallError::Deadline { .. } => None,
            CallError::Failed(fault) => match classify(fault).outcome {
                Outcome::Overload { retry_after } => retry_after,
                _ => None,
            },
        }
    }

    fn failure(&self) -> Option<FailureKind> {
        match &self.why {
            CallError::Rejected(_) | CallError::Busy { .. } => None,
            CallError::Deadline { .. } => Some(FailureKind::Timeout),
            CallError::Failed(fault) => classify(fault).failure_kind(),
        }
    }
}

/// What kind of failure was seen last, if any provider was asked at all.
pub(crate) fn last_failure(missed: &[Miss]) -> Option<FailureKind> {
    missed.iter().rev().find_map(Miss::failure)
}

/// Whether no provider was even asked.
pub(crate) fn all_refused(missed: &[Miss]) -> bool {
    missed.iter().all(|miss| miss.why.was_refused())
}

/// The error of an operation that no provider could answer.
pub(crate) fn error(missed: &[Miss]) -> Error {
    if missed.is_empty() {
        let detail =
            "the first model provider is spared for now, and no other is configured for this";
        return Error::new(ErrorKind::Unavailable, detail).dependency("openai");
    }
    let reasons: Vec<String> = missed
        .iter()
        .map(|miss| format!("{}: {}", miss.provider, miss.words()))
        .collect();
    let detail = format!("no model provider could answer ({})", reasons.join("; "));
    let earliest = missed.iter().filter_map(Miss::retry_after).min();
    Error::new(kind(missed), detail)
        .dependency("openai")
        .retry_after(earliest)
}

fn kind(missed: &[Miss]) -> ErrorKind {
    let all = |is: fn(&CallError<Fault>) -> bool| missed.iter().all(|miss| is(&miss.why));
    if all(|why| matches!(why, CallError::Busy { .. })) {
        return ErrorKind::Busy;
    }
    let timed_out = |miss: &Miss| miss.failure() == Some(FailureKind::Timeout);
    match missed.last().is_some_and(timed_out) {
        true => ErrorKind::Timeout,
        false => ErrorKind::Unavailable,
    }
}
