//! Streamed chats: events with the fault that a test has asked for, and what becomes of each stream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use mainstay_testkit::{StreamFault, Streams, pause};
use serde_json::{Value, json};

use crate::behaviour::Behaviour;

/// A whole stream, as the data of its events: the role, the tokens, the end, `[DONE]`.
pub(crate) struct Events {
    pub(crate) data: Vec<String>,
    /// One more token.
    pub(crate) more: String,
    /// The same answer for somebody who didn't ask for a stream.
    pub(crate) whole: Value,
}

/// How many streams there are and were.
#[derive(Default)]
pub(crate) struct Streaming {
    begun: AtomicU64,
    finished: AtomicU64,
    abandoned: AtomicU64,
}

impl Streaming {
    pub(crate) fn counts(&self) -> Streams {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let (finished, abandoned) = (of(&self.finished), of(&self.abandoned));
        Streams {
            open: of(&self.begun) - finished - abandoned,
            finished,
            abandoned,
        }
    }
}

type Piece = Result<Bytes, std::io::Error>;

pub(crate) fn respond(behaviour: &Behaviour, events: Events) -> Response {
    let body = match behaviour.stream_fault() {
        None => frames(&events.data),
        Some((_, StreamFault::Whole)) => return Json(events.whole).into_response(),
        Some((tokens, fault)) => faulty(events, tokens, fault),
    };
    let watched = Watched {
        body,
        streaming: Arc::clone(&behaviour.streaming),
        ended: false,
    };
    watched.streaming.begun.fetch_add(1, Ordering::SeqCst);
    let head = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    (head, Body::from_stream(watched)).into_response()
}

fn faulty(events: Events, tokens: usize, fault: StreamFault) -> BoxStream<'static, Piece> {
    // The role comes before the tokens.
    let at = (1 + tokens).min(events.data.len() - 2);
    let (begin, rest) = events.data.split_at(at);
    let begin = frames(begin);
    match fault {
        StreamFault::Cut => begin.chain(stream::once(broken())).boxed(),
        StreamFault::Stall => begin.chain(stream::pending()).boxed(),
        StreamFault::BadJson => begin
            .chain(one("data: {\"choices\": [\n\n"))
            .chain(frames(rest))
            .boxed(),
        StreamFault::Error { kind } => {
            let error = json!({ "message": "The stream failed.", "type": kind, "param": null, "code": null });
            let last = [json!({ "error": error }).to_string(), "[DONE]".to_owned()];
            begin.chain(frames(&last)).boxed()
        }
        StreamFault::End => begin,
        StreamFault::DoneEarly => begin.chain(one("data: [DONE]\n\n")).boxed(),
        StreamFault::NoDone => begin.chain(frames(&rest[..rest.len() - 1])).boxed(),
        StreamFault::KeepAlive { ms } => begin.chain(again(": still here\n\n".into(), ms)).boxed(),
        StreamFault::Endless { ms } => begin.chain(again(frame(&events.more), ms)).boxed(),
        StreamFault::Flood => begin
            .chain(stream::repeat_with(move || Ok(frame(&events.more))))
            .boxed(),
        StreamFault::Whole => unreachable!("answered without a stream"),
    }
}

fn frames(data: &[String]) -> BoxStream<'static, Piece> {
    let frames: Vec<Piece> = data.iter().map(|data| Ok(frame(data))).collect();
    stream::iter(frames).boxed()
}

fn frame(data: &str) -> Bytes {
    format!("data: {data}\n\n").into()
}

fn one(text: &'static str) -> impl Stream<Item = Piece> {
    stream::iter([Ok(Bytes::from_static(text.as_bytes()))])
}

fn again(piece: Bytes, ms: u64) -> impl Stream<Item = Piece> {
    stream::repeat(piece).then(move |piece| async move {
        pause(Duration::from_millis(ms)).await;
        Ok(piece)
    })
}

/// Breaks the connection, a moment later so that what was sent before reaches the client.
async fn broken() -> Piece {
    pause(Duration::from_millis(20)).await;
    Err(std::io::Error::other("cut midway"))
}

/// A body that notes whether it came to its end.
struct Watched {
    body: BoxStream<'static, Piece>,
    streaming: Arc<Streaming>,
    ended: bool,
}

impl Stream for Watched {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let piece = self.body.poll_next_unpin(cx);
        self.ended |= matches!(piece, Poll::Ready(None | Some(Err(_))));
        piece
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let count = match self.ended {
            true => &self.streaming.finished,
            false => &self.streaming.abandoned,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}
