//! Model providers killed, frozen and back.

use std::time::Duration;

use mainstay_testkit::{ModelApi, ModelApiMode, StreamFault, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::outage;
use super::server::{SOON, Server};

fn provider(api: &ModelApi) -> [(&'static str, String); 3] {
    [
        ("OPENAI_BASE_URL", api.base_url()),
        ("OPENAI_API_KEY", api.api_key().to_owned()),
        ("OPENAI_MODEL", ModelApi::CHAT_MODEL.to_owned()),
    ]
}

fn question() -> Value {
    json!({"messages": [{"role": "user", "content": "hola"}]})
}

/// A question that nobody has asked before.
fn other_question() -> Value {
    json!({"messages": [{"role": "user", "content": "otra"}]})
}

/// Without a provider: an answer from before to the very same question, rules, and nothing invented.
async fn assert_answers_without_provider(server: &Server, before: &Value) {
    let same = server.post("/ai/chat", question()).await;
    assert_eq!(
        (same.body["source"].as_str(), &same.body["data"]),
        (Some("cache"), before),
        "{same:?}"
    );
    let other = server.post("/ai/chat", other_question()).await;
    assert_eq!(
        (other.status.as_u16(), other.problem()),
        (503, "unavailable"),
        "never an invented answer"
    );
    assert!(other.took < Duration::from_secs(3), "{:?}", other.took);
    let price = server.post("/ai/pricing", json!({"cost": "700"})).await;
    assert_eq!(
        (
            price.body["source"].as_str(),
            price.body["pricing"]["net_price"].as_str()
        ),
        (Some("rules"), Some("1000.00")),
        "{price:?}"
    );
}

/// The provider is back by itself and answers what it couldn't.
async fn assert_provider_is_back(server: &Server) {
    outage::OPENAI.assert_back(server).await;
    let reply = server.post("/ai/chat", other_question()).await;
    assert_eq!(reply.body["source"], "provider:primary", "{reply:?}");
}

async fn serving(settings: &[(&'static str, String)]) -> Server {
    let settings: Vec<_> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let server = Server::start(&settings).await;
    server.level("OPTIMAL").await;
    server
}

#[tokio::test]
async fn the_second_provider_answers_for_a_dead_first_one() {
    let (first, second) = (ModelApi::start().await, ModelApi::start().await);
    let provider = |name: &str, api: &ModelApi| {
        format!(
            "[[openai.providers]]\nname = \"{name}\"\nbase_url = \"{}\"\nmodel = \"{}\"\napi_key = \"{}\"\n",
            api.base_url(),
            ModelApi::CHAT_MODEL,
            api.api_key(),
        )
    };
    let file = [provider("primary", &first), provider("second", &second)].concat();
    let server = Server::launch_with_file(&file, &[]);
    server.ready().await;
    server.level("OPTIMAL").await;
    let reply = server.post("/ai/chat", question()).await;
    assert_eq!(
        (
            reply.body["source"].as_str(),
            reply.body["fallback"].as_bool()
        ),
        (Some("provider:primary"), Some(false))
    );
    first.kill().await;
    let reply = server.post("/ai/chat", question()).await;
    assert_eq!(
        (
            reply.body["source"].as_str(),
            reply.body["fallback"].as_bool()
        ),
        (Some("provider:second"), Some(true)),
        "{reply:?}"
    );
    // In use, but nobody wants it tried: no age that could raise an alert.
    let age = r#"fallback_last_exercised_seconds{dependency="openai"}"#;
    assert_eq!(server.metric(age).await, 0.0);
}

#[tokio::test]
async fn a_dead_provider_leaves_exact_answers_from_before_and_the_rules() {
    let api = ModelApi::start().await;
    let server = serving(&provider(&api)).await;
    let reply = server.post("/ai/chat", question()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    api.kill().await;
    for _ in 0..6 {
        server.post("/ai/chat", other_question()).await;
    }
    server.breaker("openai", "open").await;
    assert_answers_without_provider(&server, &reply.body["data"]).await;
    outage::OPENAI.assert_down(&server).await;

    api.restart().await;
    assert_provider_is_back(&server).await;
}

#[tokio::test]
async fn a_frozen_provider_holds_nobody_past_the_deadline_and_is_taken_up_again() {
    let api = ModelApi::start().await;
    let mut settings = provider(&api).to_vec();
    for (name, value) in [
        ("OPENAI_DEADLINE", "1s"),
        ("OPENAI_TOTAL_DEADLINE", "2s"),
        ("DEGRADATION_PROBES_OPENAI_DEADLINE", "1s"),
        // Long enough that no caller is let through to wait for it meanwhile.
        ("BREAKERS_OPENAI_RESET_TIMEOUT", "8s"),
    ] {
        settings.push((name, value.to_owned()));
    }
    let server = serving(&settings).await;
    let reply = server.post("/ai/chat", question()).await;
    assert_eq!(reply.body["source"], "provider:primary", "{reply:?}");

    api.stop().await;
    let first = server.post("/ai/chat", other_question()).await;
    assert_eq!(
        (first.status.as_u16(), first.problem()),
        (504, "timeout"),
        "{first:?}"
    );
    assert!(first.took < Duration::from_secs(4), "{:?}", first.took);
    server.breaker("openai", "open").await;
    assert_answers_without_provider(&server, &reply.body["data"]).await;
    outage::OPENAI.assert_down(&server).await;

    api.cont();
    assert_provider_is_back(&server).await;
}

#[tokio::test]
async fn a_chat_is_streamed_as_the_api_does_and_one_that_breaks_off_says_so() {
    let api = ModelApi::start().await;
    let server = serving(&provider(&api)).await;
    let mut asked = question();
    asked["stream"] = json!(true);
    let reply = server.post("/ai/chat", asked.clone()).await;
    assert_eq!(
        (
            reply.header("content-type"),
            reply.header("mainstay-source")
        ),
        (Some("text/event-stream"), Some("provider:primary")),
        "{reply:?}"
    );
    let text = reply.body.as_str().unwrap_or_default();
    assert!(
        text.starts_with("data: {") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert!(text.contains("\"content\":\"hola\""), "{text}");

    let then = StreamFault::Cut;
    api.set(ModelApiMode::Stream { tokens: 1, then }).await;
    let request = server.request(Method::POST, "/ai/chat").json(&asked);
    let request = request
        .header("accept-language", "es-AR")
        .header("x-request-id", "stream-1");
    let broken = server.send(request).await;
    let text = broken.body.as_str().unwrap_or_default();
    assert!(
        text.contains("\"content\":\"echo: \"") && !text.contains("[DONE]"),
        "{text}"
    );
    let (_, problem) = text
        .split_once("event: error\ndata: ")
        .expect("an error event");
    let problem: Value = serde_json::from_str(problem).expect("a problem");
    assert_eq!(
        [
            &problem["type"],
            &problem["request_id"],
            &problem["title"],
            &problem["dependency"]
        ],
        [
            "urn:mainstay:problem:unavailable",
            "stream-1",
            "No disponible",
            "openai"
        ],
        "{problem}"
    );
    assert_eq!(
        problem["error"]["message"], problem["detail"],
        "for clients of the API"
    );

    api.kill().await;
    let kept = server.post("/ai/chat", asked).await;
    assert_eq!(kept.header("mainstay-source"), Some("cache"), "{kept:?}");
    assert!(kept.header("age").is_some());
    let text = kept.body.as_str().unwrap_or_default();
    assert!(
        text.contains("echo: hola") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_caller_of_a_stream_who_leaves_ends_the_providers_call() {
    let api = ModelApi::start().await;
    let server = serving(&provider(&api)).await;
    let then = StreamFault::Endless { ms: 20 };
    api.set(ModelApiMode::Stream { tokens: 1, then }).await;
    let mut asked = question();
    asked["stream"] = json!(true);
    let request = server.request(Method::POST, "/ai/chat").json(&asked);
    let mut response = request.send().await.expect("a stream");
    response
        .chunk()
        .await
        .expect("it goes on")
        .expect("a chunk");
    assert_eq!(api.streams().await.open, 1);
    drop(response);
    eventually(SOON, "the provider's connection is closed", async || {
        api.streams().await.abandoned == 1
    })
    .await;
}

/// What has been counted of calls to models: operation, status and how many.
async fn calls(server: &Server) -> Vec<String> {
    let metrics = server.get("/metrics").await;
    let text = metrics.body.as_str().unwrap_or_default();
    let mut calls: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("openai_api_calls_total"))
        .map(str::to_owned)
        .collect();
    calls.sort();
    calls
}

#[tokio::test]
async fn a_task_is_counted_once_whoever_did_it() {
    let api = ModelApi::start().await;
    let server = serving(&provider(&api)).await;
    let price = json!({"cost": "700"});
    let content = json!({"price": "1200", "reasons": []}).to_string();
    api.set(ModelApiMode::FixedReply { content }).await;
    let reply = server.post("/ai/pricing", price.clone()).await;
    assert_eq!(reply.body["source"], "provider:primary", "{reply:?}");
    let success = r#"{operation="pricing",status="success"} 1"#;
    assert_eq!(calls(&server).await, [success]);

    api.kill().await;
    let reply = server.post("/ai/pricing", price).await;
    assert_eq!(
        (&reply.body["source"], &reply.body["fallback"]),
        (&json!("cache"), &json!(true)),
        "{reply:?}"
    );
    let fallback = r#"{operation="pricing",status="fallback"} 1"#;
    assert_eq!(calls(&server).await, [fallback, success]);

    let reply = server.post("/ai/pricing", json!({"cost": "900"})).await;
    assert_eq!(reply.body["source"], "rules", "{reply:?}");
    let fallback = r#"{operation="pricing",status="fallback"} 2"#;
    assert_eq!(calls(&server).await, [fallback, success]);
}

#[tokio::test]
async fn without_a_provider_the_primitives_say_so_and_the_tasks_use_rules() {
    let server = Server::start(&[]).await;
    let level = server.level("OPTIMAL").await;
    let openai = level.body["components"]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["service"] == "openai"));
    assert_eq!(openai.map(|c| &c["status"]), Some(&json!("absent")));
    for path in ["/ai/chat", "/ai/embed", "/ai/moderate"] {
        let body = if path == "/ai/chat" {
            question()
        } else {
            json!({"input": "hola"})
        };
        let reply = server.post(path, body).await;
        assert_eq!(
            (reply.status.as_u16(), reply.problem()),
            (503, "not-configured"),
            "{path}: {reply:?}"
        );
    }
    let text = "FACTURA B  Nro 0001-00000042\nFecha: 05/03/2026\nTotal: $ 1.234,56";
    let reply = server
        .post("/ai/analyze-invoice", json!({"text": text}))
        .await;
    assert_eq!(
        (reply.status.as_u16(), reply.body["source"].as_str()),
        (200, Some("rules")),
        "{reply:?}"
    );
    assert!(
        reply.body["confidence"].as_f64().is_some_and(|c| c < 1.0),
        "a bare total can't be confirmed"
    );
}
