//! Runs the application on a listener, keeps its figures tidy, and stops gracefully.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use mainstay_runtime::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::app::Core;

/// How often histograms are gathered and idle rate limits forgotten.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a connection may stay without the whole head of its next request.
const HEAD: Duration = Duration::from_secs(10);

/// Serves until `stop` is ready; then accepts nothing more and gives what runs `grace` to finish.
///
/// # Errors
/// None today: what a listener says is waited out. Running out of grace is none: what was left behind is logged.
pub async fn serve(
    mut listener: TcpListener,
    core: Core,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    core.handle.spawn(upkeep(core.clone()));
    let clock = core.handle.clock();
    let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            (stream, _) = Listener::accept(&mut listener) => {
                connections.spawn(connection(stream, router.clone(), clock, closing.clone()));
            }
            () = &mut stop => break,
        }
    }
    drop(listener);
    // Streams of events end now, or no connection of a subscriber would ever be idle.
    core.handle.stopping().cancel();
    closing.cancel();
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = clock.sleep(grace) => {
            tracing::warn!(grace_s = grace.as_secs_f64(), "requests were still running at the end of the grace period");
        }
    }
    Ok(())
}

/// Serves one connection, HTTP/1.1 or HTTP/2, until the client is done, takes too long over a head, or all is closing and
/// the request that runs is answered.
pub(crate) async fn connection(
    stream: TcpStream,
    router: Router,
    clock: Clock,
    closing: CancellationToken,
) {
    let has_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&has_asked);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = Builder::new(TokioExecutor::new());
    let timer = TokioTimer::new();
    builder.http1().timer(timer).header_read_timeout(HEAD);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut late = pin!(clock.sleep(HEAD));
    let (mut is_closing, mut is_late) = (false, false);
    loop {
        tokio::select! {
            // Broken connections are the client's business.
            _ = serving.as_mut() => return,
            () = closing.cancelled(), if !is_closing => {
                is_closing = true;
                serving.as_mut().graceful_shutdown();
            }
            // The timeout above begins only when it is clear which HTTP is spoken.
            () = &mut late, if !is_late => {
                is_late = true;
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

async fn upkeep(core: Core) {
    let stopping = core.handle.stopping();
    let clock = core.handle.clock();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = clock.sleep(UPKEEP) => {}
        }
        core.metrics.upkeep();
        core.limits.tidy();
    }
}
