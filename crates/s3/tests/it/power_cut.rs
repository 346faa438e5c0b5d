//! The power goes after the folder of objects has answered: what it said is so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use mainstay_s3::{Upload, contract};
use mainstay_testkit::{PowerCut, Program};

use crate::world::World;

/// Tells a child of this test binary that it is one.
const CHILD: &str = "MAINSTAY_S3_CHILD";
/// Disks that the power cut may leave.
const DISKS: u64 = 20;

/// Not a test by itself: what the other one records.
#[tokio::test]
async fn child_stores_and_deletes_in_a_folder() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let world = World::embedded().await;
    for key in ["a/stays", "a/gone"] {
        let upload = Upload {
            content_type: Some("text/plain".into()),
            ..Upload::default()
        };
        let content = Bytes::from_static(b"content");
        contract::put_with(&world.objects, key, &content, upload)
            .await
            .unwrap();
    }
    world.delete("a/gone").await.unwrap();
    println!("is done");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn deletes_and_content_types_of_the_folder_outlast_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let root = root.canonicalize().unwrap();
    let power = PowerCut::build(folder.path());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "power_cut::child_stores_and_deletes_in_a_folder"])
        .arg("--nocapture")
        .env(CHILD, "")
        // Its data goes below the root.
        .env("TMPDIR", &root);
    power.record(&mut child, &root);
    let child = Program::start(child).unwrap();
    let patience = Duration::from_secs(60);
    child.line_with(patience, "is done").await.unwrap();
    child.kill().await;
    let recording = power.recording();
    for seed in 0..DISKS {
        let disk = tempfile::tempdir().unwrap();
        recording.cut(recording.len(), seed, true, disk.path());
        let files = files(disk.path());
        let content = |name: &str| {
            let file = files.iter().find(|file| file.ends_with(name))?;
            std::fs::read_to_string(file).ok()
        };
        let found = ["objects/a/stays", "object-types/a/stays"].map(content);
        let stored = ["content", "text/plain"].map(|text| Some(text.to_owned()));
        assert_eq!(found, stored, "disk {seed}");
        let found = ["objects/a/gone", "object-types/a/gone"].map(content);
        assert_eq!(found, [None, None], "disk {seed}");
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let paths = entries.map(|entry| entry.expect("it is listed").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
