//! `mainstay-test-model-api <port> <key>`: the OpenAI API for tests, with answers that can be predicted.

mod behaviour;
mod chat;
mod embeddings;
mod error;
mod models;
mod moderations;
mod schema;
mod streams;

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;

use crate::behaviour::Behaviour;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, key] = args.as_slice() else {
        return Err("usage: mainstay-test-model-api <port> <key>".into());
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(key)).await?;
    Ok(())
}

fn app(key: &str) -> Router {
    let behaviour = Arc::new(Behaviour::new(key));
    let v1 = Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/embeddings", post(embeddings::embed))
        .route("/v1/moderations", post(moderations::moderate))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::show))
        .fallback(error::unknown_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&behaviour),
            behaviour::misbehave,
        ));
    let control = Router::new().route("/control", get(behaviour::show).post(behaviour::set));
    control.merge(v1).with_state(behaviour)
}
