//! A provider's side of a streamed chat: chunks as they come, checked to be what the API promises.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use mainstay_runtime::Secret;
use reqwest::Response;
use serde_json::Value;

use crate::fault::Fault;
use crate::refusal;
use crate::reply::ChatReply;
use crate::stream::events::Decoder;
use crate::stream::whole::{self, Assembly};
use crate::transport::{self, LARGEST_ANSWER, Transport};

/// What ends a stream, instead of a chunk.
const DONE: &[u8] = b"[DONE]";

/// One chunk, as JSON on one line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) json: Bytes,
    /// Whether it says anything: a role alone doesn't.
    pub(crate) has_content: bool,
}

/// An answer that is being read.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// `None` once there is nothing more to read. Dropped, it ends the call.
    response: Option<Response>,
    decoder: Decoder,
    assembly: Assembly,
    ready: VecDeque<Chunk>,
    received: usize,
    key: Option<Secret>,
}

impl Upstream {
    /// Asks. A provider that doesn't know streams and answers whole is read whole.
    pub(crate) async fn open(
        transport: &Transport,
        path: &str,
        body: Bytes,
        with_usage: bool,
    ) -> Result<Self, Fault> {
        let response = transport.open(path, body).await?;
        let mut upstream = Self {
            decoder: Decoder::default(),
            assembly: Assembly::default(),
            ready: VecDeque::new(),
            received: 0,
            key: transport.key().cloned(),
            response: None,
        };
        if is_json(&response) {
            let reply = ChatReply::read(&transport::read_whole(response).await?)?;
            for chunk in whole::chunks(&reply, with_usage) {
                let chunk = upstream.take(chunk.to_string().into_bytes())?;
                upstream.ready.push_back(chunk);
            }
        } else {
            upstream.response = Some(response);
        }
        Ok(upstream)
    }

    /// The next chunk; `None` when the answer is whole and nothing more comes.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, Fault> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            match self.decoder.next() {
                Some(data) if data.trim_ascii() == DONE => self.response = None,
                Some(data) => return self.take(data).map(Some),
                None if self.response.is_some() => self.read().await?,
                None if self.is_whole() => return Ok(None),
                None => return Err(Fault::Unfinished),
            }
        }
    }

    /// Whether the provider has said of everything that it is at its end. What may still come is the usage.
    pub(crate) fn is_whole(&self) -> bool {
        self.assembly.is_whole()
    }

    /// The whole answer.
    pub(crate) fn into_reply(self) -> Option<ChatReply> {
        self.assembly.into_reply()
    }

    async fn read(&mut self) -> Result<(), Fault> {
        let Some(response) = &mut self.response else {
            return Ok(());
        };
        let piece = response.chunk().await;
        match piece.map_err(|error| transport::fault(&error))? {
            Some(piece) => {
                self.received += piece.len();
                if self.received > LARGEST_ANSWER {
                    return Err(Fault::TooLarge {
                        limit: LARGEST_ANSWER,
                    });
                }
                self.decoder.push(&piece)
            }
            None => {
                self.response = None;
                Ok(())
            }
        }
    }

    fn take(&mut self, mut data: Vec<u8>) -> Result<Chunk, Fault> {
        let chunk: Value = serde_json::from_slice(&data)
            .map_err(|_| Fault::Malformed("a part of the stream is not JSON"))?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let key = self.key.as_ref().map(Secret::expose);
            return Err(Fault::BrokeOff(Box::new(refusal::in_stream(error, key))));
        }
        let has_content = self.assembly.take(&chunk).ok_or(Fault::Malformed(
            "a part of the stream is no chunk of a chat",
        ))?;
        // Line breaks within JSON are mere space, and an event's data has none.
        for byte in data.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        Ok(Chunk {
            json: data.into(),
            has_content,
        })
    }
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.trim_start().starts_with("application/json"))
}
