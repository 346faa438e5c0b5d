//! A story as a table.

use mainstay_degradation::Level;
use mainstay_simulator::{Fidelity, Happened, Unplayed};

use super::{Told, clock};
use crate::output::{Screen, Text, Tone};

/// What says more about how than about what.
const DETAILS: [&str; 3] = ["health_changed", "probes_failed", "probes_passed"];

/// What happened, line by line; details only if asked for.
pub(crate) fn table(screen: Screen, told: &Told, details: bool) -> String {
    let (hidden, shown): (Vec<_>, Vec<_>) = told
        .story
        .happened
        .iter()
        .partition(|one| !details && DETAILS.contains(&one.kind));
    let mut last = String::new();
    let rows = shown.into_iter().map(|one| {
        let (what, why) = what_and_why(one);
        // The same reason again, a little later, says nothing new.
        let reason: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
        let why = if reason == last { "" } else { why };
        last = reason;
        row(told, one, what, why)
    });
    let table = screen.table(
        ["time", "score", "level", "what happened", "why"],
        rows.collect(),
    );
    let mut parts = vec![head(screen, told), table];
    if !hidden.is_empty() {
        let more = format!("{} details more (--details)", hidden.len());
        parts.push(screen.paint(&more, Tone::Dim));
    }
    parts.join("\n\n")
}

fn head(screen: Screen, told: &Told) -> String {
    let (story, length) = (&told.story, clock(told.story.lasted));
    let began = told.began().map_or(String::new(), |began| {
        format!("from {} (UTC), ", began.strftime("%Y-%m-%d %H:%M:%S"))
    });
    let mut lines = vec![format!(
        "{}: {began}{length} long, by {}",
        told.name, story.program
    )];
    let (words, tone) = reliance(&story.fidelity);
    lines.push(screen.paint(&words, tone));
    if let Some(broken) = &story.broken {
        let words = format!("it ends there because {broken}");
        lines.push(screen.paint(&words, Tone::Warning));
    }
    lines.join("\n")
}

/// How far it can be relied on, in a sentence.
pub(super) fn reliance(fidelity: &Fidelity) -> (String, Tone) {
    match fidelity {
        Fidelity::Exact => (
            "every decision came out as it was recorded".to_owned(),
            Tone::Good,
        ),
        Fidelity::Differs { at } => (
            format!(
                "from {} on this version decides otherwise than the one that recorded",
                clock(*at)
            ),
            Tone::Warning,
        ),
        Fidelity::Recomputed { unplayed } if unplayed.is_empty() => (
            "computed exactly: other rules on exactly what was recorded".to_owned(),
            Tone::Good,
        ),
        Fidelity::Recomputed { unplayed } => (
            format!(
                "computed in part: other rules on the calls and probes that were recorded{}",
                left_out(unplayed)
            ),
            Tone::Warning,
        ),
        Fidelity::Estimated {
            endpoints,
            unplayed,
        } => (
            format!(
                "an estimate: breakers with other settings ({}) go with the recorded ones until they act otherwise, and from there on are judged by each second's counts and by probes{}",
                endpoints.join(", "),
                left_out(unplayed)
            ),
            Tone::Warning,
        ),
    }
}

/// The settings that differ to no effect, by their names in the configuration.
fn left_out(unplayed: &[Unplayed]) -> String {
    let is_untold = |one: &&Unplayed| matches!(one, Unplayed::Untold(_));
    let (untold, told): (Vec<_>, Vec<_>) = unplayed.iter().partition(is_untold);
    let mut words = String::new();
    if !told.is_empty() {
        let keys = keys(&told);
        words += &format!("; {keys} would have made other calls or probes, which is not replayed");
    }
    if !untold.is_empty() {
        let keys = keys(&untold);
        words += &format!("; recordings don't tell {keys}, whose effect is not replayed");
    }
    words
}

fn keys(unplayed: &[&Unplayed]) -> String {
    let keys = unplayed.iter().map(|one| match one {
        Unplayed::Probes(whose) => format!("degradation.probes.{whose}"),
        Unplayed::Tuning => "degradation.tuning".to_owned(),
        Unplayed::Cascade => "degradation.cascade".to_owned(),
        Unplayed::Limit(whose) => format!("{whose}.limit"),
        Unplayed::Ramp(whose) => format!("breakers.{whose}.ramp"),
        Unplayed::Deadline(whose) => match whose.as_str() {
            "s3" => "s3.idle".to_owned(),
            "openai" => "openai.providers.deadline".to_owned(),
            _ => format!("{whose}.call_deadline"),
        },
        Unplayed::Untold(key) => key.clone(),
    });
    let keys: Vec<_> = keys.collect();
    keys.join(", ")
}

/// A change of level brings its own reason, after a colon.
fn what_and_why(one: &Happened) -> (&str, &str) {
    match one.what.split_once(": ") {
        Some(parts) if one.kind == "level_changed" => parts,
        _ => (&one.what, &one.why),
    }
}

fn row(told: &Told, one: &Happened, what: &str, why: &str) -> [Text; 5] {
    let time = told.wall(one.at).map_or_else(
        || format!("{}.{:03}", clock(one.at), one.at.subsec_millis()),
        |wall| wall.strftime("%H:%M:%S.%3f").to_string(),
    );
    [
        Text(time, Tone::Dim),
        format!("{:.1}", one.score).into(),
        Text(one.level.to_string(), tone(one.level)),
        what.into(),
        Text(why.to_owned(), Tone::Dim),
    ]
}

pub(super) fn tone(level: Level) -> Tone {
    match level {
        Level::Optimal => Tone::Good,
        Level::Degraded | Level::Limited => Tone::Warning,
        Level::Minimal | Level::Emergency => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_replayed_is_never_called_exact() {
        let words = |unplayed| reliance(&Fidelity::Recomputed { unplayed }).0;
        assert!(words(Vec::new()).starts_with("computed exactly"));
        let partly = words(vec![Unplayed::Probes("redis".to_owned()), Unplayed::Tuning]);
        assert!(!partly.contains("computed exactly"), "{partly}");
        let keys = "degradation.probes.redis, degradation.tuning would have made other calls or probes, which is not replayed";
        assert!(partly.ends_with(keys), "{partly}");
        let bounds = [Unplayed::Limit, Unplayed::Deadline].map(|kind| kind("s3".to_owned()));
        let untold = ["openai.idle", "s3.first_byte"].map(|key| Unplayed::Untold(key.to_owned()));
        let partly = words(bounds.into_iter().chain(untold).collect());
        let keys = "; s3.limit, s3.idle would have made other calls or probes, which is not replayed; recordings don't \
                    tell openai.idle, s3.first_byte, whose effect is not replayed";
        assert!(partly.ends_with(keys), "{partly}");
        let estimated = reliance(&Fidelity::Estimated {
            endpoints: vec!["redis".to_owned()],
            unplayed: vec![Unplayed::Cascade],
        });
        let key =
            "degradation.cascade would have made other calls or probes, which is not replayed";
        assert!(estimated.0.ends_with(key), "{}", estimated.0);
    }
}
