//! Events of the controller as data that can leave the process: names instead of indices, no moments.

use mainstay_degradation::{DependencyId, Event, Rules};
use serde_json::{Value, json};

/// The event's own facts.
pub(crate) fn of(event: &Event, rules: &Rules) -> Value {
    match event {
        Event::FirstRoundOver { score, level } => json!({"score": score, "level": level.as_str()}),
        Event::LevelChanged {
            from,
            to,
            target,
            score,
            ..
        } => json!({
            "from": from.as_str(),
            "to": to.as_str(),
            "target": target.as_str(),
            "score": score,
        }),
        Event::Recovered { took } => json!({"took_seconds": took.as_secs_f64()}),
        Event::Breaker {
            endpoint,
            transition,
        } => json!({
            "endpoint": rules.endpoint(*endpoint).name,
            "from": transition.from.as_str(),
            "to": transition.to.as_str(),
            "rule": transition.rule.map(|r| r.as_str()),
            "failure": transition.kind.map(|k| k.as_str()),
        }),
        Event::ModeChanged { endpoint, from, to } => json!({
            "endpoint": rules.endpoint(*endpoint).name,
            "from": from.as_str(),
            "to": to.as_str(),
        }),
        Event::ProbesFailed { endpoint, kind } => json!({
            "endpoint": rules.endpoint(*endpoint).name,
            "failure": kind.as_str(),
        }),
        Event::ProbesPassed { endpoint } => json!({"endpoint": rules.endpoint(*endpoint).name}),
        Event::DependencyDown { dependency } => {
            json!({"dependency": rules.dependency(*dependency).name})
        }
        Event::DependencyUp { dependency, outage } => json!({
            "dependency": rules.dependency(*dependency).name,
            "outage_seconds": outage.as_secs_f64(),
        }),
        Event::FailingTogether { dependencies } => {
            json!({"dependencies": names(dependencies, rules)})
        }
        Event::FailingInTurn { repeating } => json!({
            "sequence": names(&repeating.sequence, rules),
            "repeats": repeating.repeats,
            "next": rules.dependency(repeating.next).name,
        }),
        Event::HealthChanged { dependency, change } => json!({
            "dependency": rules.dependency(*dependency).name,
            "from": change.from.as_str(),
            "to": change.to.as_str(),
            "score": change.score,
        }),
        Event::Pinned { level, .. } => json!({"level": level.as_str()}),
        Event::Unpinned { expired } => json!({"expired": expired}),
        Event::KnobSet { feature, mode, .. } => json!({
            "feature": rules.feature(*feature).name,
            "mode": mode.as_str(),
        }),
        Event::KnobCleared { feature, expired } => json!({
            "feature": rules.feature(*feature).name,
            "expired": expired,
        }),
        Event::Refused { what, index } => json!({"what": what, "index": index}),
        Event::SettingsChanged => Value::Null,
        Event::AlertRaised(alert) | Event::AlertOver(alert) => json!({
            "alert": alert.kind(),
            "dependency": alert.dependency().map(|id| &rules.dependency(id).name),
        }),
    }
}

fn names<'a>(list: &[DependencyId], rules: &'a Rules) -> Vec<&'a str> {
    let name = |id: &DependencyId| rules.dependency(*id).name.as_str();
    list.iter().map(name).collect()
}
