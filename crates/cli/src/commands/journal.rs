//! `mainstay journal`.

mod access;
mod folder;
mod remote;
mod view;

use std::process::ExitCode;

use super::{Failure, Surroundings};
use crate::cli::{EntryState, JournalArguments, JournalCommand};
use crate::output::{Bar, print};
use access::{Access, Change};

pub(super) async fn run(
    around: &Surroundings,
    arguments: &JournalArguments,
) -> Result<ExitCode, Failure> {
    let access = Access::open(around, arguments).await?;
    let done = command(around, &access, &arguments.command).await;
    access.close().await?;
    done
}

async fn command(
    around: &Surroundings,
    access: &Access,
    command: &JournalCommand,
) -> Result<ExitCode, Failure> {
    let screen = around.screen;
    match command {
        JournalCommand::Ls { state, limit } => {
            let (items, figures) = access.list(*state, None, *limit).await?;
            print(&view::list(screen, &items, &figures, state.is_some()))?;
        }
        JournalCommand::Show { id } => {
            let before = id.checked_sub(1).ok_or_else(|| unknown(*id))?;
            let (items, _) = access.list(None, Some(before), 1).await?;
            let item = items.into_iter().find(|item| item.id == id.to_string());
            print(&view::one(screen, &item.ok_or_else(|| unknown(*id))?))?;
        }
        JournalCommand::Retry { all: true, .. } => retry_all(access).await?,
        JournalCommand::Retry { ids, .. } => change(access, Change::Retry, ids).await?,
        JournalCommand::Discard { ids } => change(access, Change::Discard, ids).await?,
        JournalCommand::Flush => return flush(access).await,
        JournalCommand::Verify => return verify(around, access).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown(id: u64) -> Failure {
    Failure::Run(format!(
        "no journal entry {id}; `mainstay journal ls` lists them"
    ))
}

async fn change(access: &Access, change: Change, ids: &[u64]) -> Result<(), Failure> {
    for id in ids {
        access.change(change, *id).await?;
        match change {
            Change::Retry => eprintln!("Entry {id} is queued again."),
            Change::Discard => eprintln!("Entry {id} is gone."),
        }
    }
    Ok(())
}

/// Puts all back that are set aside now; one that somebody else has dealt with meanwhile is no mistake.
async fn retry_all(access: &Access) -> Result<(), Failure> {
    let ids = set_aside(access).await?;
    let bar = Bar::new("queued again");
    let (mut queued, mut failed) = (0, None);
    for (done, id) in (1..).zip(&ids) {
        match access.change(Change::Retry, *id).await {
            Ok(()) => queued += 1,
            Err(failure) => failed = Some(failure),
        }
        bar.at(done, ids.len() as u64);
    }
    bar.clear();
    print(&format!("{} queued again", view::entries(queued)))?;
    match failed {
        Some(failure) if !set_aside(access).await?.is_empty() => Err(failure),
        _ => Ok(()),
    }
}

async fn set_aside(access: &Access) -> Result<Vec<u64>, Failure> {
    let state = Some(EntryState::SetAside);
    let (items, _) = access.list(state, None, u64::MAX).await?;
    Ok(items
        .iter()
        .filter_map(|item| item.id.parse().ok())
        .collect())
}

async fn flush(access: &Access) -> Result<ExitCode, Failure> {
    let bar = Bar::new("carried out");
    let flushed = access.flush(|done, of| bar.at(done, of)).await;
    bar.clear();
    let (before, after) = flushed?;
    let waiting = after.entries.saturating_sub(after.set_aside);
    print(&format!(
        "{} carried out",
        view::entries(before.entries.saturating_sub(after.entries))
    ))?;
    if after.set_aside > 0 {
        print(&format!(
            "{} set aside: `mainstay journal ls --state set-aside`",
            view::entries(after.set_aside)
        ))?;
    }
    if waiting == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!(
        "{} still waiting: `mainstay status` says whether the store can be reached and when its circuit breaker tries it; POST /admin/breakers/s3/reset tries it at once",
        view::entries(waiting)
    ))?;
    Ok(ExitCode::from(1))
}

async fn verify(around: &Surroundings, access: &Access) -> Result<ExitCode, Failure> {
    let bar = Bar::new("compared");
    let verified = access.verify(|done, of| bar.at(done, of)).await;
    bar.clear();
    let found = verified?;
    print(&view::verified(around.screen, &found))?;
    Ok(if found.damaged.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
