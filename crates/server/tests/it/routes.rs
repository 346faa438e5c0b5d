//! The routes: each answers, and the description holds exactly what is served.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{Plan, World};

/// What the API promises, in short: the methods of each path.
const PROMISED: [(&str, &str); 40] = [
    ("/livez", "get"),
    ("/readyz", "get"),
    ("/startupz", "get"),
    ("/health", "get"),
    ("/health/database", "get"),
    ("/health/openai", "get"),
    ("/health/redis", "get"),
    ("/health/s3", "get"),
    ("/status", "get"),
    ("/status/why", "get"),
    ("/features", "get"),
    ("/features/{name}", "get"),
    ("/features/matrix", "get"),
    ("/events", "get"),
    ("/metrics", "get"),
    ("/db/read", "post"),
    ("/db/write", "post"),
    ("/db/transaction", "post"),
    ("/cache/{operation}", "post"),
    ("/objects/{key}", "put"),
    ("/objects/{key}", "get"),
    ("/objects/{key}", "head"),
    ("/objects/{key}", "delete"),
    ("/objects", "get"),
    ("/objects/copy", "post"),
    ("/ai/chat", "post"),
    ("/ai/embed", "post"),
    ("/ai/moderate", "post"),
    ("/journal", "get"),
    ("/journal/flush", "post"),
    ("/journal/{id}/retry", "post"),
    ("/journal/{id}/discard", "post"),
    ("/admin/breakers/{id}/{mode}", "post"),
    ("/admin/level/pin", "post"),
    ("/admin/level/unpin", "post"),
    ("/admin/features/{name}", "post"),
    ("/admin/operator", "get"),
    ("/admin/reload", "post"),
    ("/admin/purge/{what}", "post"),
    ("/openapi.json", "get"),
];

type Routes = BTreeSet<(String, String)>;

/// What the router would take: its paths, as its own debug form lists them, with every method it doesn't refuse.
async fn served(app: &Router) -> Routes {
    let mut routes = Routes::new();
    for path in paths(&format!("{app:?}")) {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            let uri = path.replace("{*", "{").replace(['{', '}'], "");
            let request = Request::builder().method(method).uri(&uri);
            let request = request.body(Body::empty()).unwrap();
            let reply = app.clone().oneshot(request).await.unwrap();
            if reply.status() != StatusCode::METHOD_NOT_ALLOWED {
                routes.insert((path.replace("{*", "{"), method.to_lowercase()));
            }
        }
    }
    routes
}

/// The path texts of `RouteId(1): "/livez"`.
fn paths(debug: &str) -> BTreeSet<&str> {
    // What follows is the fallback's own router, which takes every path.
    let debug = debug.split("fallback_router").next().unwrap();
    let ids = debug.split("RouteId(").skip(1);
    let paths = ids.filter_map(|rest| rest.split_once("): \"")?.1.split('"').next());
    paths.filter(|path| path.starts_with('/')).collect()
}

fn described(description: &Value) -> Routes {
    let all = description["paths"].as_object().unwrap();
    let methods = all.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| (path.clone(), method.clone()))
    });
    methods.collect()
}

