//! The parts of the API's description that no single route holds.

use axum::http::StatusCode;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder,
};

/// The media type of errors.
const PROBLEM: &str = "application/problem+json";
/// What may answer any request that needs a key, before its route is asked.
const KEYED: &[&str] = &["401", "403", "429", "500", "503"];
/// The same of any request with a body.
const WITH_BODY: &[&str] = &["400", "408", "413", "415"];
/// The same where something is said in the path, the query or a header.
const WITH_PARAMETERS: &[&str] = &["400"];
/// The same where a dependency is waited for.
const WITH_DEADLINE: &[&str] = &["504"];

/// Title, licence and the two ways to send a key.
pub fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Mainstay")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Keeps a service serving when what it depends on fails: guarded database, cache, object and AI operations, \
             health, degradation level and features. Errors are problem+json (RFC 9457).",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0 OR MIT").build()))
        .build();
    let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new()
        .security_scheme("key", header)
        .security_scheme("bearer", bearer)
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

/// Wildcard segments as OpenAPI writes them (`{key}`, not `{*key}`), the two paths that no annotation can describe, and
/// what answers many routes in the same way.
pub fn finish(description: &mut OpenApi) {
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    let paths = &mut description.paths.paths;
    if let (Some(any), Some(copy)) = (
        paths.get("/objects/{key}").cloned(),
        paths.get_mut("/objects/copy"),
    ) {
        copy.put = any.put.map(of_the_key_copy);
        copy.get = any.get.map(of_the_key_copy);
        copy.head = any.head.map(of_the_key_copy);
        copy.delete = any.delete.map(of_the_key_copy);
    }
    for (path, item) in paths.iter_mut() {
        let data = ["/db/", "/cache/", "/objects", "/ai/"];
        let is_data = data.iter().any(|prefix| path.starts_with(prefix));
        for operation in operations(item) {
            if is_data {
                let parameters = operation.parameters.get_or_insert_default();
                parameters.push(instead_of());
            }
            complete(operation, is_data);
        }
    }
    paths.insert("/openapi.json".to_owned(), this_description());
}

/// An operation on any object, on the one whose key is `copy`: the path of `POST /objects/copy` serves it too.
fn of_the_key_copy(mut operation: Operation) -> Operation {
    if let Some(id) = &mut operation.operation_id {
        id.push_str("_object_named_copy");
    }
    if let Some(parameters) = &mut operation.parameters {
        parameters.retain(|p| !matches!(p, RefOr::T(p) if p.name == "key"));
    }
    operation
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        head,
        ..
    } = item;
    [get, put, post, delete, head].into_iter().flatten()
}

/// Adds what no route says of itself: refusals on the way to it, and what each status is called.
fn complete(operation: &mut Operation, is_data: bool) {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has_parameters = !parameters.is_empty();
    let answers = &mut operation.responses.responses;
    let common = [
        (operation.security.is_some(), KEYED),
        (operation.request_body.is_some(), WITH_BODY),
        (has_parameters, WITH_PARAMETERS),
        (is_data, WITH_DEADLINE),
    ];
    for (applies, statuses) in common {
        for status in statuses.iter().filter(|_| applies) {
            let missing = || RefOr::T(problem());
            answers.entry((*status).to_owned()).or_insert_with(missing);
        }
    }
    for (status, answer) in answers {
        if let RefOr::T(answer) = answer {
            word(status, answer);
        }
    }
}

fn problem() -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody")));
    ResponseBuilder::new()
        .content(PROBLEM, body.build())
        .build()
}

/// Names the status, and the media type that errors really have.
fn word(status: &str, answer: &mut Response) {
    let Ok(status) = status.parse::<StatusCode>() else {
        return;
    };
    if answer.description.is_empty() {
        answer.description = status.canonical_reason().unwrap_or_default().to_owned();
    }
    if (status.is_client_error() || status.is_server_error())
        && let Some(body) = answer.content.shift_remove("application/json")
    {
        answer.content.insert(PROBLEM.to_owned(), body);
    }
}

/// The header that every route of data takes.
fn instead_of() -> RefOr<Parameter> {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let header = ParameterBuilder::new()
        .name("Mainstay-Instead-Of")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The dependency that would have answered if it worked, e.g. `redis` for a read that the cache would have \
             saved. Such requests never have more than half of the places in flight (rounded down: none where there is \
             but one), fewer while that dependency is down, and wait for none: 503 `busy` with Retry-After, or an \
             earlier result. A write that finds none is refused, not accepted for later.",
        ))
        .schema(Some(text))
        .build();
    RefOr::T(header)
}

fn this_description() -> PathItem {
    let reply = ResponseBuilder::new()
        .description("OpenAPI, as JSON")
        .build();
    let operation = OperationBuilder::new()
        .summary(Some("This description. Needs no key."))
        .tag("health")
        .response("200", reply)
        .build();
    PathItem::new(HttpMethod::Get, operation)
}
