//! A provider with a peculiarity that the model API of the kit hasn't: a scripted HTTP server in the test.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The key the provider is given.
pub(crate) const KEY: &str = "sk-odd-0123456789abcdef";

/// Ends with the test.
pub(crate) struct Oddity {
    pub(crate) base_url: String,
    /// The bodies it has received by POST.
    asked: Arc<Mutex<Vec<Value>>>,
    authorized: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Oddity {
    /// Answers every POST with what the script makes of its body; lists no models.
    pub(crate) async fn start(
        script: impl Fn(&Value) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let authorized: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, keys) = (Arc::clone(&asked), Arc::clone(&authorized));
        let app = Router::new().fallback(
            move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
                let key = headers
                    .get("authorization")
                    .and_then(|value| value.to_str().ok());
                keys.lock()
                    .unwrap()
                    .push(key.unwrap_or_default().to_owned());
                if uri.path().ends_with("/models") {
                    return StatusCode::NOT_FOUND.into_response();
                }
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                seen.lock().unwrap().push(body.clone());
                script(&body)
            },
        );
        let serving = tokio::spawn(async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self {
            base_url,
            asked,
            authorized,
            serving,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn authorized(&self) -> Vec<String> {
        self.authorized.lock().unwrap().clone()
    }
}

impl Drop for Oddity {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A whole chat that says this.
pub(crate) fn says(text: &str) -> Response {
    let message = json!({ "role": "assistant", "content": text });
    Json(json!({ "model": "odd", "choices": [{ "index": 0, "message": message }] })).into_response()
}

/// A refusal with an error body.
pub(crate) fn refuses(status: u16, error: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({ "error": error }))).into_response()
}
