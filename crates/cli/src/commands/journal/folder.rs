//! A journal that no server has, opened in its folder.

use mainstay_journal::{EntryId, Filter, Journal, State};

use super::access::{Change, Damaged, Figures, Item, Verified};
use crate::cli::EntryState;
use crate::commands::Failure;

/// The journal in a folder; `None` where nothing was ever accepted.
pub(super) struct Folder(Option<Journal>);

impl Folder {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) const fn of(journal: Journal) -> Self {
        Self(Some(journal))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|journal| journal.stats().entries == 0)
    }

    pub(super) async fn close(&self) -> Result<(), Failure> {
        match &self.0 {
            Some(journal) => journal.close().await.map_err(failed),
            None => Ok(()),
        }
    }

    pub(super) fn list(
        &self,
        state: Option<EntryState>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<(Vec<Item>, Figures), Failure> {
        let Some(journal) = &self.0 else {
            return Ok(Default::default());
        };
        let filter = Filter {
            state: state.map(in_journal),
            ..Filter::default()
        };
        let after = after.map(number).transpose()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let entries = journal.entries(&filter, after, limit);
        let stats = journal.stats();
        let figures = Figures {
            entries: stats.entries,
            bytes: stats.bytes,
            set_aside: stats.set_aside,
            faulted: stats.faulted,
        };
        Ok((entries.into_iter().map(Item::from).collect(), figures))
    }

    pub(super) async fn change(&self, change: Change, id: u64) -> Result<(), Failure> {
        let Some(journal) = &self.0 else {
            return Err(super::unknown(id));
        };
        let id = number(id)?;
        let changed = match change {
            Change::Retry => mainstay_s3::retry(journal, id).await,
            Change::Discard => mainstay_s3::discard(journal, id).await,
        };
        changed.map_err(failed)
    }

    pub(super) async fn verify(
        &self,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<Verified, Failure> {
        let Some(journal) = &self.0 else {
            return Ok(Verified::default());
        };
        let report = journal
            .verify(|at| progress(at.checked, at.entries))
            .await
            .map_err(failed)?;
        let damaged = report.damaged.into_iter().map(|one| Damaged {
            id: one.id.to_string(),
            reason: one.reason,
        });
        Ok(Verified {
            checked: report.checked,
            bytes: report.bytes,
            damaged: damaged.collect(),
        })
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Run(error.to_string())
}

fn number(id: u64) -> Result<EntryId, Failure> {
    id.to_string().parse().map_err(|_| super::unknown(id))
}

fn in_journal(state: EntryState) -> State {
    match state {
        EntryState::Queued => State::Queued,
        EntryState::InFlight => State::InFlight,
        EntryState::SetAside => State::SetAside,
    }
}
