//! Providers that redirect, gossip, flood, or refuse in ways of their own.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use mainstay_openai::ProviderSettings;
use mainstay_runtime::{ErrorKind, Secret};
use serde_json::json;

use crate::oddity::{KEY, Oddity, refuses, says};
use crate::world::World;

async fn world(oddity: &Oddity) -> World {
    World::new(vec![ProviderSettings {
        api_key: Some(Secret::new(KEY)),
        ..ProviderSettings::new("odd", &oddity.base_url, "odd")
    }])
    .await
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let other = Oddity::start(|_| says("caught you")).await;
    let target = format!("{}/chat/completions", other.base_url);
    let oddity = Oddity::start(move |_| {
        (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, target.clone())]).into_response()
    })
    .await;
    let error = world(&oddity).await.say("hello").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.detail.contains("307"), "{error}");
    assert_eq!(other.authorized(), Vec::<String>::new());
    assert!(oddity.authorized().contains(&format!("Bearer {KEY}")));
}

#[tokio::test]
async fn an_error_that_repeats_the_key_or_the_prompt_is_not_passed_on() {
    for status in [400, 401, 500] {
        let oddity = Oddity::start(move |body| {
            let prompt = body["messages"][0]["content"].clone();
            refuses(
                status,
                json!({ "message": format!("{KEY} {prompt}"), "code": KEY, "type": prompt }),
            )
        })
        .await;
        let error = world(&oddity)
            .await
            .say("my secret plan")
            .await
            .unwrap_err();
        let told = format!("{error:?} {error}");
        assert!(
            !told.contains("sk-odd") && !told.contains("secret plan"),
            "{told}"
        );
        assert!(told.contains(&status.to_string()), "{told}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let oddity = Oddity::start(|_| "x".repeat(17 << 20).into_response()).await;
    let error = world(&oddity).await.say("hello").await.unwrap_err();
    assert!(
        error.detail.contains("larger than 16777216 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn a_busy_provider_says_when_to_come_back() {
    let oddity = Oddity::start(|_| {
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]).into_response()
    })
    .await;
    let error = world(&oddity).await.say("hello").await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(oddity.asked().len(), 1);
}

#[tokio::test]
async fn an_empty_account_is_not_asked_again_at_once() {
    let oddity = Oddity::start(|_| refuses(429, json!({ "code": "insufficient_quota" }))).await;
    let error = world(&oddity).await.say("hello").await.unwrap_err();
    assert!(error.detail.contains("insufficient_quota"), "{error}");
    assert_eq!(oddity.asked().len(), 1);
}
