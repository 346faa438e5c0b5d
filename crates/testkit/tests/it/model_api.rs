use std::net::TcpStream;
use std::time::Duration;

use mainstay_testkit::{ModelApi, ModelApiMode as Mode, StreamFault, Streams, eventually};
use reqwest::Response;
use serde_json::{Value, json};

use crate::{LONG, http};

const SHORT: Duration = Duration::from_millis(150);

async fn post(server: &ModelApi, path: &str, body: &Value) -> Response {
    let request = http()
        .post(format!("{}{path}", server.base_url()))
        .bearer_auth(server.api_key());
    request.json(body).send().await.unwrap()
}

fn chat(text: &str) -> Value {
    json!({ "model": ModelApi::CHAT_MODEL, "messages": [{ "role": "user", "content": text }] })
}

/// Asserts an error's status and every field of its body but the message.
async fn check_error(answer: Response, status: u16, kind: &str, param: Value, code: Value) {
    assert_eq!(answer.status(), status);
    let body: Value = answer.json().await.unwrap();
    let error = body["error"].as_object().unwrap();
    assert_eq!(
        error.keys().collect::<Vec<_>>(),
        ["code", "message", "param", "type"]
    );
    assert!(!error["message"].as_str().unwrap().is_empty());
    assert_eq!(
        (&error["type"], &error["param"], &error["code"]),
        (&json!(kind), &param, &code)
    );
}

