use super::*;
use index::room;

/// After all that a test does.
const NOW: Asked = Asked(u64::MAX);

fn open(dir: &Path, max_bytes: u64, max_one: u64) -> Copies {
    in_boot(Some("this"), dir, max_bytes, max_one)
}

fn in_boot(boot: Option<&str>, dir: &Path, max_bytes: u64, max_one: u64) -> Copies {
    let boot = boot.map(str::to_owned);
    Copies::open(dir, max_bytes, max_one, boot, Turns::default()).unwrap()
}

fn files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path()).unwrap().count()
}

fn info(key: &str) -> CopyInfo {
    CopyInfo {
        key: key.into(),
        size: 0,
        etag: None,
        content_type: None,
        last_modified: None,
        seen: Timestamp::UNIX_EPOCH,
        blake3: String::new(),
    }
}

fn key(text: &str) -> Key {
    Key::parse("key", text).unwrap()
}

#[tokio::test]
async fn the_least_recently_used_copy_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 2 * room(4), 10);
    copies
        .keep(info("a"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    copies
        .keep(info("b"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    assert!(copies.read(&key("a")).await.is_some());
    copies
        .keep(info("c"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    assert!(copies.read(&key("b")).await.is_none());
    assert!(copies.read(&key("a")).await.is_some());
    assert_eq!(copies.lock().turns(), 2);
}

#[tokio::test]
async fn small_copies_count_as_what_they_take_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 64 << 10, 10);
    for at in 0..20 {
        copies
            .keep(info(&at.to_string()), Bytes::from_static(b"1"), NOW, |_| {
                true
            })
            .await;
    }
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(files, 16, "eight copies of 4 KiB and 4 KiB");
}

#[tokio::test]
async fn copies_survive_a_restart_and_a_damaged_one_is_not_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 100_000, 10);
    copies
        .keep(info("a"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    let again = open(dir.path(), 100_000, 10);
    assert_eq!(again.read(&key("a")).await.unwrap().1, "1234");
    std::fs::write(&again.files("a")[0], "9999").unwrap();
    assert_eq!(again.examine(&key("a")).await, Some(Err(Damaged)));
    assert_eq!(again.examine(&key("a")).await, None, "it was dropped");
    again
        .keep(info("a"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    std::fs::remove_file(&again.files("a")[0]).unwrap();
    assert_eq!(again.examine(&key("a")).await, Some(Err(Damaged)));
}

#[tokio::test]
async fn a_purge_leaves_nothing_for_now_nor_for_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), room(4), 6);
    copies
        .keep(info("a"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    copies.clear().await.unwrap();
    assert!(copies.read(&key("a")).await.is_none());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    copies
        .keep(info("b"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    assert!(copies.read(&key("b")).await.is_some(), "there is room");
}

#[tokio::test]
async fn what_is_too_large_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 100_000, 3);
    copies
        .keep(info("a"), Bytes::from_static(b"1234"), NOW, |_| true)
        .await;
    assert!(copies.info(&key("a")).is_none());
}

#[tokio::test]
async fn a_copy_that_its_reader_leaves_half_kept_is_not_taken_up_later() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 100_000, 10);
    let (body, mut is_kept) = (copies.files("a")[0].clone(), true);
    while is_kept {
        // A slow test may find it done.
        copies.forget(&key("a")).await;
        is_kept = false;
        let content = Bytes::from_static(b"1234");
        let mut keep = Box::pin(copies.keep(info("a"), content, NOW, |_| true));
        let soon = std::time::Duration::from_secs(10);
        mainstay_testkit::eventually(soon, "its files", async || {
            is_kept = !body.exists() && futures_util::poll!(keep.as_mut()).is_ready();
            is_kept || body.exists()
        })
        .await;
    }
    assert!(copies.info(&key("a")).is_none());
    let again = open(dir.path(), 100_000, 10);
    assert!(again.info(&key("a")).is_none());
}

#[tokio::test]
async fn what_is_outdated_while_it_is_kept_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 100_000, 10);
    for looks in 0..3 {
        let looked = std::cell::Cell::new(0);
        let is_current = |_: &str| looked.replace(looked.get() + 1) < looks;
        let content = Bytes::from_static(b"1234");
        assert!(!copies.keep(info("a"), content, NOW, is_current).await);
        assert!(copies.info(&key("a")).is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn copies_of_another_boot_or_of_none_are_not_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    for (made, taken) in [
        (Some("one"), Some("two")),
        (Some("one"), None),
        (None, Some("one")),
        (None, None),
    ] {
        let copies = in_boot(made, dir.path(), 100_000, 10);
        let content = Bytes::from_static(b"1234");
        assert!(copies.keep(info("a"), content, NOW, |_| true).await);
        assert!(copies.read(&key("a")).await.is_some());
        let later = in_boot(taken, dir.path(), 100_000, 10);
        assert!(later.info(&key("a")).is_none(), "{made:?} {taken:?}");
        assert_eq!(files(&dir), 0);
    }
    std::fs::write(dir.path().join("stray.body"), "left by a power cut").unwrap();
    in_boot(Some("one"), dir.path(), 100_000, 10);
    assert_eq!(files(&dir), 0);
}

#[tokio::test]
async fn what_was_asked_before_a_change_of_its_key_had_ended_is_not_kept_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let turns = Turns::default();
    let copies = Copies::open(dir.path(), 100_000, 10, None, turns.clone()).unwrap();
    let keep = async |name: &str, content: &'static str, asked| {
        let content = Bytes::from_static(content.as_bytes());
        copies.keep(info(name), content, asked, |_| true).await
    };
    let before = turns.asked();
    copies.forget(&key("a")).await;
    assert!(!keep("a", "gone", before).await);
    assert!(keep("b", "other", before).await);

    let written = copies.wrote(&key("a"), turns.asked()).unwrap();
    assert!(!keep("a", "old", before).await);
    assert!(keep("a", "new", written).await);
    assert!(!keep("a", "old", before).await);
    assert_eq!(copies.read(&key("a")).await.unwrap().1, "new");

    let one = turns.asked();
    assert!(copies.wrote(&key("a"), turns.asked()).is_some());
    assert!(
        copies.wrote(&key("a"), one).is_none(),
        "they were under way together"
    );
    assert!(!keep("a", "either", written).await);
}

