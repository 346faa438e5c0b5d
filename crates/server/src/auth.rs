//! Who may do what: a layer per scope that checks the key and its rate, and tells handlers who calls.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mainstay_runtime::Context;
use mainstay_runtime::degradation::DependencyId;

use crate::app::Core;
use crate::keys::{KeyRecord, Scope};
use crate::problem::Problem;

/// The header that names the dependency in whose place a request is made, where another would have answered it.
pub static INSTEAD_OF: HeaderName = HeaderName::from_static("mainstay-instead-of");

/// Who makes a request, as an extension.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key behind it.
    pub key: KeyRecord,
    /// In whose place it is made.
    pub instead_of: Option<DependencyId>,
}

/// The scope a group of routes asks for, with the application: the state of [`require`].
#[derive(Clone)]
pub struct Requirement {
    core: Core,
    scope: Scope,
}

impl Requirement {
    /// Routes behind this need a key with `scope` (or `admin`).
    pub fn new(core: &Core, scope: Scope) -> Self {
        Self {
            core: core.clone(),
            scope,
        }
    }
}

/// The layer: `axum::middleware::from_fn_with_state(Requirement::new(..), require)`.
pub async fn require(
    State(needed): State<Requirement>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(record) = authenticate(&needed.core, request.headers()) else {
        return Problem::unauthorized().into_response();
    };
    if !record.may(needed.scope) {
        return Problem::missing_scope(needed.scope.as_str()).into_response();
    }
    let allowance = match needed.core.limits.check(needed.scope, &record.id) {
        Ok(allowance) => allowance,
        Err(refused) => return refused.into_response(),
    };
    let instead_of = match instead_of(&needed.core, request.headers()) {
        Ok(instead_of) => instead_of,
        Err(refused) => return refused.into_response(),
    };
    request.extensions_mut().insert(Caller {
        key: record,
        instead_of,
    });
    let mut response = next.run(request).await;
    if let Some(allowance) = allowance {
        allowance.write_headers(response.headers_mut());
    }
    response
}

/// The record of the key that the headers bring, if it is right.
pub fn authenticate(core: &Core, headers: &HeaderMap) -> Option<KeyRecord> {
    let by_header = headers.get("x-api-key").and_then(|v| v.to_str().ok());
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    core.keys.authenticate(by_header.or(bearer)?)
}

/// The dependency in whose place the request is made, if it says so.
fn instead_of(core: &Core, headers: &HeaderMap) -> Result<Option<DependencyId>, Problem> {
    let Some(sent) = headers.get(&INSTEAD_OF) else {
        return Ok(None);
    };
    let rules = core.handle.rules();
    let named = sent
        .to_str()
        .ok()
        .and_then(|name| rules.dependency_id(name));
    named.map(Some).ok_or_else(|| {
        let known: Vec<_> = rules.dependencies().map(|(_, one)| &*one.name).collect();
        let detail = format!(
            "must name the dependency that would have answered if it worked: {}",
            known.join(", ")
        );
        Problem {
            field: Some("Mainstay-Instead-Of".to_owned()),
            ..Problem::new("invalid-input", StatusCode::BAD_REQUEST, detail)
        }
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a route that was left outside every scope's layer gets here without one.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(Problem::unauthorized)
    }
}

impl Caller {
    /// The context of an operation that the level's request deadline bounds.
    pub fn context(&self, core: &Core) -> Context {
        self.context_within(core, core.handle.tuning().request_deadline)
    }

    /// The context of an operation with a deadline of its own.
    pub fn context_within(&self, core: &Core, within: std::time::Duration) -> Context {
        let deadline = core.handle.clock().now() + within;
        Context::new(self.key.caller(), deadline).instead_of(self.instead_of)
    }
}
