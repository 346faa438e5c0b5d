//! JSON bodies whose errors name the field, and bounded so that nobody fills the memory.

use axum::body::Body;
use axum::extract::{
    FromRef, FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request,
};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mainstay_runtime::Clock;
use serde::de::DeserializeOwned;

use crate::app::Core;
use crate::body::patient;
use crate::problem::Problem;

/// Most bytes of a JSON body.
pub const JSON_LIMIT: usize = 1024 * 1024;

/// A JSON body of at most [`JSON_LIMIT`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    Core: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_content_type(&request)?;
        let bytes = read(request.into_body(), clock_of(state)).await?;
        parse(&bytes).map(Self)
    }
}

/// A request without a body gives `None`.
impl<S, T> OptionalFromRequest<S> for JsonBody<T>
where
    Core: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        check_content_type(&request)?;
        let bytes = read(request.into_body(), clock_of(state)).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        parse(&bytes).map(|value| Some(Self(value)))
    }
}

/// A path parameter; what can't be decoded is a problem of ours, not a bare text.
#[derive(Clone, Copy, Debug)]
pub struct PathParam<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParam<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|e| Problem {
            field: Some("path".to_owned()),
            ..Problem::new("invalid-input", StatusCode::BAD_REQUEST, e.body_text())
        })
    }
}

/// The query string, with the same errors as bodies.
#[derive(Clone, Copy, Debug)]
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|e| {
            let text = e.body_text();
            let text = text
                .trim_start_matches("Failed to deserialize query string: ")
                .to_owned();
            Problem {
                field: Some(
                    named_field(&text)
                        .or_else(|| text.split(':').next().map(str::to_owned))
                        .unwrap_or_default(),
                ),
                ..Problem::new("invalid-input", StatusCode::BAD_REQUEST, text)
            }
        })
    }
}

/// Reads JSON text into a type.
///
/// # Errors
/// A problem that names the field and says what was expected.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        malformed(format!(
            "the body isn't UTF-8: byte {} can't be read",
            e.valid_up_to()
        ))
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(problem_of)?;
    reader
        .end()
        .map_err(|e| malformed(format!("more follows after the JSON value: {e}")))?;
    Ok(value)
}

fn problem_of(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if !inner.is_data() {
        return malformed(format!("the body isn't JSON: {inner}"));
    }
    let field = named_field(&inner.to_string()).unwrap_or(path);
    Problem {
        field: (field != ".").then_some(field),
        ..Problem::new("invalid-input", StatusCode::BAD_REQUEST, inner.to_string())
    }
}

/// The field that serde names in its text when the path ends above it: a missing or an unknown one.
fn named_field(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("missing field `")
        .or_else(|| text.strip_prefix("unknown field `"))?;
    Some(rest.split('`').next()?.to_owned())
}

fn malformed(detail: String) -> Problem {
    Problem::new("malformed-input", StatusCode::BAD_REQUEST, detail)
}

fn check_content_type(request: &Request) -> Result<(), Problem> {
    let Some(sent) = request.headers().get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let sent = sent.to_str().unwrap_or_default();
    let kind = sent
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    // curl's default for --data: refusing it would surprise everybody who tries the tour.
    let fits = kind == "application/json"
        || kind.ends_with("+json")
        || kind == "application/x-www-form-urlencoded";
    if fits {
        return Ok(());
    }
    Err(Problem::new(
        "unsupported-media-type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the body is `{kind}`; send `Content-Type: application/json`"),
    ))
}

fn clock_of<S>(state: &S) -> Clock
where
    Core: FromRef<S>,
{
    Core::from_ref(state).handle.clock()
}

async fn read(body: Body, clock: Clock) -> Result<bytes::Bytes, Problem> {
    let (body, stall) = patient(body, clock);
    match Limited::new(body, JSON_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            "too-large",
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a JSON body may have {JSON_LIMIT} bytes"),
        )),
        Err(error) => Err(stall
            .problem()
            .unwrap_or_else(|| malformed(format!("the body ended early: {error}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code, reason = "only parsed")]
        items: Vec<u8>,
    }

    fn problem(text: &[u8]) -> (&'static str, Option<String>) {
        let problem = parse::<Sample>(text).unwrap_err();
        (problem.kind, problem.field)
    }

    #[test]
    fn an_error_names_the_field() {
        assert_eq!(
            problem(br#"{"items":[1,-1]}"#),
            ("invalid-input", Some("items[1]".into()))
        );
        assert_eq!(problem(br#"{}"#), ("invalid-input", Some("items".into())));
        assert_eq!(
            problem(br#"{"items":[],"x":1}"#),
            ("invalid-input", Some("x".into()))
        );
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        assert_eq!(problem(b"{\"items\":[1,").0, "malformed-input");
        assert_eq!(problem(b"{\"items\":[NaN]}").0, "malformed-input");
        assert_eq!(problem(b"{\"items\":[]} x").0, "malformed-input");
        assert_eq!(problem(b"\xff\xfe").0, "malformed-input");
    }
}
