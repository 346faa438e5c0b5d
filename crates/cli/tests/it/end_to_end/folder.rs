//! A data directory that can't be written to: from the start, or suddenly.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mainstay_testkit::{Postgres, Program, S3, Signal, Trouble, Unprivileged, eventually};
use serde_json::json;

use super::server::{Reply, SOON, Server};
use crate::support;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mainstay");

/// Starts the server, which must say what is wrong, where, and what to do, and end.
async fn is_refused(mut command: Command, words: &[&str]) {
    command
        .arg("serve")
        .env("MAINSTAY_SERVER_LISTEN", "127.0.0.1:0");
    let program = Program::start(command).expect("it starts");
    let ended = program.wait(Duration::from_secs(20)).await;
    let said = program.stderr().join("\n");
    assert_eq!(ended.code(), Some(1), "{words:?}: {said}");
    for word in words.iter().chain(&["set data_dir"]) {
        assert!(said.contains(word), "{word} in {said}");
    }
}

/// A folder of the user's, of this mode.
fn folder(user: &Unprivileged, name: &str, mode: u32) -> std::path::PathBuf {
    let path = user.folder().join(name);
    fs::create_dir(&path).expect("the folder is made");
    user.give(&path);
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the mode is set");
    path
}

#[tokio::test]
async fn a_data_directory_of_the_wrong_permissions_is_named_with_the_remedy() {
    let user = Unprivileged::new(Path::new(PROGRAM));
    let check = async |data: &Path, words: &[&str]| {
        let mut command = user.command();
        support::cleared(&mut command);
        command.env("MAINSTAY_DATA_DIR", data);
        is_refused(command, words).await;
    };
    let closed = folder(&user, "closed", 0o500);
    check(
        &closed.join("data"),
        &["can't be made", "closed/data", "chown -R"],
    )
    .await;
    check(&closed, &["can't be written to", "closed", "chown -R"]).await;

    // What an earlier run left under other permissions.
    let data = folder(&user, "data", 0o700);
    let journal = data.join("journal");
    fs::create_dir(&journal).expect("the folder is made");
    for name in ["bodies", "spool"] {
        fs::create_dir(journal.join(name)).expect("the folder is made");
        user.give(&journal.join(name));
    }
    fs::write(journal.join("journal.db"), b"").expect("the file is made");
    user.give(&journal);
    let read_only = Permissions::from_mode(0o400);
    fs::set_permissions(journal.join("journal.db"), read_only).expect("the mode is set");
    user.give(&journal.join("journal.db"));
    check(&data, &["journal.db", "chown -R"]).await;
}

#[tokio::test]
async fn a_data_directory_of_another_user_is_named_with_the_remedy() {
    let user = Unprivileged::new(Path::new(PROGRAM));
    if !user.has_others() {
        return;
    }
    for (name, inside) in [("theirs", None), ("mixed", Some("journal"))] {
        let data = folder(&user, name, 0o700);
        let theirs = inside.map_or(data.clone(), |inside| data.join(inside));
        fs::create_dir_all(&theirs).expect("the folder is made");
        std::os::unix::fs::chown(&theirs, Some(0), Some(0)).expect("root may");
        fs::set_permissions(&theirs, Permissions::from_mode(0o755)).expect("the mode is set");
        let mut command = user.command();
        support::cleared(&mut command);
        command.env("MAINSTAY_DATA_DIR", &data);
        is_refused(command, &[name, "another user", "chown -R"]).await;
    }
}

#[tokio::test]
async fn a_data_directory_on_a_read_only_file_system_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    let unshared = |program: &[&str]| {
        let mut command = Command::new("unshare");
        support::cleared(&mut command);
        command
            .args(["-m", "sh", "-c", script])
            .arg(folder.path())
            .args(program);
        command
    };
    if !unshared(&["true"])
        .status()
        .is_ok_and(|ended| ended.success())
    {
        println!("mounting isn't allowed here");
        return;
    }
    let mut command = unshared(&[PROGRAM]);
    command.env("MAINSTAY_DATA_DIR", folder.path().join("data"));
    is_refused(
        command,
        &[
            "data: the data directory can't be made",
            "mount it for writing",
        ],
    )
    .await;
    fs::create_dir(folder.path().join("data")).expect("the folder is made");
    let mut command = unshared(&[PROGRAM]);
    command.env("MAINSTAY_DATA_DIR", folder.path().join("data"));
    is_refused(command, &["read-only", "mount it for writing"]).await;
}

