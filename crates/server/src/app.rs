//! The application: what its routes share, and how they become one router.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::middleware;
use axum::response::IntoResponse;
use mainstay_database::Database;
use mainstay_openai::Models;
use mainstay_redis::Redis;
use mainstay_runtime::Handle;
use mainstay_s3::Objects;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::auth::{Requirement, require};
use crate::keys::{KeyRing, Scope};
use crate::limits::{Limits, RateSettings};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::reload::Reload;
use crate::webhooks::Webhooks;
use crate::{openapi, request, routes};

/// What the server itself can be told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Rates by class of scope.
    pub rates: RateSettings,
    /// Whether `GET /db/read?query=` exists: query strings end up in other people's logs.
    pub db_read_get: bool,
}

/// What all routes share. Cheap to clone.
#[derive(Clone)]
pub struct Core(Arc<Parts>);

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

/// The parts of a [`Core`].
pub struct Parts {
    /// The running engine.
    pub handle: Handle,
    /// The database.
    pub database: Database,
    /// The cache.
    pub redis: Redis,
    /// The object store.
    pub objects: Objects,
    /// The model providers.
    pub models: Models,
    /// The API keys.
    pub keys: KeyRing,
    /// The rate limits.
    pub limits: Limits,
    /// The metrics; also the engine's observer.
    pub metrics: Arc<Metrics>,
    /// Who is told of alerts and changes of level.
    pub webhooks: Webhooks,
    /// Takes the configuration anew; `None` where nobody can.
    pub reload: Option<Reload>,
    /// The server's own settings.
    pub settings: Settings,
}

impl Deref for Core {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Core {
    /// Joins the parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// A group of routes behind a scope.
    pub fn guarded(&self, scope: Scope, routes: OpenApiRouter<Self>) -> OpenApiRouter<Self> {
        routes.route_layer(middleware::from_fn_with_state(
            Requirement::new(self, scope),
            require,
        ))
    }
}

/// The whole application: the server's own routes and `extra` ones, such as retail's, under one description.
/// Needs no socket.
pub fn app(core: &Core, extra: OpenApiRouter<Core>) -> Router {
    let (router, description) = described(core, extra);
    let description = Arc::new(description);
    router
        .route(
            "/openapi.json",
            axum::routing::get(move || {
                let description = Arc::clone(&description);
                async move { axum::Json((*description).clone()) }
            }),
        )
        .fallback(|uri: Uri| async move { Problem::no_route(uri.path()).into_response() })
        .method_not_allowed_fallback(routes::method_not_allowed)
        .layer(CatchPanicLayer::custom(request::panicked))
        .layer(middleware::from_fn_with_state(core.clone(), request::frame))
        .with_state(core.clone())
}

/// The description of the application's routes.
pub fn description(core: &Core, extra: OpenApiRouter<Core>) -> OpenApi {
    described(core, extra).1
}

fn described(core: &Core, extra: OpenApiRouter<Core>) -> (Router<Core>, OpenApi) {
    let all = OpenApiRouter::with_openapi(openapi::base())
        .merge(routes::all(core))
        .merge(extra);
    let (router, mut description) = all.split_for_parts();
    openapi::finish(&mut description);
    (router, description)
}
