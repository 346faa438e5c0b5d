//! What `mainstay check` asks of the providers, with the remedy for what fails.

use serde_json::Value;

use crate::fault::Fault;
use crate::provider::Provider;
use crate::request::Operation;

/// What was found out about one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The endpoint, `openai/<name>`.
    pub endpoint: String,
    /// What works, or what doesn't.
    pub result: Result<String, Problem>,
}

/// What doesn't work, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was seen.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Asks the provider for its models and looks for the configured ones.
pub(crate) async fn check(provider: &Provider) -> Checked {
    let result = match provider.transport.get("models").await {
        Ok(listed) => found(provider, &listed),
        Err(fault) => judge(provider, &fault),
    };
    Checked {
        endpoint: provider.guard.name().to_owned(),
        result,
    }
}

fn found(provider: &Provider, listed: &[u8]) -> Result<String, Problem> {
    let listed: Value = serde_json::from_slice(listed).unwrap_or_default();
    let Some(models) = listed["data"].as_array() else {
        return Err(Problem {
            what: "it answered, but not with a list of models".into(),
            remedy: "check base_url: it must be where an OpenAI-compatible API begins, usually with /v1 at the end".into(),
        });
    };
    let knows = |model: &str| models.iter().any(|listed| listed["id"] == model);
    let operations = [Operation::Chat, Operation::Embed, Operation::Moderate];
    for operation in operations {
        let model = provider.model(operation).filter(|model| !knows(model));
        if let Some(model) = model {
            return Err(Problem {
                what: format!("it does not list the model `{model}`"),
                remedy: format!("set `{}` to one that it lists", operation.model_key()),
            });
        }
    }
    Ok(format!("reachable, lists {} models", models.len()))
}

fn judge(provider: &Provider, fault: &Fault) -> Result<String, Problem> {
    let status = fault.refusal().map(|refusal| refusal.status.as_u16());
    if matches!(status, Some(404 | 405)) {
        return Ok("reachable; it has no list of models to compare with".into());
    }
    Err(Problem {
        what: fault.to_string(),
        remedy: remedy(provider, fault, status),
    })
}

fn remedy(provider: &Provider, fault: &Fault, status: Option<u16>) -> String {
    let keyless = provider.settings.api_key.is_none();
    match (fault, status) {
        (Fault::Connect | Fault::Timeout, _) => {
            "check base_url, and that this machine may reach it (DNS, firewall)"
        }
        (Fault::Tls(_), _) => {
            "check base_url, and that the system's root certificates (package ca-certificates) include the provider's"
        }
        (_, Some(401 | 403)) if keyless => "set api_key or api_key_file: it asks for a key",
        (_, Some(401 | 403)) => "check api_key: it is wrong, expired or lacks permission",
        (Fault::Refused(refusal), _) if refusal.out_of_quota => {
            "no quota is left: check the plan and billing at the provider"
        }
        (_, Some(402)) => "check the plan and billing at the provider",
        (_, Some(429 | 503 | 529)) => "it asks for less at the moment: try again later",
        (_, Some(300..=399)) => "base_url redirects: set it to where it leads",
        (_, Some(500..)) => "the provider has trouble of its own: see its status page, try again later",
        _ => "check base_url: it must be where an OpenAI-compatible API begins, usually with /v1 at the end",
    }
    .into()
}
