//! Answers that must fit a JSON schema: asked for, checked, and corrected once.

use jsonschema::Validator;
use mainstay_breaker::Moment;
use mainstay_runtime::{Context, Error, ErrorKind};
use serde_json::{Map, Value, json};

use crate::failover::{self, Ended, Given};
use crate::provider::{Format, Provider, Question};
use crate::reply::ChatReply;
use crate::request::{Operation, StructuredRequest, message};
use crate::schema;

impl StructuredRequest {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let name = &self.schema_name;
        match (1..=64).contains(&name.len()) && name.bytes().all(fits) {
            true => Ok(()),
            false => Err(Error::invalid(
                "schema_name",
                "must be 1 to 64 characters of a-z, A-Z, 0-9, _ and -",
            )),
        }
    }

    /// What identifies it among earlier requests.
    pub(crate) fn identity(&self) -> Value {
        json!({ "system": self.system, "user": self.user, "name": self.schema_name, "schema": self.schema })
    }

    fn body(&self, format: Format, later: &[Value]) -> Map<String, Value> {
        let mut messages = vec![
            message("system", &self.instructions(format)),
            message("user", &self.user),
        ];
        messages.extend_from_slice(later);
        let mut body = Map::new();
        body.insert("messages".into(), Value::Array(messages));
        let format = match format {
            Format::Schema => json!({ "type": "json_schema",
                "json_schema": { "name": self.schema_name, "schema": self.schema } }),
            Format::Object => json!({ "type": "json_object" }),
            Format::Prompt => return body,
        };
        body.insert("response_format".into(), format);
        body
    }

    fn instructions(&self, format: Format) -> String {
        match format {
            Format::Schema => self.system.clone(),
            Format::Object | Format::Prompt => format!(
                "{}\n\nAnswer with one JSON value that fits this JSON schema, and with nothing else:\n{}",
                self.system, self.schema
            ),
        }
    }
}

/// Asks for a value that fits. A model whose answer doesn't is shown once what is wrong; after that the providers behind
/// its own are asked, and when nobody's answer fits, there is none.
pub(crate) async fn ask<'a>(
    providers: &'a [Provider],
    ctx: &Context,
    request: &StructuredRequest,
    validator: &Validator,
    deadline: Moment,
) -> Result<Given<'a, Value>, Ended> {
    let mut left = providers;
    loop {
        let asked = ask_twice(left, ctx, request, validator, deadline).await;
        let misfit = match asked {
            Ok(Answered::Fits(given)) => {
                let first = providers.first().map(Provider::name);
                return Ok(Given {
                    preferred: first == Some(given.provider.name()),
                    ..given
                });
            }
            Ok(Answered::Misfit(by)) => by,
            // Somebody has answered, and nobody usably.
            Err(Ended::Missed(_)) if left.len() < providers.len() => {
                return Err(Ended::Unusable(unusable()));
            }
            Err(ended) => return Err(ended),
        };
        let at = left.iter().position(|one| one.name() == misfit.name());
        left = at.map_or(&[], |at| &left[at + 1..]);
        if left.is_empty() {
            return Err(Ended::Unusable(unusable()));
        }
    }
}

enum Answered<'a> {
    Fits(Given<'a, Value>),
    /// Also after the correction.
    Misfit(&'a Provider),
}

/// The question and one correction.
async fn ask_twice<'a>(
    providers: &'a [Provider],
    ctx: &Context,
    request: &StructuredRequest,
    validator: &Validator,
    deadline: Moment,
) -> Result<Answered<'a>, Ended> {
    let mut later = Vec::new();
    loop {
        let question = Question {
            ctx,
            operation: Operation::Structured,
            model: None,
            body: &|format| request.body(format, &later),
            read: &ChatReply::read,
        };
        let given = failover::ask(providers.into(), &question, deadline).await?;
        let text = given.value.text().unwrap_or_default();
        match schema::read(validator, text) {
            Ok(value) => {
                return Ok(Answered::Fits(Given {
                    value,
                    provider: given.provider,
                    preferred: given.preferred,
                }));
            }
            Err(_) if !later.is_empty() => return Ok(Answered::Misfit(given.provider)),
            Err(faults) => later = correction(text, &faults),
        }
    }
}

fn correction(text: &str, faults: &str) -> Vec<Value> {
    let demand = format!(
        "Your answer does not fit the schema.\n{faults}\nAnswer again with the corrected JSON value, and with nothing else."
    );
    vec![message("assistant", text), message("user", &demand)]
}

fn unusable() -> Error {
    Error::new(
        ErrorKind::BadAnswer,
        "no model's answer fits the schema, also after a correction",
    )
    .dependency("openai")
}
