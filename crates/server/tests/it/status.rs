//! What `/health`, `/status`, `/status/why` and `/features` say.

use axum::body::Body;
use http::{Method, StatusCode};
use mainstay_runtime::degradation::Level;
use mainstay_testkit::eventually_some;
use serde_json::{Value, json};

use crate::world::{Plan, SOON, World};

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let list = list.as_array().unwrap();
    list.iter().find(|one| one[key] == name).unwrap()
}

async fn force(world: &World, dependency: &str, mode: &str) {
    let path = format!("/admin/breakers/{dependency}/{mode}");
    assert_eq!(world.post(&path, json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_absent_dependency_shows_no_figures_rather_than_zero() {
    let world = World::healthy().await;
    let health = world.get("/health/openai").await.body;
    assert_eq!(
        (&health["status"], &health["health_score"]),
        (&json!("absent"), &Value::Null)
    );
    let status = world.get("/status").await.body;
    let absent = named(&status["components"], "service", "openai");
    for figure in [
        "health_score",
        "effective_score",
        "success_rate",
        "availability",
    ] {
        assert_eq!(absent[figure], Value::Null, "{figure}: {absent}");
    }
    let redis = named(&status["components"], "service", "redis");
    assert_eq!(
        (&redis["health_score"], &redis["embedded"]),
        (&json!(100.0), &json!(true))
    );
    assert_eq!(status["score"], 100.0);
}

#[tokio::test]
async fn an_outage_is_shown_with_its_cause_its_pattern_and_its_earlier_recoveries() {
    let world = World::healthy().await;
    // An outage that a breaker's own rule began and a success ended is one to learn from.
    for _ in 0..2 {
        let breaker = world.core.redis.guard();
        for _ in 0..5 {
            fail(breaker).await;
        }
        world.level(Level::Degraded).await;
        let down = world.get("/status").await.body;
        let redis = named(&down["components"], "service", "redis");
        assert!(redis["down_since"].is_string(), "{redis}");
        assert!(redis["prediction"]["words"].is_string(), "{redis}");
        let why = world.get("/status/why").await.body;
        assert!(
            why["causes"][0]
                .as_str()
                .is_some_and(|c| c.contains("redis")),
            "{why}"
        );
        assert!(
            why["predictions"][0]
                .as_str()
                .is_some_and(|p| p.starts_with("redis: ")),
            "{why}"
        );
        assert!(why["next_level_up"].is_string());
        world.level(Level::Optimal).await;
    }
    let status = world.get("/status").await.body;
    let redis = named(&status["components"], "service", "redis");
    assert_eq!(redis["recoveries"]["outages"], 2, "{redis}");
    assert_eq!(redis["prediction"], Value::Null);
    assert_eq!(status["patterns"]["most_failing"]["dependency"], "redis");
    assert_eq!(status["patterns"]["most_failing"]["failures"], 2);
    let why = world.get("/status/why").await.body;
    let patterns = why["patterns"].as_array().unwrap();
    assert!(!patterns.is_empty(), "{why}");
    let spanish = world
        .request(Method::GET, "/status/why")
        .header("accept-language", "es-AR");
    let spanish = world.send(spanish.body(Body::empty()).unwrap()).await.body;
    let said = spanish["patterns"].to_string();
    assert!(said.contains("la que más falla"), "{said}");
}

/// One failure of a call.
async fn fail(guard: &mainstay_runtime::Guard) {
    use mainstay_runtime::breaker::FailureKind;
    use mainstay_runtime::{Call, CallerId, Context, Verdict};
    let ctx = Context::new(CallerId(7), guard.now() + SOON);
    let verdict = |(): &()| Verdict::failure(FailureKind::Unavailable);
    let _ = guard
        .call(
            Call::new("test", &ctx),
            verdict,
            async |_| Err::<(), ()>(()),
        )
        .await;
}

#[tokio::test]
async fn alerts_that_are_on_are_shown_and_counted() {
    let mut plan = Plan::default();
    plan.rules.alerts.degraded_for = std::time::Duration::from_millis(500);
    let world = World::planned(plan).await;
    force(&world, "redis", "forced_open").await;
    let alert = eventually_some(SOON, "the alert is on", async || {
        let status = world.get("/status").await.body;
        status["alerts"].get(0).cloned()
    })
    .await;
    assert_eq!(alert["alert"], "degraded", "{alert}");
    assert!(alert["message"].is_string());
    let line = r#"alert_active{alert="degraded",component_name=""}"#;
    assert_eq!(world.metric(line).await, Some(1.0));
    assert_eq!(
        world.metric(r#"alerts_total{alert="degraded"}"#).await,
        Some(1.0)
    );
    let why = world.get("/status/why").await.body;
    let said = why["alerts"][0].as_str().unwrap();
    assert!(said.starts_with("the level has been worse"), "{said}");
    force(&world, "redis", "auto").await;
    world.level(Level::Optimal).await;
    assert_eq!(world.get("/status").await.body["alerts"], json!([]));
    assert_eq!(world.metric(line).await, Some(0.0));
}

#[tokio::test]
async fn features_follow_causes_pins_and_knobs() {
    let world = World::healthy().await;
    let mode = async |name: &str| {
        let reply = world.get(&format!("/features/{name}")).await;
        reply.body["mode"].as_str().unwrap().to_owned()
    };
    assert_eq!(mode("redis_cache").await, "on");
    force(&world, "redis", "forced_open").await;
    world.level(Level::Degraded).await;
    assert_eq!(mode("redis_cache").await, "fallback");
    assert_eq!(mode("s3_uploads").await, "on", "s3 is well");
    let all = world.get("/features").await.body;
    let row = named(&all, "feature", "redis_cache");
    assert_eq!(
        (&row["mode"], &row["requires"]),
        (&json!("fallback"), &json!(["redis"]))
    );
    let knob = json!({"mode": "off", "reason": "costs too much"});
    world.post("/admin/features/recommendations", knob).await;
    assert_eq!(mode("recommendations").await, "off");
    let matrix = world.get("/features/matrix").await.body;
    assert_eq!(matrix["gating"], "causal");
    let row = &matrix["features"]["redis_cache"]["modes"];
    assert_eq!(
        (&row["OPTIMAL"], &row["EMERGENCY"]),
        (&json!("on"), &json!("off"))
    );
}
