//! A stream's chunks put together into the whole answer they make, and a whole answer played as chunks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::reply::{ChatReply, Choice, ReplyMessage};

/// Texts of a delta that come whole, once or again and again; every other text is continued.
const WHOLE_TEXTS: [&str; 4] = ["id", "name", "role", "type"];

/// Takes chunks, gives the answer.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// Of the answer as a whole: id, model, usage.
    head: Map<String, Value>,
    choices: BTreeMap<u64, Part>,
}

#[derive(Debug, Default)]
struct Part {
    message: Map<String, Value>,
    /// What stands beside the delta: log probabilities, the finish reason.
    beside: Map<String, Value>,
}

impl Part {
    fn is_finished(&self) -> bool {
        self.beside
            .get("finish_reason")
            .is_some_and(Value::is_string)
    }
}

impl Assembly {
    /// Takes a chunk; whether it brings content. `None`: it isn't one.
    pub(crate) fn take(&mut self, chunk: &Value) -> Option<bool> {
        let chunk = chunk.as_object()?;
        let mut content = false;
        for choice in chunk.get("choices")?.as_array()? {
            content |= self.take_choice(choice.as_object()?)?;
        }
        for (name, value) in chunk {
            if name != "choices" && name != "object" && !value.is_null() {
                self.head.insert(name.clone(), value.clone());
            }
        }
        Some(content)
    }

    fn take_choice(&mut self, choice: &Map<String, Value>) -> Option<bool> {
        let index = choice.get("index").map_or(Some(0), Value::as_u64)?;
        let part = self.choices.entry(index).or_default();
        let delta = match choice.get("delta") {
            Some(Value::Object(delta)) => Some(delta),
            None | Some(Value::Null) => None,
            Some(_) => return None,
        };
        for (name, value) in delta.into_iter().flatten() {
            extend(&mut part.message, name, value);
        }
        for (name, value) in choice {
            if name != "delta" && name != "index" {
                extend(&mut part.beside, name, value);
            }
        }
        let says = |(name, value): (&String, &Value)| name != "role" && !is_empty(value);
        Some(delta.is_some_and(|delta| delta.iter().any(says)) || part.is_finished())
    }

    /// Whether every continuation has come to an end of which the provider has said why.
    pub(crate) fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(Part::is_finished)
    }

    /// The answer, as if it hadn't been streamed. `None` unless it is whole.
    pub(crate) fn into_reply(mut self) -> Option<ChatReply> {
        if !self.is_whole() {
            return None;
        }
        let choices = std::mem::take(&mut self.choices);
        let model = self.head.remove("model");
        Some(ChatReply {
            model: model
                .as_ref()
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            usage: self.head.remove("usage").unwrap_or_default(),
            choices: choices
                .into_iter()
                .map(|(index, part)| choice(index, part))
                .collect(),
            rest: self.head,
        })
    }
}

fn choice(index: u64, mut part: Part) -> Choice {
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    if let Some(Value::Array(calls)) = part.message.get_mut("tool_calls") {
        for call in calls.iter_mut().filter_map(Value::as_object_mut) {
            call.remove("index");
        }
    }
    let message = ReplyMessage {
        role: text(part.message.remove("role")).unwrap_or_else(|| "assistant".into()),
        content: text(part.message.remove("content")),
        rest: part.message,
    };
    let finish_reason = text(part.beside.remove("finish_reason"));
    part.beside.insert("index".into(), json!(index));
    Choice {
        message,
        finish_reason,
        rest: part.beside,
    }
}

/// Adds a piece to what has come under its name: texts and lists grow, objects grow member by member, and items
/// that name their index grow at it.
fn extend(all: &mut Map<String, Value>, name: &str, piece: &Value) {
    match (all.get_mut(name), piece) {
        (Some(_), Value::Null) => {}
        (Some(Value::String(text)), Value::String(more)) if !WHOLE_TEXTS.contains(&name) => {
            text.push_str(more);
        }
        (Some(Value::Object(members)), Value::Object(more)) => {
            for (name, value) in more {
                extend(members, name, value);
            }
        }
        (Some(Value::Array(items)), Value::Array(more)) => {
            for item in more {
                extend_at_index(items, item);
            }
        }
        _ => {
            all.insert(name.to_owned(), piece.clone());
        }
    }
}

