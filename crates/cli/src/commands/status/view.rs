//! One picture of a running server: level, components, breakers, features that aren't on.

use super::reply::{Component, Endpoint, Feature, Status, Why};
use crate::output::{Screen, Text, Tone};

pub(super) fn draw(screen: Screen, status: &Status, why: &Why) -> String {
    let mut parts = vec![
        head(screen, status),
        components(screen, &status.components),
        breakers(screen, &status.components),
    ];
    parts.push(features(screen, status, &why.features));
    if status.journal.entries > 0 {
        parts.push(format!(
            "journal: {} entries, {} bytes wait for their dependency",
            status.journal.entries, status.journal.bytes
        ));
    }
    parts.extend(outlook(screen, why));
    parts.join("\n\n")
}

/// What may come and who was told, one line each.
fn outlook(screen: Screen, why: &Why) -> Option<String> {
    let told = |kind: &str, words: &[String], tone: Tone| -> Vec<String> {
        words
            .iter()
            .map(|words| screen.paint(&format!("{kind}: {words}"), tone))
            .collect()
    };
    let lines = [
        told("alert", &why.alerts, Tone::Bad),
        told("warning", &why.warnings, Tone::Warning),
        told("pattern", &why.patterns, Tone::Dim),
        told("outlook", &why.predictions, Tone::Dim),
    ]
    .concat();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn head(screen: Screen, status: &Status) -> String {
    let mut lines = vec![format!(
        "{}  score {:.1}  since {}  {}",
        screen.paint(&status.level, level_tone(&status.level)),
        status.score,
        status
            .level_since
            .split('.')
            .next()
            .unwrap_or_default()
            .trim_end_matches('Z')
            .replace('T', " "),
        screen.paint(&format!("mainstay {}", status.version), Tone::Dim),
    )];
    if !status.started {
        lines.push("the first probe round is not over yet".to_owned());
    }
    if status.target != status.level {
        let held = status.held_by.as_deref().unwrap_or("no reason given");
        lines.push(format!("target {}, held by {held}", status.target));
    }
    lines.extend(status.causes.iter().map(|cause| format!("cause: {cause}")));
    lines.extend(
        status
            .next_level_up
            .iter()
            .map(|next| format!("next level up: {next}")),
    );
    lines.join("\n")
}

fn components(screen: Screen, components: &[Component]) -> String {
    let rows = components.iter().map(|one| {
        let figure = |text: Option<String>| Text::from(text.unwrap_or_else(|| "-".to_owned()));
        let trend = one.health_score.map(|_| one.trend.clone());
        let kind = if one.embedded { "embedded" } else { "" };
        [
            one.service.as_str().into(),
            Text(one.status.clone(), status_tone(&one.status)),
            figure(one.health_score.map(|score| format!("{score:.1}"))),
            figure(trend),
            figure(
                one.success_rate
                    .map(|rate| format!("{:.1} %", rate * 100.0)),
            ),
            figure(one.p95_ms.map(|p95| format!("{p95:.1} ms"))),
            kind.into(),
        ]
    });
    screen.table(
        [
            "component",
            "status",
            "score",
            "trend",
            "success",
            "p95",
            "",
        ],
        rows.collect(),
    )
}

fn breakers(screen: Screen, components: &[Component]) -> String {
    let rows = components.iter().flat_map(|one| &one.endpoints).map(|one| {
        let failures = match one.fail_max {
            Some(most) => format!("{} of {most}", one.failures_in_row),
            None => one.failures_in_row.to_string(),
        };
        [
            one.endpoint.as_str().into(),
            Text(one.state.clone(), state_tone(&one.state)),
            one.mode.as_str().into(),
            failures.into(),
            opened(one).into(),
        ]
    });
    screen.table(
        ["breaker", "state", "mode", "failures", "opened"],
        rows.collect(),
    )
}

fn opened(endpoint: &Endpoint) -> String {
    if endpoint.state == "closed" {
        return String::new();
    }
    let by = endpoint
        .opened_by
        .as_ref()
        .map(|rule| format!("by rule {rule}"))
        .unwrap_or_default();
    match endpoint.retry_in_seconds {
        Some(seconds) if seconds > 0.0 => format!("{by}, tries again in {seconds:.0} s"),
        _ => by,
    }
}

fn features(screen: Screen, status: &Status, lesser: &[Feature]) -> String {
    let on = status
        .features
        .values()
        .filter(|mode| *mode == "on")
        .count();
    if lesser.is_empty() {
        return format!("all {on} features are on");
    }
    let rows = lesser.iter().map(|one| {
        let tone = if one.mode == "off" {
            Tone::Bad
        } else {
            Tone::Warning
        };
        [
            one.feature.as_str().into(),
            Text(one.mode.clone(), tone),
            one.reason.as_str().into(),
        ]
    });
    let table = screen.table(["feature", "mode", "why"], rows.collect());
    format!("{table}\n{on} more features are on")
}

fn level_tone(level: &str) -> Tone {
    match level {
        "OPTIMAL" => Tone::Good,
        "DEGRADED" | "LIMITED" => Tone::Warning,
        _ => Tone::Bad,
    }
}

fn status_tone(status: &str) -> Tone {
    match status {
        "healthy" => Tone::Good,
        "degraded" | "unknown" => Tone::Warning,
        "absent" => Tone::Dim,
        _ => Tone::Bad,
    }
}

fn state_tone(state: &str) -> Tone {
    match state {
        "closed" => Tone::Good,
        "half_open" => Tone::Warning,
        _ => Tone::Bad,
    }
}

#[cfg(test)]
mod tests;
