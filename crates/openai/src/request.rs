//! What callers can ask, and what is sent for it.

use mainstay_runtime::{Error, ErrorKind};
use serde_json::{Map, Value, json};

/// Most texts in one embedding or moderation request: what the OpenAI API takes.
const MOST_INPUTS: usize = 2048;

/// The operations: a closed set, also for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Embed,
    Moderate,
    Structured,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embed => "embed",
            Self::Moderate => "moderate",
            Self::Structured => "structured",
        }
    }

    /// Below a provider's base URL.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat | Self::Structured => "chat/completions",
            Self::Embed => "embeddings",
            Self::Moderate => "moderations",
        }
    }

    /// The configuration key of the model that does it.
    pub(crate) fn model_key(self) -> &'static str {
        match self {
            Self::Chat | Self::Structured => "model",
            Self::Embed => "embedding_model",
            Self::Moderate => "moderation_model",
        }
    }
}

/// A conversation to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// Objects with a `role` and usually a `content`, as in the OpenAI API.
    pub messages: Vec<Value>,
    /// Only providers whose configured model this is may answer; `None`: any, each with its own.
    pub model: Option<String>,
    /// Every other parameter of the API (`temperature`, `max_tokens`, `tools`, ...), handed on as it is.
    pub options: Map<String, Value>,
    /// Whether its caller wants the answer as a stream, which is [`Models::chat_stream`](crate::Models::chat_stream).
    pub stream: bool,
    /// The API's `stream_options`, for a stream.
    pub stream_options: Option<Value>,
}

/// Texts to be turned into vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedRequest {
    /// One vector is answered for each, in this order.
    pub input: Vec<String>,
    /// Only providers whose configured embedding model this is may answer. Vectors of different models can't be
    /// compared, so a caller that stores them should set it; `None`: any, and the reply names the model.
    pub model: Option<String>,
    /// How long the vectors should be, where the model leaves the choice.
    pub dimensions: Option<u32>,
}

/// Texts to be judged.
#[derive(Clone, Debug, PartialEq)]
pub struct ModerateRequest {
    /// One judgement is answered for each, in this order.
    pub input: Vec<String>,
    /// Only providers whose configured moderation model this is may answer.
    pub model: Option<String>,
}

/// A question whose answer must fit a JSON schema.
#[derive(Clone, Debug, PartialEq)]
pub struct StructuredRequest {
    /// What the model is told of its task.
    pub system: String,
    /// What it is asked.
    pub user: String,
    /// The schema's name: `a-z`, `A-Z`, `0-9`, `_` and `-`, at most 64 characters.
    pub schema_name: String,
    /// What the answer must fit.
    pub schema: Value,
}

impl ChatRequest {
    /// A conversation with the models' own parameters.
    pub fn new(messages: Vec<Value>) -> Self {
        Self {
            messages,
            model: None,
            options: Map::new(),
            stream: false,
            stream_options: None,
        }
    }

    /// Reads a request in the OpenAI API's form.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(body: Value) -> Result<Self, Error> {
        let mut body = object(body)?;
        let stream = match body.remove("stream") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(wanted)) => wanted,
            Some(_) => return Err(Error::invalid("stream", "must be true or false")),
        };
        let stream_options = match body.remove("stream_options") {
            None | Some(Value::Null) => None,
            Some(options) if options.is_object() => Some(options).filter(|_| stream),
            Some(_) => return Err(Error::invalid("stream_options", "must be an object")),
        };
        let messages = match body.remove("messages") {
            Some(Value::Array(messages)) => messages,
            _ => return Err(Error::invalid("messages", "must be a list of messages")),
        };
        let request = Self {
            messages,
            model: model(&mut body)?,
            options: body,
            stream,
            stream_options,
        };
        request.validate()?;
        Ok(request)
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.messages.is_empty() {
            return Err(Error::invalid("messages", "must hold at least one message"));
        }
        for (index, message) in self.messages.iter().enumerate() {
            if !message.is_object() {
                return Err(Error::invalid(
                    format!("messages[{index}]"),
                    "must be an object with a role and a content",
                ));
            }
            if !message["role"].is_string() {
                return Err(Error::invalid(
                    format!("messages[{index}].role"),
                    "must be a text such as `user`",
                ));
            }
        }
        match ["stream", "stream_options"]
            .into_iter()
            .find(|name| self.options.contains_key(*name))
        {
            None => Ok(()),
            Some(name) => Err(Error::invalid(
                name,
                "must not be among the other parameters",
            )),
        }
    }

    /// Whether what the provider counted is to be the last chunk of a stream.
    pub(crate) fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.is_some_and(|options| options["include_usage"] == true)
    }

    pub(crate) fn body(&self) -> Map<String, Value> {
        let mut body = self.options.clone();
        body.insert("messages".into(), json!(self.messages));
        body
    }
}

