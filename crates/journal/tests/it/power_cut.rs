//! The power goes while entries are accepted: below SQLite and files alike, what was not fsynced is lost or torn.

use std::path::Path;

use mainstay_testkit::{PowerCut, Program, Recording};
use tempfile::tempdir;

use crate::crash::{acknowledged, child, journal_of_child};
use crate::support::settings;

/// Moments at which the power goes.
const CUTS: u64 = 40;
/// Acknowledgements recorded.
const ENTRIES: usize = 120;

/// A process that accepts from many tasks, recorded until it is killed.
async fn recorded(folder: &Path) -> Recording {
    let journal = folder.join("journal");
    std::fs::create_dir(&journal).unwrap();
    let journal = journal.canonicalize().unwrap();
    let power = PowerCut::build(folder);
    let mut command = child("crash::child_appends_from_many_tasks", &journal);
    power.record(&mut command, &journal);
    let program = Program::start(command).unwrap();
    let count = || acknowledged(program.stdout().join("\n").as_bytes()).len();
    mainstay_testkit::eventually(
        std::time::Duration::from_secs(60),
        "enough to be acknowledged",
        async || count() >= ENTRIES,
    )
    .await;
    program.kill().await;
    power.recording()
}

/// The moment of a cut: spread over the recording.
fn moment(recording: &Recording, cut: u64) -> usize {
    recording.len() * (cut as usize + 1) / CUTS as usize
}

#[tokio::test]
async fn what_was_acknowledged_before_the_power_went_is_there_when_it_is_back() {
    let folder = tempdir().unwrap();
    let recording = recorded(folder.path()).await;
    let mut most = 0;
    for cut in 0..CUTS {
        let moment = moment(&recording, cut);
        let disk = tempdir().unwrap();
        recording.cut(moment, cut, true, disk.path());
        let before = acknowledged(&recording.said(moment));
        most = most.max(before.len());
        journal_of_child(disk.path(), &before).await;
    }
    assert!(most >= ENTRIES / 2, "only {most} were acknowledged");
}

/// The check can fail: on a disk that lies about fsync the same journal loses what it has acknowledged.
#[tokio::test]
async fn a_disk_that_lies_about_fsync_is_found_out_by_the_same_check() {
    let folder = tempdir().unwrap();
    let recording = recorded(folder.path()).await;
    let mut lost = 0;
    for cut in 0..CUTS {
        let moment = moment(&recording, cut);
        let disk = tempdir().unwrap();
        recording.cut(moment, cut, false, disk.path());
        let before = acknowledged(&recording.said(moment));
        let opened = mainstay_journal::Journal::open(disk.path(), settings()).await;
        let is_there = |id| opened.as_ref().is_ok_and(|j| j.get(id).is_some());
        lost += usize::from(!before.into_iter().all(is_there));
    }
    assert!(lost > 0, "nothing is ever lost: the check checks nothing");
}
