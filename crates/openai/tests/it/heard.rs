//! A stream, heard to its end.

use mainstay_openai::{ChatRequest, ChatStream};
use mainstay_runtime::{Answer, Context, Error, Source};
use serde_json::Value;

use crate::world::{World, hello};

/// What a stream said and how it ended.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) source: Source,
    pub(crate) chunks: Vec<Value>,
    pub(crate) end: Result<(), Error>,
}

impl Heard {
    pub(crate) async fn of(answer: Answer<ChatStream>) -> Self {
        let mut stream = answer.value;
        let mut chunks = Vec::new();
        let end = loop {
            match stream.next().await {
                Some(Ok(chunk)) => chunks.push(serde_json::from_slice(&chunk).unwrap()),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        assert!(stream.next().await.is_none(), "nothing follows the end");
        Self {
            source: answer.source,
            chunks,
            end,
        }
    }

    pub(crate) fn text(&self) -> String {
        let said = |chunk: &Value| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        };
        self.chunks.iter().filter_map(said).collect()
    }

    pub(crate) fn finish_reason(&self) -> Option<&str> {
        self.chunks
            .iter()
            .find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str())
    }
}

impl World {
    pub(crate) async fn begin(&self, text: &str) -> Result<Answer<ChatStream>, Error> {
        self.begin_for(&self.ctx(), hello(text)).await
    }

    pub(crate) async fn begin_for(
        &self,
        ctx: &Context,
        request: ChatRequest,
    ) -> Result<Answer<ChatStream>, Error> {
        self.models.chat_stream(ctx, request).await
    }

    pub(crate) async fn hear(&self, text: &str) -> Result<Heard, Error> {
        Ok(Heard::of(self.begin(text).await?).await)
    }
}
