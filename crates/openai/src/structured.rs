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

/// The first question and one correction.
const ROUNDS: u32 = 2;

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

/// Asks for a value that fits, shows the model once what doesn't, and gives up after that.
pub(crate) async fn ask<'a>(
    providers: &'a [Provider],
    ctx: &Context,
    request: &StructuredRequest,
    validator: &Validator,
    deadline: Moment,
) -> Result<Given<'a, Value>, Ended> {
    let mut later = Vec::new();
    for _ in 0..ROUNDS {
        let question = Question {
            ctx,
            operation: Operation::Structured,
            model: None,
            body: &|format| request.body(format, &later),
            read: &ChatReply::read,
        };
        let given = failover::ask(providers, &question, deadline).await?;
        let text = given.value.text().unwrap_or_default();
        let faults = match schema::read(validator, text) {
            Ok(value) => {
                return Ok(Given {
                    value,
                    provider: given.provider,
                    preferred: given.preferred,
                });
            }
            Err(faults) => faults,
        };
        later = correction(text, &faults);
    }
    Err(Ended::Unusable(unusable()))
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
        "the model's answer does not fit the schema, also after a correction",
    )
    .dependency("openai")
}
