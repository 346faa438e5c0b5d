//! What is answered while the server starts: opening a long journal takes seconds, and a supervisor that hears nothing
//! from a process takes it for dead.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;
use axum::serve::Listener;
use mainstay_runtime::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;
use crate::request;
use crate::serve::connection;

/// Does the work, and answers meanwhile: `/livez` with 200, everything else with 503.
pub async fn while_starting<T>(
    listener: &mut TcpListener,
    clock: Clock,
    work: impl Future<Output = T>,
) -> T {
    let over = CancellationToken::new();
    // What comes later on a connection of now is for the server that has started: the client connects anew.
    let _end = over.clone().drop_guard();
    let router = router();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            (stream, _) = Listener::accept(listener) => {
                tokio::spawn(connection(stream, router.clone(), clock, over.clone()));
            }
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .fallback(async || Problem {
            retryable: true,
            retry_after: Some(Duration::from_secs(1)),
            ..Problem::new(
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is starting: the journal of accepted work is being opened and checked",
            )
        })
        .layer(middleware::from_fn(request::frame_at_start))
}