/// Uploads until the store is taken for down.
async fn accepted(server: &Server, name: &str, content: Vec<u8>) {
    let reply = server.put(&format!("/objects/{name}"), content).await;
    assert_eq!(reply.status, 202, "{reply:?}");
}

fn is_journal_trouble(reply: &Reply) {
    reply.is_refused_by_the_journal(&["storage has failed", "nothing was written"]);
}

/// What was accepted before the disk fails survives it; what comes then is refused, until a restart has looked.
async fn survives(fails: fn(&Trouble, bool)) {
    let s3 = S3::start().await;
    let mut settings = support::s3_settings(&s3);
    settings.push(("JOURNAL_MIN_FREE_DISK", "0B".to_owned()));
    let mut server = Server::launch_on("", &support::borrowed(&settings), |_| ());
    server.ready().await;
    s3.kill().await;
    server.breaker("s3", "open").await;
    let large = vec![b'x'; 100 << 10];
    accepted(&server, "small", b"kept".to_vec()).await;
    accepted(&server, "large", large.clone()).await;

    fails(server.machine(), true);
    let unknown = server.put("/objects/late", "late").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.problem()),
        (504, "outcome-unknown"),
        "{unknown:?}"
    );
    is_journal_trouble(&server.put("/objects/small", "later").await);
    is_journal_trouble(&server.put("/objects/large-2", large.clone()).await);
    eventually(SOON, "the alert is on", async || {
        let status = server.get("/status").await;
        status.body["alerts"]
            .to_string()
            .contains("journal_faulted")
    })
    .await;
    let read = server.get("/objects/small").await;
    assert_eq!(
        (read.status.as_u16(), &read.body),
        (200, &json!("kept")),
        "{read:?}"
    );
    assert_eq!(read.header("mainstay-source"), Some("journal"));
    assert_eq!(server.feature("s3_uploads").await, "off");
    assert_eq!(
        server
            .request(reqwest::Method::GET, "/livez")
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );

    fails(server.machine(), false);
    is_journal_trouble(&server.put("/objects/new", "not trusted").await);
    s3.restart().await;
    server.breaker("s3", "closed").await;
    eventually(SOON, "the store itself takes what it can", async || {
        server.put("/objects/direct", "stored").await.status == 200
    })
    .await;
    is_journal_trouble(&server.put("/objects/small", "behind what waits").await);
    let again = server.put("/objects/late", "later").await;
    let removed = server.request(reqwest::Method::DELETE, "/objects/late");
    let removed = server.send(removed).await;
    let copy = json!({"from": "direct", "to": "late"});
    let copied = server.post("/objects/copy", copy).await;

    server.restart().await;
    eventually(SOON, "the journal is empty", async || {
        server.get("/journal").await.body["entries"] == 0
    })
    .await;
    let late = s3.content("late");
    let late = late.as_deref().map(String::from_utf8_lossy);
    assert!(
        matches!(late.as_deref(), None | Some("late")),
        "{late:?} after {again:?}"
    );
    for refused in [again, removed, copied] {
        is_journal_trouble(&refused);
    }
    let again = server.put("/objects/late", "later").await;
    assert_eq!(again.status, 200, "the restart has looked: {again:?}");
    assert_eq!(s3.content("late").as_deref(), Some(&b"later"[..]));
    assert_eq!(s3.content("small").as_deref(), Some(&b"kept"[..]));
    assert_eq!(s3.content("large"), Some(large));
    assert_eq!(s3.content("direct").as_deref(), Some(&b"stored"[..]));
    assert_eq!(s3.content("new"), None, "refused is refused");
    s3.kill().await;
    server.breaker("s3", "open").await;
    accepted(&server, "after", b"accepted again".to_vec()).await;
}

#[tokio::test]
async fn a_data_directory_that_turns_read_only_keeps_what_was_accepted_and_accepts_no_more() {
    survives(Trouble::read_only).await;
}

#[tokio::test]
async fn an_fsync_that_fails_is_never_taken_for_done() {
    survives(Trouble::fsync_fails).await;
}

