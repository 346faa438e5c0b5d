//! Stories side by side: time in each level, features off, transitions, detection and recovery.

use std::time::Duration;

use mainstay_degradation::Level;
use mainstay_simulator::Summary;

use super::table::tone;
use super::{Told, clock};
use crate::output::{Screen, Text, Tone};

/// The figures of one story, or of two with what the second one changes.
pub(crate) fn compare(screen: Screen, one: &Told, other: Option<&Told>) -> String {
    let (ours, theirs) = (&one.story.summary, other.map(|told| &told.story.summary));
    let mut rows = Vec::new();
    for level in Level::ALL {
        let at = |summary: &Summary| summary.time_at[level.index()];
        let name = Text(format!("time at {level}"), tone(level));
        rows.push(spans(name, at(ours), theirs.map(at)));
    }
    rows.push(counts(
        "level changes",
        ours.transitions,
        theirs.map(|it| it.transitions),
    ));
    rows.push(counts(
        "breakers opened",
        ours.openings,
        theirs.map(|it| it.openings),
    ));
    rows.push(counts(
        "times away from OPTIMAL",
        ours.away.len(),
        theirs.map(|it| it.away.len()),
    ));
    rows.push(maybe_spans(
        "first failure to change of level, at most (mean)",
        ours.detection(),
        theirs.map(Summary::detection),
    ));
    rows.push(maybe_spans(
        "last failure seen to OPTIMAL again (mean)",
        ours.recovery(),
        theirs.map(Summary::recovery),
    ));
    features(&mut rows, ours, theirs);
    match other {
        None => {
            let rows = rows.into_iter().map(|[name, one, _, _]| [name, one]);
            screen.table(["figure", &one.name], rows.collect())
        }
        Some(other) => screen.table(["figure", &one.name, &other.name, "difference"], rows),
    }
}

type Row = [Text; 4];

fn features(rows: &mut Vec<Row>, ours: &Summary, theirs: Option<&Summary>) {
    let off = |summary: &Summary, name: &str| {
        let mut all = summary.features_off.iter();
        let found = all.find(|(feature, _)| feature == name);
        found.map_or(Duration::ZERO, |(_, off)| *off)
    };
    let more = theirs.iter().flat_map(|summary| &summary.features_off);
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in ours.features_off.iter().chain(more) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let other = theirs.map(|summary| off(summary, name));
        rows.push(spans(format!("{name} off").into(), off(ours, name), other));
    }
}

fn counts(name: &str, one: usize, other: Option<usize>) -> Row {
    let difference = other.map_or(String::new(), |other| match other.cmp(&one) {
        std::cmp::Ordering::Equal => "=".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", other - one),
        std::cmp::Ordering::Less => format!("-{}", one - other),
    });
    [
        name.into(),
        one.to_string().into(),
        other
            .map_or(String::new(), |other| other.to_string())
            .into(),
        difference.into(),
    ]
}

fn spans(name: Text, one: Duration, other: Option<Duration>) -> Row {
    let difference = other.map_or(Text::from(""), |other| difference(one, other));
    let other = other.map_or(String::new(), precise);
    [name, precise(one).into(), other.into(), difference]
}

fn maybe_spans(name: &str, one: Option<Duration>, other: Option<Option<Duration>>) -> Row {
    let shown = |span: Option<Duration>| span.map_or("-".to_owned(), precise);
    let difference = match (one, other.flatten()) {
        (Some(one), Some(other)) => difference(one, other),
        _ => "".into(),
    };
    [
        name.into(),
        shown(one).into(),
        other.map_or(String::new(), shown).into(),
        difference,
    ]
}

fn difference(one: Duration, other: Duration) -> Text {
    match other.cmp(&one) {
        std::cmp::Ordering::Equal => Text("=".to_owned(), Tone::Dim),
        std::cmp::Ordering::Greater => format!("+{}", precise(other - one)).into(),
        std::cmp::Ordering::Less => format!("-{}", precise(one - other)).into(),
    }
}

/// Below a minute with its tenths.
fn precise(span: Duration) -> String {
    if span < Duration::from_secs(60) {
        format!("{:.1} s", span.as_secs_f64())
    } else {
        clock(span)
    }
}
