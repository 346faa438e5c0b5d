//! Errors in the API's shape: `{"error": {"message", "type", "param", "code"}}`.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

const REQUEST: &str = "invalid_request_error";

impl ApiError {
    fn new(
        status: u16,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        let status = StatusCode::from_u16(status).expect("only valid statuses are given here");
        Self {
            status,
            message: message.into(),
            kind,
            param: None,
            code,
        }
    }

    /// 400: the body as a whole isn't what the route takes.
    pub(crate) fn bad_body(message: impl Into<String>) -> Self {
        Self::new(400, REQUEST, None, message)
    }

    /// 400: this parameter is missing.
    pub(crate) fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        let error = Self::new(400, REQUEST, Some("missing_required_parameter"), message);
        Self {
            param: Some(param.to_owned()),
            ..error
        }
    }

    /// 400: this parameter has a value that can't be taken.
    pub(crate) fn invalid(param: &str, why: &str) -> Self {
        let message = format!("Invalid '{param}': {why}.");
        let error = Self::new(400, REQUEST, Some("invalid_value"), message);
        Self {
            param: Some(param.to_owned()),
            ..error
        }
    }

    /// 401: no key, or a wrong one.
    pub(crate) fn unauthorized(given: bool) -> Self {
        match given {
            true => Self::new(
                401,
                REQUEST,
                Some("invalid_api_key"),
                "Incorrect API key provided.",
            ),
            false => Self::new(
                401,
                REQUEST,
                None,
                "An API key is needed in the Authorization header.",
            ),
        }
    }

    /// 404: a model that isn't served, or not for this route.
    pub(crate) fn unknown_model(model: &str) -> Self {
        let message =
            format!("The model `{model}` does not exist or you do not have access to it.");
        Self::new(404, REQUEST, Some("model_not_found"), message)
    }

    /// 429.
    pub(crate) fn rate_limited() -> Self {
        Self::new(
            429,
            "requests",
            Some("rate_limit_exceeded"),
            "Rate limit reached for requests.",
        )
    }

    /// 529.
    pub(crate) fn overloaded() -> Self {
        Self::new(529, "overloaded_error", None, "Overloaded")
    }

    /// 500.
    pub(crate) fn internal() -> Self {
        Self::new(
            500,
            "server_error",
            None,
            "The server had an error while processing the request.",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = json!({
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        });
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}

pub(crate) async fn unknown_route(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        404,
        REQUEST,
        Some("unknown_url"),
        format!("Invalid URL ({method} {})", uri.path()),
    )
}

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("Not allowed to {method} on {}.", uri.path());
    ApiError::new(405, REQUEST, Some("method_not_supported"), message)
}

/// Reads a body as a JSON object.
pub(crate) fn parse(body: &[u8]) -> Result<Value, ApiError> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::bad_body("The body must be a JSON object.")),
        Err(error) => Err(ApiError::bad_body(format!(
            "The JSON body of the request can't be parsed: {error}."
        ))),
    }
}

/// The request's model, when it's `served`.
pub(crate) fn model(body: &Value, served: &str) -> Result<String, ApiError> {
    match body.get("model") {
        Some(Value::String(model)) if model == served => Ok(model.clone()),
        Some(Value::String(model)) => Err(ApiError::unknown_model(model)),
        Some(_) => Err(ApiError::invalid("model", "expected a string")),
        None => Err(ApiError::missing("model")),
    }
}
