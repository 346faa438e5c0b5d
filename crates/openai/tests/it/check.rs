//! What `mainstay check` is told.

use mainstay_openai::ProviderSettings;
use mainstay_runtime::Secret;
use mainstay_testkit::{ModelApi, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::world::{World, provider};

async fn remedy(provider: ProviderSettings) -> String {
    let world = World::new(vec![provider]).await;
    let checked = world.models.check().await;
    assert_eq!(checked[0].endpoint, "openai/a");
    checked[0].result.clone().unwrap_err().remedy
}

#[tokio::test]
async fn a_provider_that_works_says_so() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let checked = world.models.check().await;
    assert_eq!(checked[0].result, Ok("reachable, lists 3 models".into()));
}

#[tokio::test]
async fn what_fails_has_its_remedy() {
    let api = ModelApi::start().await;
    let right = provider("a", &api);
    let changed = |change: fn(&mut ProviderSettings)| {
        let mut provider = right.clone();
        change(&mut provider);
        provider
    };
    let wrong_key = changed(|p| p.api_key = Some(Secret::new("sk-wrong")));
    assert!(remedy(wrong_key).await.starts_with("check api_key"));
    let no_key = changed(|p| p.api_key = None);
    assert!(remedy(no_key).await.starts_with("set api_key"));
    let wrong_model = changed(|p| p.moderation_model = Some("unheard-of".into()));
    assert!(remedy(wrong_model).await.contains("`moderation_model`"));
    let nobody = ProviderSettings::new("a", format!("http://127.0.0.1:{}/v1", free_port()), "m");
    assert!(remedy(nobody).await.starts_with("check base_url, and that"));
}

#[tokio::test]
async fn a_provider_that_speaks_no_tls_is_told_from_one_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 512]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let provider = ProviderSettings::new("a", format!("https://127.0.0.1:{port}/v1"), "m");
    assert!(remedy(provider).await.contains("root certificates"));
    plain.abort();
}

#[tokio::test]
async fn a_provider_without_a_list_of_models_is_reachable() {
    let api = ModelApi::start().await;
    let elsewhere = ProviderSettings {
        base_url: format!("{}/elsewhere", api.base_url()),
        ..provider("a", &api)
    };
    let world = World::new(vec![elsewhere]).await;
    let checked = world.models.check().await;
    assert!(
        checked[0]
            .result
            .as_ref()
            .unwrap()
            .contains("no list of models")
    );
}
