//! A journal that a running server has, over its HTTP API.

use std::pin::pin;
use std::time::Duration;

use mainstay_runtime::Clock;
use serde::Deserialize;

use super::access::{Change, Figures, Item, Verified};
use crate::cli::EntryState;
use crate::commands::Failure;
use crate::commands::client::Client;

/// Most entries that the server lists at once.
const PAGE: u64 = 1_000;
/// Between two looks at how far a flush has come.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Listed {
    #[serde(flatten)]
    figures: Figures,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(flatten)]
    found: Verified,
    /// The number to go on from; `None` at the end.
    next: Option<String>,
}

pub(super) async fn list(
    client: &Client,
    state: Option<EntryState>,
    after: Option<u64>,
    limit: u64,
) -> Result<(Vec<Item>, Figures), Failure> {
    let state = state.map_or(String::new(), |state| format!("&state={}", word(state)));
    let mut after = after.map(|id| id.to_string());
    let mut items = Vec::new();
    loop {
        let wanted = PAGE.min(limit.saturating_sub(items.len() as u64));
        let from = after.map_or(String::new(), |id| format!("&after={id}"));
        let path = format!("journal?limit={wanted}{state}{from}");
        let page: Listed = client.get(&path).await?;
        let is_last = (page.items.len() as u64) < wanted;
        items.extend(page.items);
        after = items.last().map(|item| item.id.clone());
        if is_last || items.len() as u64 >= limit {
            return Ok((items, page.figures));
        }
    }
}

pub(super) async fn change(client: &Client, change: Change, id: u64) -> Result<(), Failure> {
    let word = match change {
        Change::Retry => "retry",
        Change::Discard => "discard",
    };
    let _: Figures = client.post(&format!("journal/{id}/{word}")).await?;
    Ok(())
}

/// Asks for a flush until nothing waits any more or one has changed nothing.
pub(super) async fn flush(
    client: &Client,
    progress: impl Fn(u64, u64),
) -> Result<(Figures, Figures), Failure> {
    let before = figures(client).await?;
    let mut last = before;
    loop {
        let now = one_flush(client, before, &progress).await?;
        if now.entries <= now.set_aside || now.entries >= last.entries {
            return Ok((before, now));
        }
        last = now;
    }
}

async fn one_flush(
    client: &Client,
    before: Figures,
    progress: impl Fn(u64, u64),
) -> Result<Figures, Failure> {
    let clock = Clock::start();
    let mut flush = pin!(client.post::<Figures>("journal/flush"));
    loop {
        tokio::select! {
            done = &mut flush => return done,
            () = clock.sleep(LOOK) => {
                let now = figures(client).await?;
                progress(before.entries.saturating_sub(now.entries), before.entries);
            }
        }
    }
}

pub(super) async fn verify(
    client: &Client,
    progress: impl Fn(u64, u64),
) -> Result<Verified, Failure> {
    let all = figures(client).await?.entries;
    let (mut found, mut after) = (Verified::default(), String::new());
    loop {
        let page: Page = client.post(&format!("journal/verify{after}")).await?;
        found.checked += page.found.checked;
        found.bytes += page.found.bytes;
        found.damaged.extend(page.found.damaged);
        progress(found.checked, all.max(found.checked));
        match page.next {
            Some(next) => after = format!("?after={next}"),
            None => return Ok(found),
        }
    }
}

async fn figures(client: &Client) -> Result<Figures, Failure> {
    client.get::<Figures>("journal?limit=1").await
}

fn word(state: EntryState) -> &'static str {
    match state {
        EntryState::Queued => "queued",
        EntryState::InFlight => "in_flight",
        EntryState::SetAside => "set_aside",
    }
}