#[tokio::test]
async fn a_deferred_write_that_may_be_on_disk_is_overtaken_by_none() {
    let postgres = Postgres::start().await;
    let url = postgres.url();
    let settings = [("DATABASE_URL", url.as_str())];
    let statement = "[database.deferred.statements]\nset = \"update price set value = $1\"\n";
    let mut server = Server::launch_on(statement, &settings, |_| ());
    server.ready().await;
    for query in [
        "create table price (value bigint)",
        "insert into price values (0)",
    ] {
        let made = server.post("/db/write", json!({"query": query})).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    let set = async |server: &Server, value: u64| {
        let request = server.request(reqwest::Method::POST, "/db/deferred");
        let request = request.header("idempotency-key", format!("set-{value}"));
        let body = json!({"statement": "set", "params": [value]});
        server.send(request.json(&body)).await
    };
    postgres.kill().await;
    server.breaker("database", "open").await;
    server.machine().fsync_fails(true);
    let unknown = set(&server, 1).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.problem()),
        (504, "outcome-unknown"),
        "{unknown:?}"
    );
    server.machine().fsync_fails(false);
    postgres.restart().await;
    server.breaker("database", "closed").await;
    let later = set(&server, 2).await;

    server.restart().await;
    server.breaker("database", "closed").await;
    eventually(SOON, "the journal is empty", async || {
        server.get("/journal").await.body["entries"] == 0
    })
    .await;
    let price = json!({"query": "select value from price"});
    let price = server.post("/db/read", price).await;
    assert_ne!(
        (later.status.as_u16(), &price.body["data"][0]["value"]),
        (200, &json!(1)),
        "an acknowledged write was overwritten by one that came before it"
    );
    assert_eq!(
        (later.status.as_u16(), later.problem()),
        (503, "journal-full"),
        "{later:?}"
    );
    assert_eq!(set(&server, 2).await.status, 200);
}

#[tokio::test]
async fn while_a_slow_disk_opens_the_journal_the_server_says_that_it_lives_and_is_not_ready() {
    let slow = |machine: &Trouble| machine.fsync_takes(Duration::from_secs(2));
    let server = Server::launch_on("", &[], slow);
    let asked = async |path: &str| {
        let reply = server
            .request(reqwest::Method::GET, path)
            .send()
            .await
            .ok()?;
        Some(reply.status().as_u16())
    };
    eventually(SOON, "it lives", async || {
        asked("/livez").await == Some(200)
    })
    .await;
    for path in ["/readyz", "/startupz", "/objects/a"] {
        assert_eq!(asked(path).await, Some(503), "{path}");
    }
    for (path, status) in [("/livez", 200), ("/objects/a", 503)] {
        let request = server.request(reqwest::Method::GET, path);
        let request = request.header("x-request-id", "asked-early");
        let reply = server.send(request.header("accept-language", "es")).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(reply.header("x-request-id"), Some("asked-early"), "{path}");
        if status == 503 {
            assert_eq!(reply.body["request_id"], "asked-early", "{reply:?}");
            assert_eq!(reply.body["title"], "No disponible", "{reply:?}");
            assert!(reply.header("retry-after").is_some(), "{reply:?}");
        }
    }
    let unnamed = server.get("/objects/a").await;
    assert!(unnamed.header("x-request-id").is_some(), "{unnamed:?}");
    let said = server.program.stdout();
    assert!(said.is_empty(), "the journal was open already: {said:?}");
    server.machine().fsync_takes(Duration::ZERO);
    server.ready().await;
    assert_eq!(asked("/startupz").await, Some(200));
}

#[tokio::test]
async fn whoever_waits_for_a_slow_disk_can_be_told_to_stop() {
    let slow = |machine: &Trouble| machine.fsync_takes(Duration::from_secs(2));
    let mut server = Server::launch_on("", &[], slow);
    eventually(SOON, "it lives", async || {
        let reply = server.request(reqwest::Method::GET, "/livez").send().await;
        reply.is_ok()
    })
    .await;
    server.program.signal(Signal::TERM);
    let ended = server.program.wait(SOON).await;
    assert!(ended.success(), "{ended:?}: {:?}", server.program.stderr());
    let said = server.program.stdout();
    assert!(said.is_empty(), "the journal was open already: {said:?}");
    server.machine().fsync_takes(Duration::ZERO);
    server.start_again().await;
}
