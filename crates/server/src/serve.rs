//! Runs the application on a listener, keeps its figures tidy, and stops gracefully.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use crate::app::Core;

/// How often histograms are gathered and idle rate limits forgotten.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until `stop` is ready; then accepts nothing more and gives what runs `grace` to finish.
///
/// # Errors
/// What the listener says. Running out of grace is none: what was left behind is logged.
pub async fn serve(
    listener: TcpListener,
    core: Core,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    core.handle.spawn(upkeep(core.clone()));
    let clock = core.handle.clock();
    let stopping = core.handle.stopping();
    let (begun, begin) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        stop.await;
        // Streams of events end now, or no connection of a subscriber would ever be idle.
        stopping.cancel();
        let _ = begun.send(());
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown);
    let out_of_grace = async move {
        if begin.await.is_err() {
            std::future::pending::<()>().await;
        }
        clock.sleep(grace).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = out_of_grace => {
            tracing::warn!(grace_s = grace.as_secs_f64(), "requests were still running at the end of the grace period");
            Ok(())
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
