//! Requests that nobody meant: each is understood, or refused with a reason. The fuzz target `requests` does the same
//! with bytes that it chooses better.

use mainstay_openai::{ChatRequest, EmbedRequest, ModerateRequest};
use mainstay_redis::{Command, OPERATIONS};
use mainstay_runtime::Error;
use mainstay_s3::Key;
use mainstay_server::extract;
use proptest::prelude::*;
use serde_json::{Map, Value};

const SEEDS: [&[u8]; 2] = [
    include_bytes!("../../../../fuzz/seeds/requests/chat"),
    include_bytes!("../../../../fuzz/seeds/requests/set"),
];

fn reasoned<T>(read: Result<T, Error>) -> Result<(), TestCaseError> {
    match read {
        Ok(_) => Ok(()),
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            Ok(())
        }
    }
}

fn take(bytes: &[u8]) -> Result<(), TestCaseError> {
    reasoned(Key::parse("key", &String::from_utf8_lossy(bytes)))?;
    match extract::parse::<Value>(bytes) {
        Ok(value) => understand(&value),
        Err(problem) => {
            prop_assert!(problem.status.is_client_error());
            Ok(())
        }
    }
}

fn understand(value: &Value) -> Result<(), TestCaseError> {
    for operation in OPERATIONS {
        reasoned(Command::parse(operation, value))?;
    }
    reasoned(ChatRequest::parse(value.clone()))?;
    reasoned(EmbedRequest::parse(value.clone()))?;
    reasoned(ModerateRequest::parse(value.clone()))
}

/// Values under the names that requests have.
fn any_request() -> impl Strategy<Value = Value> {
    let names = "key|value|ttl|field|member|score|members|messages|role|content|stream|input|model|base64|x";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "user|system|[a-zñ\\PC]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let fields = prop::collection::vec((names, inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::from),
            fields.prop_map(|all| Value::from(all.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_understood_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        take(&bytes)?;
    }

    #[test]
    fn a_damaged_request_is_understood_or_refused(
        seed in 0..SEEDS.len(),
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = SEEDS[seed].to_vec();
        let at = at.index(bytes.len());
        bytes.splice(at..=at, with);
        take(&bytes)?;
    }

    #[test]
    fn any_value_is_understood_or_refused(value in any_request()) {
        understand(&value)?;
    }
}
