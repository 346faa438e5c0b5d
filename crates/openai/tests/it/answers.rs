//! The three operations while everything is well, and while nothing is configured.

use mainstay_openai::{EmbedRequest, Models, ModerateRequest, ProviderSettings};
use mainstay_runtime::{Answer, CallerId, Context, ErrorKind, Source};
use mainstay_testkit::ModelApi;

use crate::world::{World, hello, provider};

fn from<T>(answer: &Answer<T>) -> String {
    answer.source.to_string()
}

fn embed(texts: &[&str], model: Option<&str>) -> EmbedRequest {
    EmbedRequest {
        input: texts.iter().map(|text| (*text).to_owned()).collect(),
        model: model.map(str::to_owned),
        dimensions: None,
    }
}

fn moderate(texts: &[&str]) -> ModerateRequest {
    ModerateRequest {
        input: texts.iter().map(|text| (*text).to_owned()).collect(),
        model: None,
    }
}

#[tokio::test]
async fn every_operation_is_answered_by_the_first_provider() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::new(vec![provider("a", &a), provider("b", &b)]).await;
    assert_eq!(world.models.provider_names(), ["a", "b"]);

    let said = world.say("hello").await.unwrap();
    assert_eq!(
        said,
        Answer::fresh("echo: hello".to_owned(), Source::Provider("a".into()))
    );

    let vectors = world
        .models
        .embed(&world.ctx(), embed(&["x", "y"], None))
        .await
        .unwrap();
    assert_eq!(
        (from(&vectors).as_str(), vectors.value.data.len()),
        ("provider:a", 2)
    );
    assert_eq!(vectors.value.model, ModelApi::EMBEDDING_MODEL);

    let judged = world
        .models
        .moderate(&world.ctx(), moderate(&["peace", "violence"]))
        .await
        .unwrap();
    let flags: Vec<bool> = judged
        .value
        .results
        .iter()
        .map(|result| result.flagged)
        .collect();
    assert_eq!(
        (from(&judged).as_str(), flags),
        ("provider:a", vec![false, true])
    );
}

#[tokio::test]
async fn a_provider_without_the_model_for_it_is_passed_over() {
    let api = ModelApi::start().await;
    let chats_only = ProviderSettings {
        embedding_model: None,
        moderation_model: None,
        ..provider("chats", &api)
    };
    let world = World::new(vec![chats_only.clone(), provider("all", &api)]).await;
    let vectors = world
        .models
        .embed(&world.ctx(), embed(&["x"], None))
        .await
        .unwrap();
    assert_eq!(from(&vectors), "provider:all");

    let world = World::new(vec![chats_only]).await;
    let error = world
        .models
        .embed(&world.ctx(), embed(&["x"], None))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotConfigured);
    assert!(error.detail.contains("embedding_model"), "{error}");
    let error = world
        .models
        .moderate(&world.ctx(), moderate(&["x"]))
        .await
        .unwrap_err();
    assert!(error.detail.contains("moderation_model"), "{error}");
}

#[tokio::test]
async fn a_model_that_is_asked_for_must_be_configured() {
    let api = ModelApi::start().await;
    let other = ProviderSettings {
        embedding_model: Some("other".into()),
        ..provider("other", &api)
    };
    let world = World::new(vec![other, provider("right", &api)]).await;
    let model = Some(ModelApi::EMBEDDING_MODEL);
    let vectors = world
        .models
        .embed(&world.ctx(), embed(&["x"], model))
        .await
        .unwrap();
    assert_eq!(from(&vectors), "provider:right");

    let mut request = hello("hello");
    request.model = Some("unheard-of".into());
    let error = world.models.chat(&world.ctx(), request).await.unwrap_err();
    assert_eq!(
        (error.kind, error.field.as_deref()),
        (ErrorKind::InvalidInput, Some("model"))
    );
}

#[tokio::test]
async fn without_a_provider_every_operation_says_so() {
    let models = Models::absent();
    assert!(!models.is_configured());
    let ctx = Context::new(CallerId(1), mainstay_breaker::Moment::default());
    let errors = [
        models.chat(&ctx, hello("hello")).await.unwrap_err(),
        models.embed(&ctx, embed(&["x"], None)).await.unwrap_err(),
        models.moderate(&ctx, moderate(&["x"])).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::NotConfigured);
        assert_eq!(error.dependency, Some("openai"));
    }
    assert_eq!(models.check().await, []);
}