#[tokio::test]
async fn a_chat_echoes_the_last_user_message() {
    let server = ModelApi::start().await;
    let answer = post(&server, "/chat/completions", &chat("good day")).await;
    assert!(answer.headers().contains_key("x-request-id"));
    let body: Value = answer.json().await.unwrap();
    let choice = &body["choices"][0];
    assert_eq!(
        choice["message"],
        json!({ "role": "assistant", "content": "echo: good day", "refusal": null })
    );
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(
        body["usage"],
        json!({ "prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5 })
    );
}

#[tokio::test]
async fn a_stream_brings_the_same_reply_its_usage_and_done() {
    let server = ModelApi::start().await;
    let mut request = chat("good day");
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let answer = post(&server, "/chat/completions", &request).await;
    assert_eq!(
        answer.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let text = answer.text().await.unwrap();
    let events: Vec<&str> = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    let content: String = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(content, "echo: good day");
    let last = chunks.last().unwrap();
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(5))
    );
}

#[tokio::test]
async fn structured_output_fits_its_schema() {
    let server = ModelApi::start().await;
    let schema = json!({
        "type": "object",
        "properties": {
            "letter": { "enum": ["A", "B"] },
            "total": { "type": "number", "minimum": 10 },
            "lines": { "type": "array", "minItems": 2, "items": { "$ref": "#/$defs/line" } },
            "note": { "type": ["string", "null"], "maxLength": 2 },
        },
        "$defs": { "line": { "type": "object", "properties": { "units": { "type": "integer" } } } },
    });
    let mut request = chat("an invoice");
    request["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "invoice", "strict": true, "schema": schema } });
    let body: Value = post(&server, "/chat/completions", &request)
        .await
        .json()
        .await
        .unwrap();
    let content = body["choices"][0]["message"]["content"].as_str().unwrap();
    let made: Value = serde_json::from_str(content).unwrap();
    let line = json!({ "units": 1 });
    assert_eq!(
        made,
        json!({ "letter": "A", "total": 10.0, "lines": [line, line], "note": "te" })
    );
}

#[tokio::test]
async fn embeddings_are_unit_vectors_equal_for_equal_texts() {
    let server = ModelApi::start().await;
    let request = json!({ "model": ModelApi::EMBEDDING_MODEL, "input": ["one", "two", "one"], "dimensions": 8 });
    let body: Value = post(&server, "/embeddings", &request)
        .await
        .json()
        .await
        .unwrap();
    let vectors: Vec<Vec<f64>> = (0..3)
        .map(|index| serde_json::from_value(body["data"][index]["embedding"].clone()).unwrap())
        .collect();
    assert_eq!(vectors[0], vectors[2]);
    assert_ne!(vectors[0], vectors[1]);
    let length: f64 = vectors[0].iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");

    let encoded = json!({
        "model": ModelApi::EMBEDDING_MODEL, "input": "one", "dimensions": 8, "encoding_format": "base64",
    });
    let body: Value = post(&server, "/embeddings", &encoded)
        .await
        .json()
        .await
        .unwrap();
    // Eight floats are 32 bytes, which are 44 characters.
    assert_eq!(body["data"][0]["embedding"].as_str().unwrap().len(), 44);
}

#[tokio::test]
async fn moderations_flag_and_models_are_listed() {
    let server = ModelApi::start().await;
    let request = json!({ "input": ["a nice day", "senseless violence"] });
    let body: Value = post(&server, "/moderations", &request)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(body["results"][0]["flagged"], false);
    assert_eq!(body["results"][1]["flagged"], true);
    assert_eq!(body["results"][1]["categories"]["violence"], true);

    let request = http()
        .get(format!("{}/models", server.base_url()))
        .bearer_auth(server.api_key());
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["data"][0]["id"], ModelApi::CHAT_MODEL);
    let requests = server.requests().await;
    assert_eq!(
        (requests["/v1/moderations"], requests["/v1/models"]),
        (1, 1)
    );
}

#[tokio::test]
async fn bad_requests_get_errors_in_the_apis_shape() {
    let server = ModelApi::start().await;
    let kind = "invalid_request_error";
    let bare = http().post(format!("{}/chat/completions", server.base_url()));
    let wrong = bare
        .try_clone()
        .unwrap()
        .bearer_auth("sk-wrong")
        .json(&chat("hi"))
        .send()
        .await
        .unwrap();
    check_error(wrong, 401, kind, Value::Null, json!("invalid_api_key")).await;
    let missing = bare
        .try_clone()
        .unwrap()
        .json(&chat("hi"))
        .send()
        .await
        .unwrap();
    check_error(missing, 401, kind, Value::Null, Value::Null).await;
    let garbled = bare
        .bearer_auth(server.api_key())
        .body("{")
        .send()
        .await
        .unwrap();
    check_error(garbled, 400, kind, Value::Null, Value::Null).await;

    let mut unknown = chat("hi");
    unknown["model"] = json!("other");
    let answer = post(&server, "/chat/completions", &unknown).await;
    check_error(answer, 404, kind, Value::Null, json!("model_not_found")).await;
    let empty = json!({ "model": ModelApi::CHAT_MODEL });
    let answer = post(&server, "/chat/completions", &empty).await;
    check_error(
        answer,
        400,
        kind,
        json!("messages"),
        json!("missing_required_parameter"),
    )
    .await;
    let mut hot = chat("hi");
    hot["temperature"] = json!(3);
    let answer = post(&server, "/chat/completions", &hot).await;
    check_error(
        answer,
        400,
        kind,
        json!("temperature"),
        json!("invalid_value"),
    )
    .await;
    let answer = post(&server, "/nothing", &chat("hi")).await;
    check_error(answer, 404, kind, Value::Null, json!("unknown_url")).await;
}

#[tokio::test]
async fn failing_modes_have_their_status_and_end_when_switched_back() {
    let server = ModelApi::start().await;
    let ask = async |mode: Mode| {
        server.set(mode).await;
        post(&server, "/chat/completions", &chat("hi")).await
    };
    let limited = ask(Mode::RateLimited { retry_after: 7 }).await;
    assert_eq!(limited.headers()["retry-after"], "7");
    check_error(
        limited,
        429,
        "requests",
        Value::Null,
        json!("rate_limit_exceeded"),
    )
    .await;
    check_error(
        ask(Mode::Overloaded529).await,
        529,
        "overloaded_error",
        Value::Null,
        Value::Null,
    )
    .await;
    check_error(
        ask(Mode::Internal500).await,
        500,
        "server_error",
        Value::Null,
        Value::Null,
    )
    .await;
    let kind = "invalid_request_error";
    check_error(
        ask(Mode::Unauthorized).await,
        401,
        kind,
        Value::Null,
        json!("invalid_api_key"),
    )
    .await;
    let fixed: Value = ask(Mode::FixedReply {
        content: "42".into(),
    })
    .await
    .json()
    .await
    .unwrap();
    assert_eq!(fixed["choices"][0]["message"]["content"], "42");
    assert_eq!(ask(Mode::Ok).await.status(), 200);
    assert_eq!(server.requests_in_all().await, 6);
}

#[tokio::test]
async fn hanging_slow_cut_stalled_and_garbled_answers_are_what_they_say() {
    let server = ModelApi::start().await;
    let body = chat("hi");
    let ask = || post(&server, "/chat/completions", &body);
    server.set(Mode::Hang).await;
    tokio::time::timeout(SHORT, ask()).await.unwrap_err();
    server.set(Mode::Slow { ms: 300 }).await;
    let slow = ask();
    tokio::pin!(slow);
    tokio::time::timeout(SHORT, &mut slow).await.unwrap_err();
    assert_eq!(slow.await.status(), 200);
    server.set(Mode::CutMidway).await;
    ask().await.text().await.unwrap_err();
    server.set(Mode::StallMidway).await;
    let mut stalled = ask().await;
    assert!(stalled.chunk().await.unwrap().is_some());
    tokio::time::timeout(SHORT, stalled.chunk())
        .await
        .unwrap_err();
    server.set(Mode::BadJson).await;
    let text = ask().await.text().await.unwrap();
    serde_json::from_str::<Value>(&text).unwrap_err();
}

#[tokio::test]
async fn a_cut_stream_breaks_after_its_first_content() {
    let server = ModelApi::start().await;
    server.set(Mode::CutMidway).await;
    let mut request = chat("one two three");
    request["stream"] = json!(true);
    let mut answer = post(&server, "/chat/completions", &request).await;
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains(r#""content":"echo: ""#));
    eventually(LONG, "the stream to break", async || {
        answer.chunk().await.is_err()
    })
    .await;
}

#[tokio::test]
async fn faults_of_streams_are_what_they_say() {
    let server = ModelApi::start().await;
    let mut request = chat("one two three");
    request["stream"] = json!(true);
    let error = StreamFault::Error {
        kind: "server_error".into(),
    };
    let table = [
        (StreamFault::BadJson, "{\"choices\": [\n\ndata: {", "[DONE]"),
        (error, "\"type\":\"server_error\"", "[DONE]"),
        (StreamFault::End, "\"one \"", "\"finish_reason\":null"),
        (StreamFault::DoneEarly, "\"one \"", "[DONE]"),
        (
            StreamFault::NoDone,
            "\"three\"",
            "\"finish_reason\":\"stop\"",
        ),
    ];
    for (then, has, last) in table {
        server
            .set(Mode::Stream {
                tokens: 2,
                then: then.clone(),
            })
            .await;
        let text = post(&server, "/chat/completions", &request).await;
        let text = text.text().await.unwrap();
        assert!(
            text.contains("\"echo: \"") && text.contains(has),
            "{then:?}: {text}"
        );
        let events = text.trim_end().rsplit("\n\n").next().unwrap();
        assert!(events.contains(last), "{then:?}: {text}");
    }
    server
        .set(Mode::Stream {
            tokens: 0,
            then: StreamFault::Whole,
        })
        .await;
    let whole: Value = post(&server, "/chat/completions", &request)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        whole["choices"][0]["message"]["content"],
        "echo: one two three"
    );
    assert_eq!(
        server.streams().await,
        Streams {
            finished: 5,
            ..Streams::default()
        }
    );
}

#[tokio::test]
async fn streams_without_end_go_on_until_their_client_leaves() {
    let server = ModelApi::start().await;
    let mut request = chat("hi");
    request["stream"] = json!(true);
    for (at, then) in (0..).zip([
        StreamFault::Stall,
        StreamFault::KeepAlive { ms: 10 },
        StreamFault::Endless { ms: 10 },
        StreamFault::Flood,
    ]) {
        server
            .set(Mode::Stream {
                tokens: 1,
                then: then.clone(),
            })
            .await;
        let mut answer = post(&server, "/chat/completions", &request).await;
        assert!(answer.chunk().await.unwrap().is_some());
        let streams = server.streams().await;
        assert_eq!((streams.open, streams.abandoned), (1, at), "{then:?}");
        drop(answer);
        eventually(LONG, "the stream to be given up", async || {
            let streams = server.streams().await;
            (streams.open, streams.abandoned) == (0, at + 1)
        })
        .await;
    }
}

#[tokio::test]
async fn it_is_killed_restarted_stopped_and_continued() {
    let server = ModelApi::start().await;
    server.set(Mode::Internal500).await;
    server.kill().await;
    TcpStream::connect(("127.0.0.1", server.port())).unwrap_err();
    server.restart().await;
    assert_eq!(
        post(&server, "/chat/completions", &chat("hi"))
            .await
            .status(),
        200
    );
    server.stop().await;
    let body = chat("hi");
    let held = post(&server, "/chat/completions", &body);
    tokio::pin!(held);
    tokio::time::timeout(SHORT, &mut held).await.unwrap_err();
    server.cont();
    assert_eq!(
        tokio::time::timeout(LONG, held).await.unwrap().status(),
        200
    );
}