/// A message of a conversation.
pub fn message(role: &str, text: &str) -> Value {
    json!({ "role": role, "content": text })
}

impl EmbedRequest {
    /// Reads a request in the OpenAI API's form.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(body: Value) -> Result<Self, Error> {
        let mut body = object(body)?;
        match body.remove("encoding_format") {
            None | Some(Value::Null) => {}
            Some(Value::String(format)) if format == "float" => {}
            Some(_) => return Err(Error::invalid("encoding_format", "must be `float`")),
        }
        let dimensions = match body.remove("dimensions") {
            None | Some(Value::Null) => None,
            Some(given) => Some(dimensions(&given)?),
        };
        let request = Self {
            input: inputs(&mut body)?,
            model: model(&mut body)?,
            dimensions,
        };
        nothing_left(&body)?;
        Ok(request)
    }

    pub(crate) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("input".into(), json!(self.input));
        body.insert("encoding_format".into(), json!("float"));
        if let Some(dimensions) = self.dimensions {
            body.insert("dimensions".into(), json!(dimensions));
        }
        body
    }
}

impl ModerateRequest {
    /// Reads a request in the OpenAI API's form.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(body: Value) -> Result<Self, Error> {
        let mut body = object(body)?;
        let request = Self {
            input: inputs(&mut body)?,
            model: model(&mut body)?,
        };
        nothing_left(&body)?;
        Ok(request)
    }

    pub(crate) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("input".into(), json!(self.input));
        body
    }
}

/// Texts that an embedding or a moderation can be asked for.
pub(crate) fn validate_input(input: &[String]) -> Result<(), Error> {
    if input.is_empty() || input.len() > MOST_INPUTS {
        return Err(Error::invalid(
            "input",
            format!("must hold 1 to {MOST_INPUTS} texts"),
        ));
    }
    match input.iter().position(String::is_empty) {
        Some(index) => Err(Error::invalid(
            format!("input[{index}]"),
            "must not be empty",
        )),
        None => Ok(()),
    }
}

fn object(body: Value) -> Result<Map<String, Value>, Error> {
    match body {
        Value::Object(body) => Ok(body),
        _ => Err(Error::new(
            ErrorKind::MalformedInput,
            "the body must be a JSON object",
        )),
    }
}

fn model(body: &mut Map<String, Value>) -> Result<Option<String>, Error> {
    match body.remove("model") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(model)) if !model.is_empty() => Ok(Some(model)),
        Some(_) => Err(Error::invalid(
            "model",
            "must be the name of a configured model, or left out",
        )),
    }
}

fn inputs(body: &mut Map<String, Value>) -> Result<Vec<String>, Error> {
    let text = |(index, item): (usize, Value)| match item {
        Value::String(text) => Ok(text),
        _ => Err(Error::invalid(format!("input[{index}]"), "must be a text")),
    };
    let input = match body.remove("input") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(text)
            .collect::<Result<_, _>>()?,
        _ => return Err(Error::invalid("input", "must be a text or a list of texts")),
    };
    validate_input(&input)?;
    Ok(input)
}