#[tokio::test]
async fn of_two_that_wait_for_their_turn_the_one_asked_for_later_stays() {
    let dir = tempfile::tempdir().unwrap();
    let turns = Turns::default();
    let copies = Copies::open(dir.path(), 100_000, 10, None, turns.clone()).unwrap();
    let keep = |content: &'static [u8], asked| {
        Box::pin(copies.keep(info("a"), Bytes::from_static(content), asked, |_| true))
    };
    let (first, later) = (turns.asked(), turns.asked());
    let (mut old, mut new) = (keep(b"old", first), keep(b"new", later));
    let alone = copies.alone().await;
    assert!(futures_util::poll!(new.as_mut()).is_pending());
    assert!(futures_util::poll!(old.as_mut()).is_pending());
    drop(alone);
    assert_eq!(tokio::join!(new, old), (true, false));
    assert_eq!(copies.read(&key("a")).await.unwrap().1, "new");
}

#[tokio::test]
async fn a_copy_of_an_earlier_process_is_renewed_though_its_clock_was_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 100_000, 10);
    let mut ahead = info("a");
    ahead.seen = Timestamp::MAX;
    let content = Bytes::from_static(b"old");
    assert!(copies.keep(ahead, content, NOW, |_| true).await);
    let again = open(dir.path(), 100_000, 10);
    let content = Bytes::from_static(b"new");
    assert!(again.keep(info("a"), content, Asked(0), |_| true).await);
    assert_eq!(again.read(&key("a")).await.unwrap().1, "new");
}

#[tokio::test]
async fn a_copy_goes_whole_though_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let copies = open(dir.path(), 100_000, 10);
    for name in ["a", "b", "c", "d"] {
        let content = Bytes::from_static(b"1234");
        assert!(copies.keep(info(name), content, NOW, |_| true).await);
        let name = key(name);
        let mut forget = Box::pin(copies.forget(&name));
        let _ = futures_util::poll!(forget.as_mut());
        drop(forget);
        assert!(!copies.has(&name));
    }
    drop(copies.alone().await);
    assert_eq!(files(&dir), 0);
}
