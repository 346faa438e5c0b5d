//! Answers that fit a schema, or none.

use mainstay_breaker::State;
use mainstay_openai::{ProviderSettings, StructuredRequest};
use mainstay_runtime::{Answer, Error, ErrorKind, Source};
use mainstay_testkit::{ModelApi, ModelApiMode};
use serde_json::{Value, json};

use crate::oddity::{Oddity, refuses, says};
use crate::world::{World, chats, provider};

fn request() -> StructuredRequest {
    StructuredRequest {
        system: "Read the invoice.".into(),
        user: "Total: 3".into(),
        schema_name: "invoice".into(),
        schema: json!({ "type": "object", "required": ["total"], "additionalProperties": false,
            "properties": { "total": { "type": "integer", "minimum": 3 } } }),
    }
}

async fn ask(world: &World) -> Result<Answer<Value>, Error> {
    world.models.structured(&world.ctx(), request()).await
}

async fn odd_world(oddity: &Oddity) -> World {
    World::new(vec![ProviderSettings::new("odd", &oddity.base_url, "odd")]).await
}

#[tokio::test]
async fn an_answer_that_fits_is_a_value() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let answer = ask(&world).await.unwrap();
    assert_eq!(
        answer,
        Answer::fresh(json!({ "total": 3 }), Source::Provider("a".into()))
    );
    assert_eq!(chats(&api).await, 1);
    api.kill().await;
    let earlier = ask(&world).await.unwrap();
    assert_eq!(
        (earlier.value, earlier.source),
        (json!({ "total": 3 }), Source::Cache)
    );
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_corrected_once_and_never_passed_on() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    for content in ["{\"total\": -1}", "Sure! The total is 3.", ""] {
        let before = chats(&api).await;
        let content = content.to_owned();
        api.set(ModelApiMode::FixedReply { content }).await;
        let error = ask(&world).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        assert_eq!(chats(&api).await - before, 2);
    }
    assert_eq!(world.models.cache_bytes(), 0);
    assert_eq!(world.state("openai/a"), State::Closed);
}

#[tokio::test]
async fn the_model_is_shown_what_does_not_fit() {
    let oddity = Oddity::start(|body| {
        let messages = body["messages"].as_array().unwrap();
        says(if messages.len() > 2 {
            "{\"total\": 4}"
        } else {
            "{\"total\": 1}"
        })
    })
    .await;
    let world = odd_world(&oddity).await;
    assert_eq!(ask(&world).await.unwrap().value, json!({ "total": 4 }));
    let second = &oddity.asked()[1]["messages"];
    assert_eq!(
        second[2],
        json!({ "role": "assistant", "content": "{\"total\": 1}" })
    );
    assert!(second[3]["content"].as_str().unwrap().contains("/total"));
}

#[tokio::test]
async fn a_provider_that_does_not_know_schemas_is_asked_in_words_and_remembered() {
    let oddity = Oddity::start(|body| match body["response_format"]["type"].as_str() {
        Some(kind) => {
            let message = format!("response_format of type {kind} is not supported");
            refuses(400, json!({ "message": message }))
        }
        None => says("```json\n{\"total\": 3}\n```"),
    })
    .await;
    let world = odd_world(&oddity).await;
    for _ in 0..2 {
        assert_eq!(ask(&world).await.unwrap().value, json!({ "total": 3 }));
    }
    let formats: Vec<Value> = oddity
        .asked()
        .iter()
        .map(|body| body["response_format"]["type"].clone())
        .collect();
    assert_eq!(
        formats,
        [
            json!("json_schema"),
            json!("json_object"),
            Value::Null,
            Value::Null
        ]
    );
    let system = oddity.asked()[2]["messages"][0]["content"].clone();
    assert!(system.as_str().unwrap().contains("\"minimum\":3"));
    assert_eq!(world.state("openai/odd"), State::Closed);
}

#[tokio::test]
async fn a_senseless_request_is_refused_by_name() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let wrong_name = StructuredRequest {
        schema_name: "my invoice".into(),
        ..request()
    };
    let wrong_schema = StructuredRequest {
        schema: json!({ "type": "colour" }),
        ..request()
    };
    for (request, field) in [(wrong_name, "schema_name"), (wrong_schema, "schema")] {
        let error = world
            .models
            .structured(&world.ctx(), request)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert_eq!(error.field.as_deref(), Some(field));
    }
    assert_eq!(chats(&api).await, 0);
}

/// Two providers, of which the first answers what doesn't fit.
async fn misfit_first() -> (ModelApi, ModelApi, World) {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::new(vec![provider("a", &a), provider("b", &b)]).await;
    let content = "{\"total\": -1}".to_owned();
    a.set(ModelApiMode::FixedReply { content }).await;
    (a, b, world)
}

#[tokio::test]
async fn when_a_corrected_answer_does_not_fit_the_next_provider_is_asked_afresh() {
    let (a, b, world) = misfit_first().await;
    let answer = ask(&world).await.unwrap();
    assert_eq!(
        (answer.value, answer.source),
        (json!({ "total": 3 }), Source::Provider("b".into()))
    );
    assert_eq!((chats(&a).await, chats(&b).await), (2, 1));
}

#[tokio::test]
async fn when_nobodys_answer_fits_there_is_none_unless_an_earlier_one_did() {
    let (a, b, world) = misfit_first().await;
    let content = "I can't.".to_owned();
    b.set(ModelApiMode::FixedReply { content }).await;
    let error = ask(&world).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert_eq!((chats(&a).await, chats(&b).await), (2, 2));

    b.set(ModelApiMode::Internal500).await;
    let error = ask(&world).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::BadAnswer,
        "an answer came, and no usable one"
    );

    b.set(ModelApiMode::Ok).await;
    ask(&world).await.unwrap();
    b.kill().await;
    let earlier = ask(&world).await.unwrap();
    assert_eq!(
        (earlier.value, earlier.source),
        (json!({ "total": 3 }), Source::Cache)
    );
}