fn dimensions(given: &Value) -> Result<u32, Error> {
    given
        .as_u64()
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (1..=65_536).contains(count))
        .ok_or_else(|| Error::invalid("dimensions", "must be a whole number in 1..=65536"))
}

fn nothing_left(body: &Map<String, Value>) -> Result<(), Error> {
    match body.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::invalid(
            name.as_str(),
            "is not a parameter of this operation",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.unwrap_err().field.unwrap_or_default()
    }

    #[test]
    fn a_chat_that_is_wrong_names_its_field() {
        let hello = message("user", "hello");
        let table = [
            (json!({}), "messages"),
            (json!({ "messages": "hello" }), "messages"),
            (json!({ "messages": [] }), "messages"),
            (json!({ "messages": ["hello"] }), "messages[0]"),
            (
                json!({ "messages": [hello, { "content": "x" }] }),
                "messages[1].role",
            ),
            (json!({ "messages": [hello], "model": 3 }), "model"),
            (json!({ "messages": [hello], "stream": "yes" }), "stream"),
            (
                json!({ "messages": [hello], "stream": true, "stream_options": 3 }),
                "stream_options",
            ),
        ];
        for (body, expected) in table {
            assert_eq!(field(ChatRequest::parse(body.clone())), expected, "{body}");
        }
        let array = ChatRequest::parse(json!([])).unwrap_err();
        assert_eq!(array.kind, ErrorKind::MalformedInput);
    }

    #[test]
    fn parameters_of_a_chat_are_handed_on() {
        let body = json!({
            "messages": [message("user", "hello")], "model": "m", "stream": false, "temperature": 0.5,
        });
        let request = ChatRequest::parse(body).unwrap();
        assert_eq!(request.model.as_deref(), Some("m"));
        let sent = Value::Object(request.body());
        assert_eq!(
            sent,
            json!({ "messages": [message("user", "hello")], "temperature": 0.5 })
        );
    }

    #[test]
    fn a_stream_is_another_form_of_the_same_chat() {
        let parse = |stream: bool| {
            let body = json!({ "messages": [message("user", "hello")], "stream": stream,
                "stream_options": { "include_usage": true } });
            ChatRequest::parse(body).unwrap()
        };
        let (streamed, whole) = (parse(true), parse(false));
        assert_eq!((streamed.stream, whole.stream), (true, false));
        assert_eq!((streamed.wants_usage(), whole.wants_usage()), (true, false));
        assert_eq!(streamed.body(), whole.body());
        let mut odd = whole;
        odd.options.insert("stream".into(), json!(true));
        assert_eq!(field(odd.validate()), "stream");
    }

    #[test]
    fn an_embedding_that_is_wrong_names_its_field() {
        let table = [
            (json!({}), "input"),
            (json!({ "input": [] }), "input"),
            (json!({ "input": "" }), "input[0]"),
            (json!({ "input": ["a", 3] }), "input[1]"),
            (json!({ "input": vec!["a"; MOST_INPUTS + 1] }), "input"),
            (json!({ "input": "a", "dimensions": 0 }), "dimensions"),
            (json!({ "input": "a", "dimensions": 1.5 }), "dimensions"),
            (
                json!({ "input": "a", "encoding_format": "base64" }),
                "encoding_format",
            ),
            (json!({ "input": "a", "colour": "red" }), "colour"),
        ];
        for (body, expected) in table {
            assert_eq!(field(EmbedRequest::parse(body.clone())), expected, "{body}");
        }
    }

    #[test]
    fn one_text_is_a_list_of_one() {
        let embed = EmbedRequest::parse(json!({ "input": "a", "dimensions": 8 })).unwrap();
        assert_eq!(
            (embed.input, embed.dimensions),
            (vec!["a".to_owned()], Some(8))
        );
        let moderate = ModerateRequest::parse(json!({ "input": "a" })).unwrap();
        assert_eq!(moderate.input, ["a"]);
        assert_eq!(
            field(ModerateRequest::parse(json!({ "input": "a", "x": 1 }))),
            "x"
        );
    }
}