#[tokio::test]
async fn the_description_lists_every_route_that_is_served_and_no_other() {
    for db_read_get in [false, true] {
        let world = World::planned(Plan {
            db_read_get,
            ..Plan::default()
        })
        .await;
        let described = described(&world.get("/openapi.json").await.body);
        let mut served = served(&world.app).await;
        // Whatever answers GET answers HEAD: nobody describes that.
        served.retain(|(path, method)| {
            method != "head" || described.contains(&(path.clone(), method.clone()))
        });
        assert_eq!(served, described);
        let get = ("/db/read".to_owned(), "get".to_owned());
        assert_eq!(described.contains(&get), db_read_get);
        for (path, method) in PROMISED {
            let promised = (path.to_owned(), method.to_owned());
            assert!(described.contains(&promised), "{promised:?}");
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_description_has_a_name_of_its_own_and_documented_answers() {
    let world = World::healthy().await;
    let description = world.get("/openapi.json").await.body;
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(operation["responses"]["200"].is_object(), "{at}");
            let Some(name) = operation["operationId"].as_str() else {
                continue;
            };
            if let Some(other) = names.insert(name.to_owned(), at.clone()) {
                panic!("{name} names both {other} and {at}");
            }
        }
    }
    let text = description.to_string();
    assert!(!text.contains("{*"), "wildcards are axum's own");
}

#[tokio::test]
async fn every_endpoint_answers_over_embedded_dependencies() {
    let world = World::healthy().await;
    for path in [
        "/livez",
        "/readyz",
        "/startupz",
        "/health",
        "/health/database",
        "/health/openai",
        "/health/redis",
        "/health/s3",
        "/status",
        "/status/why",
        "/features",
        "/features/redis_cache",
        "/features/matrix",
        "/metrics",
        "/objects",
        "/journal",
        "/admin/operator",
        "/openapi.json",
    ] {
        let reply = world.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
    }
    let posts = [
        ("/db/write", json!({"query": "create table t (a integer)"})),
        (
            "/db/transaction",
            json!({"operations": [{"query": "insert into t values ($1)", "params": [1]}]}),
        ),
        ("/db/read", json!({"query": "select a from t"})),
        ("/journal/flush", json!({})),
        ("/admin/breakers/redis/shadow", json!({})),
        ("/admin/breakers/redis/auto", json!({})),
        ("/admin/breakers/redis/reset", json!({})),
        ("/admin/level/pin", json!({"level": "OPTIMAL"})),
        ("/admin/level/unpin", json!({})),
        ("/admin/features/recommendations", json!({"mode": "off"})),
    ];
    for (path, body) in posts {
        let reply = world.post(path, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        assert_eq!(reply.body["success"], true, "{path}");
    }
    assert_eq!(world.put("/objects/a", "x").await.status, StatusCode::OK);
    let copied = world
        .post("/objects/copy", json!({"from": "a", "to": "copy"}))
        .await;
    assert_eq!(copied.status, StatusCode::OK, "{copied:?}");
    assert_eq!(
        world.get("/objects/copy").await.text(),
        "x",
        "an object may be called so"
    );
    for method in [Method::HEAD, Method::DELETE] {
        let reply = world.send_json(method, "/objects/a", &Value::Null).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    for (path, body) in [
        (
            "/ai/chat",
            json!({"messages": [{"role": "user", "content": "hola"}]}),
        ),
        ("/ai/embed", json!({"input": "hola"})),
        ("/ai/moderate", json!({"input": "hola"})),
    ] {
        let reply = world.post(path, body).await;
        let got = (reply.status.as_u16(), reply.problem());
        assert_eq!(got, (503, "not-configured"), "{path}");
    }
    let nothing = "/journal/1/retry";
    assert_eq!(world.post(nothing, json!({})).await.problem(), "not-found");
}

#[tokio::test]
async fn every_cache_operation_answers() {
    let world = World::healthy().await;
    let operations = [
        ("set", json!({"key": "s", "value": "v", "ttl": 60})),
        ("get", json!({"key": "s"})),
        ("expire", json!({"key": "s", "ttl": 100})),
        ("ttl", json!({"key": "s"})),
        ("delete", json!({"key": "s"})),
        ("incr", json!({"key": "n"})),
        ("lpush", json!({"key": "l", "values": ["a"]})),
        ("rpush", json!({"key": "l", "values": ["b"]})),
        ("llen", json!({"key": "l"})),
        ("lrange", json!({"key": "l", "start": 0, "stop": -1})),
        ("lpop", json!({"key": "l"})),
        ("rpop", json!({"key": "l"})),
        ("sadd", json!({"key": "u", "members": ["a"]})),
        ("smembers", json!({"key": "u"})),
        ("scard", json!({"key": "u"})),
        ("srem", json!({"key": "u", "members": ["a"]})),
        ("hset", json!({"key": "h", "fields": {"f": "v"}})),
        ("hget", json!({"key": "h", "field": "f"})),
        ("hgetall", json!({"key": "h"})),
        ("hdel", json!({"key": "h", "fields": ["f"]})),
        (
            "zadd",
            json!({"key": "z", "members": [{"member": "m", "score": 1.5}]}),
        ),
        ("zrange", json!({"key": "z", "start": 0, "stop": -1})),
        ("zcard", json!({"key": "z"})),
        ("ping", json!({})),
    ];
    let known: BTreeSet<_> = mainstay_redis::OPERATIONS.iter().copied().collect();
    let tried: BTreeSet<_> = operations.iter().map(|(name, _)| *name).collect();
    assert_eq!(tried, known);
    for (operation, body) in operations {
        let reply = world.post(&format!("/cache/{operation}"), body).await;
        assert_eq!(reply.status, StatusCode::OK, "{operation}: {reply:?}");
        assert_eq!(
            reply.header("mainstay-source"),
            Some("primary"),
            "{operation}"
        );
    }
}
