//! Metrics: every promised name is there, and moves with what it counts.

use mainstay_runtime::degradation::Level;
use mainstay_testkit::eventually;
use serde_json::json;

use crate::world::{Plan, SOON, World};

async fn assert_metric(world: &World, line: &str, value: f64) {
    let got = world.metric(line).await;
    // A mean of floating-point weights.
    let same = got.is_some_and(|got| (got - value).abs() < 1e-9);
    assert!(
        same,
        "{line} is {got:?}, not {value}\n{}",
        world.get("/metrics").await.text()
    );
}

#[tokio::test]
async fn calls_are_counted_and_timed_by_operation_and_status() {
    let world = World::healthy().await;
    let before = world
        .metric(r#"db_queries_total{operation="read",status="success"}"#)
        .await;
    for _ in 0..3 {
        world.post("/db/read", json!({"query": "select 1"})).await;
    }
    world
        .post("/db/write", json!({"query": "create table t (a integer)"}))
        .await;
    world
        .post("/cache/set", json!({"key": "k", "value": "v"}))
        .await;
    for key in ["k", "k", "k", "absent"] {
        world.post("/cache/get", json!({"key": key})).await;
    }
    world.put("/objects/a", "12345").await;
    assert_eq!(world.get("/objects/a").await.text(), "12345");
    let reads = before.unwrap_or_default() + 3.0;
    assert_metric(
        &world,
        r#"db_queries_total{operation="read",status="success"}"#,
        reads,
    )
    .await;
    for (line, value) in [
        (
            r#"db_queries_total{operation="write",status="success"}"#,
            1.0,
        ),
        (r#"db_query_latency_seconds_count{operation="write"}"#, 1.0),
        (
            r#"db_query_latency_seconds_bucket{operation="write",le="+Inf"}"#,
            1.0,
        ),
        (
            r#"redis_requests_total{operation="get",status="success"}"#,
            4.0,
        ),
        (r#"redis_latency_seconds_count{operation="set"}"#, 1.0),
        ("redis_cache_hit_ratio", 0.75),
        (
            r#"s3_requests_total{operation="put",status="success"}"#,
            1.0,
        ),
        (r#"s3_latency_seconds_count{operation="get"}"#, 1.0),
        (r#"s3_bytes_transferred_total{direction="upload"}"#, 5.0),
        (r#"s3_bytes_transferred_total{direction="download"}"#, 5.0),
        (
            r#"http_server_request_duration_seconds_count{route="/cache/{operation}",method="POST",status="200"}"#,
            5.0,
        ),
        (
            r#"http_server_request_duration_seconds_count{route="/objects/{*key}",method="PUT",status="200"}"#,
            1.0,
        ),
    ] {
        assert_metric(&world, line, value).await;
    }
}

#[tokio::test]
async fn the_gauges_of_a_healthy_system_say_so_and_an_absent_dependency_has_no_score() {
    let world = World::healthy().await;
    for (line, value) in [
        ("degradation_level", 1.0),
        (r#"degradation_level_info{level="OPTIMAL"}"#, 1.0),
        (r#"degradation_level_info{level="EMERGENCY"}"#, 0.0),
        ("system_health_score", 100.0),
        (
            r#"component_health_score{component_name="database"}"#,
            100.0,
        ),
        ("redis_health_score", 100.0),
        ("s3_health_score", 100.0),
        ("db_breaker_state", 0.0),
        ("openai_breaker_state", 0.0),
        ("redis_circuit_breaker_state", 0.0),
        ("s3_circuit_breaker_state", 0.0),
        (r#"circuit_breaker_state{endpoint="redis"}"#, 0.0),
        ("db_write_mode", 1.0),
        ("journal_entries", 0.0),
        ("journal_bytes", 0.0),
        ("journal_oldest_seconds", 0.0),
        (r#"feature_mode{feature="redis_cache"}"#, 3.0),
        (r#"component_limit_factor{component_name="redis"}"#, 1.0),
        (r#"component_back_probability{component_name="redis"}"#, 1.0),
        ("failing_together", 0.0),
        ("redis_keys_to_reconcile", 0.0),
        ("recording_dropped_total", 0.0),
        ("recording_removed_total", 0.0),
        (r#"in_flight_limit{endpoint="database",calls="all"}"#, 20.0),
        (
            r#"in_flight_limit{endpoint="database",calls="instead_of"}"#,
            10.0,
        ),
        (
            r#"instead_of_calls_total{endpoint="database",status="refused"}"#,
            0.0,
        ),
        (r#"single_flight_joined_total{dependency="redis"}"#, 0.0),
    ] {
        assert_metric(&world, line, value).await;
    }
    let absent = r#"component_health_score{component_name="openai"}"#;
    assert_eq!(world.metric(absent).await, None);
    assert!(world.metric("db_connection_pool_size").await.is_some());
    assert!(world.metric("redis_connection_pool_size").await.is_some());
    let process = world.metric("process_resident_memory_bytes").await;
    assert!(process.is_some_and(|bytes| bytes > 1e6), "{process:?}");
}

#[tokio::test]
async fn what_the_disk_does_not_take_of_a_recording_is_counted() {
    let world = World::planned(Plan {
        record: true,
        ..Plan::default()
    })
    .await;
    let folder = mainstay_runtime::recordings::folder(world.folder.path());
    eventually(SOON, "a recording is being written", async || {
        folder.exists()
    })
    .await;
    assert_metric(&world, "recording_dropped_total", 0.0).await;
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in its place").unwrap();
    // The recording that is being made ends with it, and no other can begin.
    let purged = world.post("/admin/purge/recordings", json!({})).await;
    assert!(purged.status.is_server_error(), "{purged:?}");
    eventually(SOON, "the loss is counted", async || {
        let dropped = world.metric("recording_dropped_total").await;
        dropped.is_some_and(|count| count >= 1.0)
    })
    .await;
}

#[tokio::test]
async fn a_method_that_a_client_invents_is_no_label() {
    let world = World::healthy().await;
    for (method, path) in [("BREW", "/livez"), ("BREWED", "/nowhere")] {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(axum::body::Body::empty()).unwrap();
        assert!(world.send(request).await.status.is_client_error());
    }
    let scrape = world.get("/metrics").await;
    let counted = r#"http_server_request_duration_seconds_count{route="/livez",method="other""#;
    assert!(scrape.text().contains(counted), "{}", scrape.text());
    assert!(!scrape.text().contains("BREW"), "{}", scrape.text());
}

#[tokio::test]
async fn an_outage_and_its_end_move_every_metric_that_tells_of_it() {
    let world = World::healthy().await;
    world.put("/objects/kept", "12345").await;
    for dependency in ["redis", "s3"] {
        let path = format!("/admin/breakers/{dependency}/forced_open");
        world.post(&path, json!({})).await;
    }
    world.level(Level::Limited).await;
    world.post("/cache/get", json!({"key": "k"})).await;
    world.put("/objects/a", "12345").await;
    for (line, value) in [
        ("degradation_level", 3.0),
        (r#"degradation_level_info{level="LIMITED"}"#, 1.0),
        (r#"degradation_level_info{level="OPTIMAL"}"#, 0.0),
        ("redis_circuit_breaker_state", 1.0),
        (r#"circuit_breaker_state{endpoint="s3"}"#, 1.0),
        (
            r#"circuit_breaker_rejections_total{dependency="redis"}"#,
            1.0,
        ),
        (
            r#"circuit_breaker_fallback_calls_total{dependency="s3",source="journal"}"#,
            1.0,
        ),
        (
            r#"s3_requests_total{operation="put",status="fallback"}"#,
            1.0,
        ),
        ("journal_entries", 1.0),
        (r#"feature_mode{feature="redis_cache"}"#, 1.0),
        (r#"feature_mode{feature="realtime_updates"}"#, 0.0),
        (r#"feature_mode{feature="s3_uploads"}"#, 1.0),
        (r#"failing_together"#, 2.0),
    ] {
        assert_metric(&world, line, value).await;
    }
    assert!(
        world
            .metric("journal_bytes")
            .await
            .is_some_and(|bytes| bytes >= 5.0)
    );
    let exercised = r#"fallback_last_exercised_seconds{dependency="s3"}"#;
    let first = world.metric(exercised).await.unwrap();
    eventually(SOON, "the age of the last exercise grows", async || {
        world.metric(exercised).await.unwrap() > first + 0.5
    })
    .await;
    // Both of its fallbacks: the gauge is that of the more neglected one.
    let copy = world.get("/objects/kept").await;
    assert_eq!(copy.header("mainstay-source"), Some("cache"), "{copy:?}");
    world.put("/objects/b", "12345").await;
    let since_use = world.metric(exercised).await.unwrap();
    assert!(since_use < first + 0.5, "{since_use}, and {first} before");

    for dependency in ["redis", "s3"] {
        let path = format!("/admin/breakers/{dependency}/reset");
        world
            .post(&format!("/admin/breakers/{dependency}/auto"), json!({}))
            .await;
        world.post(&path, json!({})).await;
    }
    world.level(Level::Optimal).await;
    assert_metric(&world, "degradation_level", 1.0).await;
    assert_metric(&world, "recovery_time_seconds_count", 1.0).await;
    let down = r#"degradation_transitions_total{from_level="DEGRADED",to_level="OPTIMAL"}"#;
    assert!(world.metric(down).await.is_some_and(|n| n >= 1.0));
    assert_metric(&world, "failing_together", 0.0).await;
    eventually(SOON, "the journal has drained", async || {
        world.metric("journal_entries").await == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn failures_and_their_kinds_are_counted_for_each_dependency() {
    let world = World::unreachable().await;
    world.post("/cache/get", json!({"key": "k"})).await;
    world.get("/objects/a").await;
    world.post("/db/read", json!({"query": "select 1"})).await;
    let chat = json!({"messages": [{"role": "user", "content": "hola"}]});
    for _ in 0..8 {
        world.post("/ai/chat", chat.clone()).await;
    }
    let all = world.get("/metrics").await;
    let text = all.text();
    for start in [
        r#"circuit_breaker_failures_total{dependency="openai",kind="connect"}"#,
        r#"openai_api_calls_total{operation="chat",status="failure"}"#,
        r#"openai_api_latency_seconds_count{operation="chat"}"#,
        r#"db_queries_total{operation="read""#,
        r#"redis_requests_total{operation="get""#,
        r#"s3_requests_total{operation="get""#,
    ] {
        let sample = text.lines().find(|l| l.starts_with(start));
        let value = sample.and_then(|l| l.rsplit(' ').next()?.parse::<f64>().ok());
        assert!(value.is_some_and(|v| v >= 1.0), "{start}: {text}");
    }
    eventually(SOON, "errors of redis and s3 are counted", async || {
        world.post("/cache/get", json!({"key": "k"})).await;
        world.get("/objects/a").await;
        let text = world.get("/metrics").await;
        let has = |name: &str| text.text().lines().any(|l| l.starts_with(name));
        has(r#"redis_errors_total{operation="get",error_type="#)
            && has(r#"s3_errors_total{operation="get",error_type="#)
    })
    .await;
    let names = world.get("/metrics").await;
    let labels = ["hunter2", "127.0.0.1"];
    assert!(labels.iter().all(|text| !names.text().contains(text)));
}
