//! The cheapest honest check of a provider: its list of models, with the key, over the connection that calls use.

use async_trait::async_trait;
use mainstay_breaker::Outcome;
use mainstay_runtime::{Probe, Verdict};

use crate::classify::classify;
use crate::fault::Fault;
use crate::transport::Transport;

pub(crate) struct ModelsProbe(pub(crate) Transport);

#[async_trait]
impl Probe for ModelsProbe {
    async fn check(&self) -> Result<(), Verdict> {
        match self.0.get("models").await {
            // A list too long to read is a list.
            Ok(_) | Err(Fault::TooLarge { .. }) => Ok(()),
            Err(fault) => failed(classify(&fault)),
        }
    }
}

/// Some compatible APIs have no list of models. Their 404 or 405 is a correct "no": they are alive.
fn failed(verdict: Verdict) -> Result<(), Verdict> {
    match verdict.outcome {
        Outcome::Success => Ok(()),
        _ => Err(verdict),
    }
}
