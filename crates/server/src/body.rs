//! Bodies of requests, given up when nothing of them comes: who sends a head and falls silent holds no request for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use futures_util::{StreamExt, stream};
use mainstay_runtime::Clock;

use crate::problem::Problem;

/// How long the next piece of a body may take. A slow body may take as long as it likes in all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells whether a body was given up. Those who read it only learn that it broke off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stall(Arc<AtomicBool>);

impl Stall {
    /// What to answer if the body was given up.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let given_up = self.0.load(Ordering::Relaxed);
        given_up.then(|| Problem::request_timeout(PATIENCE))
    }
}

/// The body, which breaks off when its next piece takes too long.
pub(crate) fn patient(body: Body, clock: Clock) -> (Body, Stall) {
    patient_for(body, clock, PATIENCE)
}

fn patient_for(body: Body, clock: Clock, patience: Duration) -> (Body, Stall) {
    let stall = Stall::default();
    let state = (body.into_data_stream(), stall.clone());
    let pieces = stream::try_unfold(state, move |(mut pieces, stall)| async move {
        match clock.until(clock.now() + patience, pieces.next()).await {
            Ok(Some(piece)) => piece.map(|piece| Some((piece, (pieces, stall)))),
            Ok(None) => Ok(None),
            Err(elapsed) => {
                stall.0.store(true, Ordering::Relaxed);
                Err(axum::Error::new(elapsed))
            }
        }
    });
    (Body::from_stream(pieces), stall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use std::io;

    #[tokio::test]
    async fn each_piece_has_its_own_time() {
        let (clock, piece) = (Clock::start(), Duration::from_millis(300));
        let pieces = stream::iter(0..8).then(move |_| async move {
            clock.sleep(piece).await;
            Ok::<_, io::Error>(Bytes::from_static(b"x"))
        });
        let slow = Body::from_stream(pieces);
        let (body, stall) = patient_for(slow, clock, 7 * piece);
        let read = body.collect().await.unwrap().to_bytes();
        assert_eq!(
            (&read[..], stall.problem().is_some()),
            (&b"xxxxxxxx"[..], false)
        );

        let silent = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let (body, stall) = patient_for(silent, clock, piece);
        assert!(body.collect().await.is_err() && stall.problem().is_some());
    }
}
