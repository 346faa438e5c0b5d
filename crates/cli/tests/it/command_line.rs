//! Commands that need no running server.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{mainstay, run};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn the_printed_defaults_are_a_configuration_that_changes_nothing() {
    let folder = folder();
    let defaults = run(folder.path(), &["config", "default"]);
    let before = run(folder.path(), &["config", "show"]);
    assert_eq!(
        (defaults.code, before.code),
        (Some(0), Some(0)),
        "{defaults:?} {before:?}"
    );
    fs::write(folder.path().join("mainstay.toml"), &defaults.out).unwrap();
    let after = run(folder.path(), &["config", "show"]);
    let columns = |text: &str| {
        let lines = text.lines().skip(1);
        let without_origin =
            lines.map(|line| line.rsplit_once("  ").unwrap().0.trim_end().to_owned());
        without_origin.collect::<Vec<_>>()
    };
    assert_eq!(columns(&before.out), columns(&after.out));
    assert!(after.out.contains("mainstay.toml:"), "{}", after.out);
}

#[test]
fn what_is_in_force_is_shown_with_its_origin_and_without_secrets() {
    let folder = folder();
    fs::write(
        folder.path().join("my.toml"),
        "[redis]\nurl = \"redis://ana:s3cret@cache/0\"\n",
    )
    .unwrap();
    let output = mainstay(folder.path())
        .args(["--config", "my.toml", "config", "show"])
        .env("MAINSTAY_SERVER_LISTEN", "127.0.0.1:9")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| {
        let words = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default();
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("redis.url"),
        "redis.url \"redis://ana:***@cache/0\" my.toml:2"
    );
    assert_eq!(
        line("server.listen"),
        "server.listen \"127.0.0.1:9\" env MAINSTAY_SERVER_LISTEN"
    );
    assert_eq!(line("log.level"), "log.level \"info\" default");
}

#[test]
fn a_wrong_configuration_ends_every_command_that_needs_it_with_all_mistakes() {
    let folder = folder();
    fs::write(
        folder.path().join("mainstay.toml"),
        "[server]\nlisen = 1\n[redis]\nlimit = 0\n",
    )
    .unwrap();
    for command in [
        &["serve"][..],
        &["check"],
        &["config", "show"],
        &["key", "list"],
    ] {
        let ran = run(folder.path(), command);
        assert_eq!(ran.code, Some(2), "{command:?} {ran:?}");
        let expected = "\
mainstay: the configuration has 2 mistakes:
  mainstay.toml:2: server.lisen: is unknown; did you mean server.listen?
  mainstay.toml:4: redis.limit = 0: must be a whole number from 1 to 10000
";
        assert_eq!(ran.err, expected, "{command:?}");
    }
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let ran = run(
        folder().path(),
        &["--config", "gone.toml", "config", "show"],
    );
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("gone.toml can't be read"), "{ran:?}");
}

#[test]
fn a_key_is_printed_alone_kept_as_a_hash_listed_and_revoked() {
    let folder = folder();
    let made = run(
        folder.path(),
        &["key", "new", "--scopes", "db:read,cache", "--name", "shop"],
    );
    assert_eq!(made.code, Some(0), "{made:?}");
    let key = made.out.trim();
    let id = key
        .strip_prefix("mk_")
        .and_then(|rest| rest.split('_').next())
        .unwrap();
    let dir = folder.path().join("mainstay-data");
    assert_eq!(
        fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(
        !fs::read_to_string(dir.join("keys.json"))
            .unwrap()
            .contains(key)
    );
    let listed = run(folder.path(), &["key", "list"]);
    let line = listed
        .out
        .lines()
        .find(|line| line.starts_with(id))
        .unwrap();
    assert!(
        line.contains("shop") && line.contains("db:read,cache"),
        "{line}"
    );
    assert_eq!(run(folder.path(), &["key", "revoke", id]).code, Some(0));
    let again = run(folder.path(), &["key", "revoke", id]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains(id), "{again:?}");
}

#[test]
fn an_unknown_scope_is_refused_with_the_known_ones() {
    let ran = run(folder().path(), &["key", "new", "--scopes", "databse"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains("`databse` is no scope") && ran.err.contains("db:read"),
        "{ran:?}"
    );
}

#[test]
fn help_teaches_with_examples_and_exit_codes() {
    let folder = folder();
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for words in [
        "Examples:",
        "Exit codes:",
        "mainstay.toml",
        "serve",
        "check",
        "status",
        "key",
        "config",
    ] {
        assert!(
            help.out.contains(words),
            "{words} is missing in\n{}",
            help.out
        );
    }
    for command in [
        "serve", "check", "status", "journal", "purge", "replay", "simulate", "key", "config",
    ] {
        let help = run(folder.path(), &[command, "--help"]);
        assert!(help.out.contains("Examples:"), "{command}\n{}", help.out);
    }
}

#[test]
fn status_without_a_server_or_a_key_says_what_to_do() {
    let folder = folder();
    let ran = run(folder.path(), &["status"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("MAINSTAY_KEY"), "{ran:?}");
    let output = mainstay(folder.path())
        .args([
            "status",
            "--url",
            &format!("http://127.0.0.1:{}", mainstay_testkit::free_port()),
        ])
        .env("MAINSTAY_KEY", "mk_0123456789abcdef_x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("nothing answers there"), "{err}");
}
