use serde_json::json;

use super::*;

fn picture(status: serde_json::Value, why: serde_json::Value) -> String {
    let screen = Screen::stdout(&[("NO_COLOR".to_owned(), "1".to_owned())]);
    draw(
        screen,
        &serde_json::from_value(status).unwrap(),
        &serde_json::from_value(why).unwrap(),
    )
}

#[test]
fn an_outage_is_drawn_with_its_cause_and_what_it_takes() {
    let absent = json!({
        "service": "openai", "status": "absent", "embedded": false, "health_score": null, "trend": "stable",
        "success_rate": null, "p95_ms": null, "endpoints": []
    });
    let endpoint = json!({
        "endpoint": "redis", "state": "open", "mode": "auto", "failures_in_row": 5, "fail_max": 5,
        "opened_by": "consecutive", "retry_in_seconds": 12.4
    });
    let redis = json!({
        "service": "redis", "status": "down", "embedded": false, "health_score": 12.5, "trend": "declining",
        "success_rate": 0.25, "p95_ms": 250.0, "endpoints": [endpoint]
    });
    let status = json!({
        "level": "DEGRADED", "target": "DEGRADED", "score": 84.2, "level_since": "2026-01-02T03:04:05.123Z",
        "held_by": null, "causes": ["redis is down"], "next_level_up": "redis comes back", "started": true,
        "components": [redis, absent], "features": {"redis_cache": "fallback", "status_page": "on"},
        "journal": {"entries": 2, "bytes": 1024}, "version": "0.1.0"
    });
    let why = json!({
        "features": [{"feature": "redis_cache", "mode": "fallback", "reason": "redis is a live cause"}],
        "warnings": [], "patterns": ["redis fails most: 2 of the last failures"],
        "predictions": ["redis: probably back within 5 s"], "alerts": []
    });
    let expected = "\
DEGRADED  score 84.2  since 2026-01-02 03:04:05  mainstay 0.1.0
cause: redis is down
next level up: redis comes back

COMPONENT  STATUS  SCORE  TREND      SUCCESS  P95
redis      down    12.5   declining  25.0 %   250.0 ms
openai     absent  -      -          -        -

BREAKER  STATE  MODE  FAILURES  OPENED
redis    open   auto  5 of 5    by rule consecutive, tries again in 12 s

FEATURE      MODE      WHY
redis_cache  fallback  redis is a live cause
1 more features are on

journal: 2 entries, 1024 bytes wait for their dependency

pattern: redis fails most: 2 of the last failures
outlook: redis: probably back within 5 s";
    assert_eq!(picture(status, why), expected);
}