fn extend_at_index(items: &mut Vec<Value>, item: &Value) {
    let index = item.get("index");
    let same = |known: &&mut Value| index.is_some() && known.get("index") == index;
    match (items.iter_mut().find(same), item) {
        (Some(Value::Object(known)), Value::Object(more)) => {
            for (name, value) in more {
                extend(known, name, value);
            }
        }
        _ => items.push(item.clone()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The chunks of a whole answer: each continuation at once and then its end, and the usage if that was asked for.
/// Nothing is paced to look as if a model were speaking.
pub(crate) fn chunks(reply: &ChatReply, with_usage: bool) -> Vec<Value> {
    let chunk = |choices: Vec<Value>| {
        let mut chunk = reply.rest.clone();
        chunk.insert("object".into(), json!("chat.completion.chunk"));
        chunk.insert("model".into(), json!(reply.model));
        chunk.insert("choices".into(), Value::Array(choices));
        chunk
    };
    let mut all: Vec<Map<String, Value>> = Vec::new();
    for (at, choice) in reply.choices.iter().enumerate() {
        let index = choice.rest.get("index").cloned().unwrap_or(json!(at));
        let mut said = choice.rest.clone();
        said.insert("index".into(), index.clone());
        said.insert("delta".into(), delta(&choice.message));
        said.insert("finish_reason".into(), Value::Null);
        let reason = choice.finish_reason.as_deref().unwrap_or("stop");
        let end = json!({ "index": index, "delta": {}, "finish_reason": reason });
        all.extend([chunk(vec![Value::Object(said)]), chunk(vec![end])]);
    }
    if with_usage && !reply.usage.is_null() {
        let mut last = chunk(Vec::new());
        last.insert("usage".into(), reply.usage.clone());
        all.push(last);
    }
    all.into_iter().map(Value::Object).collect()
}

fn delta(message: &ReplyMessage) -> Value {
    let mut delta = message.rest.clone();
    delta.retain(|_, value| !value.is_null());
    delta.insert("role".into(), json!(message.role));
    if let Some(content) = &message.content {
        delta.insert("content".into(), json!(content));
    }
    if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
        for (index, call) in calls.iter_mut().enumerate() {
            if let Value::Object(call) = call {
                call.insert("index".into(), json!(index));
            }
        }
    }
    Value::Object(delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(choices: Value) -> Value {
        json!({ "id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": choices })
    }

    fn says(delta: Value) -> Value {
        chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]))
    }

    fn ends(reason: &str) -> Value {
        chunk(json!([{ "index": 0, "delta": {}, "finish_reason": reason }]))
    }

    fn whole(chunks: &[Value]) -> Option<Value> {
        let mut assembly = Assembly::default();
        for chunk in chunks {
            assembly.take(chunk).unwrap();
        }
        Some(serde_json::to_value(assembly.into_reply()?).unwrap())
    }

    #[test]
    fn pieces_of_a_text_become_the_text() {
        let all = whole(&[
            says(json!({ "role": "assistant", "content": "" })),
            says(json!({ "content": "good " })),
            says(json!({ "content": "day", "reasoning_content": "a greeting" })),
            ends("stop"),
            json!({ "id": "c1", "model": "m", "choices": [], "usage": { "total_tokens": 3 } }),
        ]);
        let message = json!({ "role": "assistant", "content": "good day", "reasoning_content": "a greeting" });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        let expected = json!({ "id": "c1", "model": "m", "choices": [choice], "usage": { "total_tokens": 3 } });
        assert_eq!(all, Some(expected));
    }

    #[test]
    fn pieces_of_tool_calls_are_put_together_by_their_index() {
        let call = |index: u64, more: Value| {
            let mut call = more;
            call["index"] = json!(index);
            says(json!({ "tool_calls": [call] }))
        };
        let all = whole(&[
            call(
                0,
                json!({ "id": "a", "type": "function", "function": { "name": "price", "arguments": "" } }),
            ),
            call(0, json!({ "function": { "arguments": "{\"cost\":" } })),
            call(
                1,
                json!({ "id": "b", "type": "function", "function": { "name": "stock", "arguments": "{}" } }),
            ),
            call(0, json!({ "id": "a", "function": { "arguments": "7}" } })),
            ends("tool_calls"),
        ]);
        let calls = &all.unwrap()["choices"][0]["message"]["tool_calls"];
        let function = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
        assert_eq!(
            *calls,
            json!([
                function("a", "price", "{\"cost\":7}"),
                function("b", "stock", "{}")
            ])
        );
    }

    #[test]
    fn only_what_says_something_is_content() {
        let table = [
            (says(json!({ "role": "assistant", "content": "" })), false),
            (
                says(json!({ "role": "assistant", "content": null, "tool_calls": [] })),
                false,
            ),
            (chunk(json!([])), false),
            (says(json!({ "content": " " })), true),
            (says(json!({ "refusal": "No." })), true),
            (says(json!({ "reasoning_content": "hm" })), true),
            (
                says(json!({ "tool_calls": [{ "index": 0, "id": "a" }] })),
                true,
            ),
            (ends("stop"), true),
        ];
        for (chunk, content) in table {
            assert_eq!(Assembly::default().take(&chunk), Some(content), "{chunk}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wrong in [
            json!(3),
            json!({}),
            json!({ "choices": "x" }),
            json!({ "choices": [3] }),
            json!({ "choices": [{ "delta": 3 }] }),
            json!({ "choices": [{ "index": -1, "delta": {} }] }),
        ] {
            assert_eq!(Assembly::default().take(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_whole_when_every_continuation_has_said_why_it_ended() {
        assert_eq!(whole(&[]), None);
        assert_eq!(whole(&[says(json!({ "content": "x" }))]), None);
        let two = |first: Value, second: Value| {
            chunk(json!([
                { "index": 0, "delta": { "content": "x" }, "finish_reason": first },
                { "index": 1, "delta": { "content": "y" }, "finish_reason": second },
            ]))
        };
        assert_eq!(whole(&[two(json!("stop"), json!(null))]), None);
        assert!(whole(&[two(json!("stop"), json!("length"))]).is_some());
    }

    #[test]
    fn an_answer_that_is_played_and_put_together_is_the_same() {
        let answer = json!({
            "id": "c1", "created": 7, "model": "m", "usage": { "total_tokens": 3 },
            "choices": [
                { "index": 0, "finish_reason": "length", "logprobs": { "content": [{ "token": "x" }] },
                  "message": { "role": "assistant", "content": "good day" } },
                { "index": 1, "finish_reason": "tool_calls", "message": { "role": "assistant", "content": null,
                  "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] } },
            ],
        });
        let reply: ChatReply = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(whole(&chunks(&reply, true)), Some(answer));
        let without = whole(&chunks(&reply, false)).unwrap();
        assert_eq!(without.get("usage"), None);
    }
}
