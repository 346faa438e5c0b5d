//! What of a journal people see.

use super::access::{Figures, Item, Verified};
use crate::output::{Screen, Text, Tone};

/// A table of entries, and how many there are besides.
pub(super) fn list(screen: Screen, items: &[Item], all: &Figures, filtered: bool) -> String {
    let mut parts = Vec::new();
    if !items.is_empty() {
        parts.push(table(screen, items));
    }
    let shown = items.len() as u64;
    let more = all.entries.saturating_sub(shown);
    parts.push(match (all.entries, filtered) {
        (0, _) => "the journal is empty: nothing waits".to_owned(),
        (_, true) => format!("{} shown, of {} in all", entries(shown), all.entries),
        (_, false) if more > 0 => format!("and {} more (--limit)", entries(more)),
        (_, false) => format!("{}, {}", entries(shown), bytes(all.bytes)),
    });
    if all.faulted {
        let text = "the journal's storage has failed: it accepts nothing until a restart";
        parts.push(screen.paint(text, Tone::Bad));
    }
    parts.join("\n\n")
}

fn table(screen: Screen, items: &[Item]) -> String {
    let rows = items.iter().map(|item| {
        [
            item.id.as_str().into(),
            item.queue.as_str().into(),
            item.kind.as_str().into(),
            state(item),
            bytes(item.bytes).into(),
            time(&item.accepted_at).into(),
            item.attempts.to_string().into(),
            item.key.as_str().into(),
        ]
    });
    let titles = [
        "id",
        "queue",
        "kind",
        "state",
        "size",
        "accepted (UTC)",
        "attempts",
        "key",
    ];
    screen.table(titles, rows.collect())
}

/// Everything known of one entry, a line each.
pub(super) fn one(screen: Screen, item: &Item) -> String {
    let mut rows: Vec<[Text; 2]> = vec![
        ["id".into(), item.id.as_str().into()],
        ["queue".into(), item.queue.as_str().into()],
        ["key".into(), item.key.as_str().into()],
        ["kind".into(), item.kind.as_str().into()],
        ["state".into(), state(item)],
        ["accepted (UTC)".into(), time(&item.accepted_at).into()],
        ["body".into(), bytes(item.bytes).into()],
    ];
    if let Some(checksum) = &item.checksum {
        rows.push(["BLAKE3".into(), checksum.as_str().into()]);
    }
    rows.push(["failed attempts".into(), item.attempts.to_string().into()]);
    if let Some(error) = &item.last_error {
        rows.push(["last error".into(), error.as_str().into()]);
    }
    screen.table(["entry", ""], rows)
}

/// What `verify` found.
pub(super) fn verified(screen: Screen, found: &Verified) -> String {
    let looked = format!(
        "{} looked at, {} read",
        entries(found.checked),
        bytes(found.bytes)
    );
    if found.damaged.is_empty() {
        return format!("{looked}: {}", screen.paint("all as accepted", Tone::Good));
    }
    let rows = found
        .damaged
        .iter()
        .map(|one| [one.id.as_str().into(), Text(one.reason.clone(), Tone::Bad)]);
    let table = screen.table(["id", "damage"], rows.collect());
    format!("{table}\n\n{looked}: {} damaged", found.damaged.len())
}

pub(super) fn entries(count: u64) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

fn state(item: &Item) -> Text {
    let words = item.state.replace('_', " ");
    let tone = match words.as_str() {
        "set aside" => Tone::Bad,
        "in flight" => Tone::Good,
        _ => Tone::Plain,
    };
    Text(words, tone)
}

fn time(rfc3339: &str) -> String {
    let whole = rfc3339.split('.').next().unwrap_or_default();
    whole.trim_end_matches('Z').replace('T', " ")
}

fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count as f64 / *size as f64),
        None => format!("{count} B"),
    }
}
