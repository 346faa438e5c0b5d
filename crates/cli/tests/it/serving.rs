//! Starting, stopping, and the commands that look at a server from outside.

use mainstay_testkit::{Program, Signal, eventually, free_port};

use crate::support::{Ran, SOON, key_file, mainstay, run, serve};

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = mainstay(folder.path());
    command.arg("serve").env("MAINSTAY_SERVER_LISTEN", &address);
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains(&address) && ran.err.contains("server.listen"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_data_directory_in_use_names_the_process_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = serve(folder.path(), &[]).await;
    let mut command = mainstay(folder.path());
    command
        .arg("serve")
        .env("MAINSTAY_SERVER_LISTEN", "127.0.0.1:0");
    let second = Ran::from(command.output().unwrap());
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.err.contains(&format!("process {}", first.pid())),
        "{second:?}"
    );
}

#[tokio::test]
async fn the_admin_key_is_not_in_the_log_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (program, _) = serve(folder.path(), &[]).await;
    program.signal(Signal::TERM);
    program.wait(SOON).await;
    let log = program.stderr();
    assert_eq!(
        log.iter().filter(|line| line.contains("mk_")).count(),
        1,
        "{log:?}"
    );
    assert!(
        log.iter()
            .filter(|line| line.contains("mk_"))
            .all(|line| !line.starts_with('{')),
        "{log:?}"
    );
}

#[tokio::test]
async fn status_draws_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let (_program, address) = serve(folder.path(), &[]).await;
    key_file(folder.path(), "status");
    let ran = run(
        folder.path(),
        &["status", "--url", &address, "--key-file", "key"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "COMPONENT",
        "BREAKER",
        "database",
        "redis",
        "s3",
        "openai",
        "absent",
        "score",
    ] {
        assert!(
            ran.out.contains(words),
            "{words} is missing in\n{}",
            ran.out
        );
    }
    assert!(!ran.out.contains('\u{1b}'), "no colour without a terminal");
    std::fs::write(folder.path().join("key"), "mk_0123456789abcdef_wrong").unwrap();
    let refused = run(
        folder.path(),
        &["status", "--url", &address, "--key-file", "key"],
    );
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

#[tokio::test]
async fn watching_goes_on_while_the_server_restarts_and_ends_well_when_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    let settings = [("SERVER_LISTEN", listen.as_str())];
    let (server, address) = serve(folder.path(), &settings).await;
    key_file(folder.path(), "status");
    let mut command = mainstay(folder.path());
    command.args(["status", "--watch", "--key-file", "key", "--url", &address]);
    let watch = Program::start(command).unwrap();
    let pictures = || {
        let lines = watch.stdout();
        let heads = lines.iter().filter(|line| line.starts_with("COMPONENT"));
        heads.count()
    };
    eventually(SOON, "it is drawn again", async || pictures() >= 2).await;
    server.kill().await;
    let line = watch.line_with(SOON, "nothing answers there").await;
    line.expect("it watches on");
    let before = pictures();
    let (_server, _) = serve(folder.path(), &settings).await;
    eventually(SOON, "the new server is drawn", async || {
        pictures() > before
    })
    .await;
    watch.signal(Signal::INT);
    assert_eq!(watch.wait(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn check_says_what_works_and_what_to_do_where_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_program, _) = serve(folder.path(), &[]).await;
    let well = run(folder.path(), &["check"]);
    assert_eq!(well.code, Some(0), "beside a running server: {well:?}");
    let mut command = mainstay(folder.path());
    command.arg("check").env(
        "MAINSTAY_REDIS_URL",
        format!("redis://127.0.0.1:{}", free_port()),
    );
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let line = |name: &str| {
        ran.out
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        line("redis").contains("FAILED") && line("redis").contains("redis.url"),
        "{}",
        ran.out
    );
    assert!(line("database").contains("ok"), "{}", ran.out);
    let mut command = mainstay(folder.path());
    command.arg("check").env("MAINSTAY_ADMIN_KEY", "short");
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(2), "as `serve` would refuse it: {ran:?}");
    assert!(ran.err.contains("admin_key"), "{ran:?}");
}
