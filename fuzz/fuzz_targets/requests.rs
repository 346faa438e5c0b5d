//! Whatever a caller sends: it is understood, or refused by a problem with a reason, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_openai::{ChatRequest, EmbedRequest, ModerateRequest};
use mainstay_redis::{Command, OPERATIONS};
use mainstay_runtime::Error;
use mainstay_s3::Key;
use mainstay_server::extract;
use serde_json::Value;

fn reasoned<T>(read: Result<T, Error>) {
    if let Err(error) = read {
        assert!(!error.to_string().is_empty());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    reasoned(Key::parse("key", &text));
    let value = match extract::parse::<Value>(bytes) {
        Ok(value) => value,
        Err(problem) => {
            assert!(problem.status.is_client_error());
            return;
        }
    };
    for operation in OPERATIONS {
        reasoned(Command::parse(operation, &value));
    }
    reasoned(ChatRequest::parse(value.clone()));
    reasoned(EmbedRequest::parse(value.clone()));
    reasoned(ModerateRequest::parse(value));
});
