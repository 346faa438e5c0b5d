//! The server's own routes, by what they serve.

pub mod admin;
pub mod ai;
mod ai_stream;
pub mod cache;
mod conditions;
pub mod db;
pub mod fallbacks;
pub mod forecast;
pub mod health;
pub mod journal;
pub mod objects;
pub mod protection;
pub mod status;

use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;

use crate::app::Core;
use crate::problem::Problem;

/// All of them.
pub fn all(core: &Core) -> OpenApiRouter<Core> {
    health::routes()
        .merge(db::routes(core))
        .merge(cache::routes(core))
        .merge(objects::routes(core))
        .merge(ai::routes(core))
        .merge(status::routes(core))
        .merge(journal::routes(core))
        .merge(admin::routes(core))
}

/// A known path with a method it doesn't have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    Problem::new(
        "method-not-allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} doesn't take {method}; GET /openapi.json lists what it takes",
            uri.path()
        ),
    )
    .into_response()
}
