//! What providers answer. Reading one is also the check that it is what the API promises.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fault::Fault;

/// A continued conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// The model that answered, by the provider's own name for it.
    pub model: String,
    /// Usually one.
    pub choices: Vec<Choice>,
    /// What the provider counted.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub usage: Value,
    /// Everything else the provider said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One continuation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What the model says.
    pub message: ReplyMessage,
    /// Why it ended: `stop`, `length`, `tool_calls`, `content_filter`.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// Everything else the provider said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What the model says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplyMessage {
    /// Usually `assistant`.
    pub role: String,
    /// The text; `None` when it calls a tool or refuses.
    #[serde(default)]
    pub content: Option<String>,
    /// Tool calls, a refusal, and what else the provider said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Texts as vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbedReply {
    /// The model that answered. Vectors of different models can't be compared.
    pub model: String,
    /// One for each text, in the request's order.
    pub data: Vec<Embedding>,
    /// What the provider counted.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub usage: Value,
}

/// One text as a vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Which text of the request, from 0.
    pub index: usize,
    /// The vector.
    pub embedding: Vec<f64>,
}

/// Judgements on texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModerateReply {
    /// The model that answered.
    pub model: String,
    /// One for each text, in the request's order.
    pub results: Vec<Judgement>,
}

/// A judgement on one text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether any category applies.
    pub flagged: bool,
    /// The categories, scores, and what else the provider said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ChatReply {
    /// The text of the first continuation.
    pub fn text(&self) -> Option<&str> {
        self.choices.first()?.message.content.as_deref()
    }

    pub(crate) fn read(body: &[u8]) -> Result<Self, Fault> {
        let reply: Self = read(body)?;
        match reply.choices.is_empty() {
            true => Err(Fault::Malformed("a chat without choices")),
            false => Ok(reply),
        }
    }
}

impl EmbedReply {
    pub(crate) fn read(body: &[u8], inputs: usize) -> Result<Self, Fault> {
        let mut reply: Self = read(body)?;
        reply.data.sort_by_key(|item| item.index);
        let length = reply.data.first().map_or(0, |item| item.embedding.len());
        let in_order = reply
            .data
            .iter()
            .enumerate()
            .all(|(at, item)| item.index == at);
        let same_length = reply.data.iter().all(|item| item.embedding.len() == length);
        if reply.data.len() != inputs || !in_order {
            return Err(Fault::Malformed("not one vector for each text"));
        }
        if length == 0 || !same_length {
            return Err(Fault::Malformed(
                "vectors that are empty or differ in length",
            ));
        }
        Ok(reply)
    }
}

impl ModerateReply {
    pub(crate) fn read(body: &[u8], inputs: usize) -> Result<Self, Fault> {
        let reply: Self = read(body)?;
        match reply.results.len() == inputs {
            true => Ok(reply),
            false => Err(Fault::Malformed("not one judgement for each text")),
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Fault::Malformed("a field is missing or of a wrong type")
        }
        _ => Fault::Malformed("not JSON"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn embed(body: Value, inputs: usize) -> Result<EmbedReply, Fault> {
        EmbedReply::read(body.to_string().as_bytes(), inputs)
    }

    #[test]
    fn a_chat_keeps_everything_the_provider_said() {
        let body = json!({
            "id": "x", "model": "m", "usage": { "total_tokens": 3 },
            "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "hi", "refusal": null } }],
        });
        let reply = ChatReply::read(body.to_string().as_bytes()).unwrap();
        assert_eq!(reply.text(), Some("hi"));
        assert_eq!(serde_json::to_value(&reply).unwrap(), body);
    }

    #[test]
    fn what_is_no_chat_is_malformed() {
        let bodies = [
            "",
            "{",
            "<html>",
            "null",
            "{}",
            r#"{"error":{"message":"x"}}"#,
            r#"{"model":"m","choices":[]}"#,
            r#"{"model":"m","choices":[{"message":{}}]}"#,
        ];
        for body in bodies {
            let read = ChatReply::read(body.as_bytes());
            assert!(matches!(read, Err(Fault::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn vectors_are_put_in_the_order_of_the_texts() {
        let body = json!({ "model": "m", "data": [
            { "index": 1, "embedding": [2.0] }, { "index": 0, "embedding": [1.0] },
        ]});
        let reply = embed(body, 2).unwrap();
        assert_eq!(reply.data[0].embedding, [1.0]);
        assert_eq!(reply.data[1].embedding, [2.0]);
    }

    #[test]
    fn missing_doubled_and_uneven_vectors_are_malformed() {
        let vector = |index: usize, values: &[f64]| json!({ "index": index, "embedding": values });
        let table = [
            (vec![vector(0, &[1.0])], 2),
            (vec![vector(0, &[1.0]), vector(0, &[1.0])], 2),
            (vec![vector(0, &[1.0]), vector(1, &[1.0, 2.0])], 2),
            (vec![vector(0, &[])], 1),
        ];
        for (data, inputs) in table {
            let read = embed(json!({ "model": "m", "data": data }), inputs);
            assert!(matches!(read, Err(Fault::Malformed(_))), "{data:?}");
        }
    }

    #[test]
    fn a_moderation_must_judge_every_text() {
        let body = json!({ "model": "m", "results": [{ "flagged": true, "categories": {} }] });
        let body = body.to_string();
        assert!(ModerateReply::read(body.as_bytes(), 1).unwrap().results[0].flagged);
        assert!(ModerateReply::read(body.as_bytes(), 2).is_err());
    }
}
