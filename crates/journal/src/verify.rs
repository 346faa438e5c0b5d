//! Checking every body against its checksum.

use futures_util::TryStreamExt;

use crate::entry::{EntryId, Filter};
use crate::{Journal, ReadError};

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Entries looked at.
    pub checked: u64,
    /// Entries there were at the start.
    pub entries: u64,
    /// Bytes of bodies read.
    pub bytes: u64,
}

/// A body that isn't what was accepted, or can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its entry.
    pub id: EntryId,
    /// What is wrong.
    pub reason: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Entries looked at.
    pub checked: u64,
    /// Bytes of bodies read.
    pub bytes: u64,
    /// The damaged bodies.
    pub damaged: Vec<Damage>,
}

impl Journal {
    /// Reads every body and compares it with its checksum; changes nothing. Entries that are completed meanwhile are
    /// skipped. `progress` is called after each entry.
    ///
    /// # Errors
    /// [`ReadError::Closed`] when the journal is closed. Damage isn't an error but in the report.
    pub async fn verify(
        &self,
        mut progress: impl FnMut(VerifyProgress) + Send,
    ) -> Result<VerifyReport, ReadError> {
        let (entries, mut after) = (self.stats().entries, None);
        let mut report = VerifyReport::default();
        loop {
            let page = self.entries(&Filter::default(), after, 256);
            let Some(last) = page.last() else {
                return Ok(report);
            };
            after = Some(last.id);
            for entry in page {
                if entry.body.is_some() {
                    self.verify_body(entry.id, &mut report).await?;
                }
                report.checked += 1;
                let (checked, bytes) = (report.checked, report.bytes);
                progress(VerifyProgress {
                    checked,
                    entries,
                    bytes,
                });
            }
        }
    }

    async fn verify_body(&self, id: EntryId, report: &mut VerifyReport) -> Result<(), ReadError> {
        match self.read_through(id, &mut report.bytes).await {
            Ok(()) | Err(ReadError::Unknown(_)) => {}
            Err(ReadError::Closed) => return Err(ReadError::Closed),
            Err(error) => report.damaged.push(Damage {
                id,
                reason: error.to_string(),
            }),
        }
        Ok(())
    }

    async fn read_through(&self, id: EntryId, bytes: &mut u64) -> Result<(), ReadError> {
        let mut body = self.body(id).await?;
        while let Some(chunk) = body.try_next().await? {
            *bytes += chunk.len() as u64;
        }
        Ok(())
    }
}
