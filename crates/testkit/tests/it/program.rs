use std::path::Path;
use std::process::Command;

use mainstay_testkit::{Program, Signal, eventually, eventually_some};

use crate::LONG;

fn shell(script: &str) -> Program {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("GREETING", "good day")
        .current_dir("/");
    Program::start(command).unwrap()
}

fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn output_and_exit_status_can_be_read() {
    let program = shell("echo $GREETING; echo trouble >&2; pwd; exit 3");
    assert_eq!(program.wait(LONG).await.code(), Some(3));
    assert_eq!(program.stdout(), ["good day", "/"]);
    assert_eq!(program.line_with(LONG, "trouble").await.unwrap(), "trouble");
}

#[tokio::test]
async fn a_program_that_ends_without_the_line_is_reported_with_its_output() {
    let program = shell("echo no such luck; exit 1");
    let error = program.line_with(LONG, "ready").await.unwrap_err();
    assert!(error.contains("exit status: 1"), "{error}");
}

#[tokio::test]
async fn a_signal_reaches_the_program() {
    let program = shell("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    program.line_with(LONG, "ready").await.unwrap();
    program.signal(Signal::TERM);
    assert!(program.wait(LONG).await.success());
    program.line_with(LONG, "asked").await.unwrap();
}

#[tokio::test]
async fn killing_ends_the_descendants_too_even_when_all_are_stopped() {
    let program = shell("sleep 1000 & echo child $!; wait");
    let line = program.line_with(LONG, "child").await.unwrap();
    let child = line.trim_start_matches("child ").to_owned();
    program.stop().await;
    assert!(runs(&child));
    program.kill().await;
    assert!(!runs(&child));
    assert!(!runs(&program.pid().to_string()));
}

#[tokio::test]
async fn a_dropped_program_is_gone() {
    let program = shell("sleep 1000");
    let pid = program.pid().to_string();
    drop(program);
    assert!(!runs(&pid));
}

/// The test below runs this very executable again, kills it, and looks for what it left behind.
const LEAVER: &str = "MAINSTAY_TESTKIT_LEAVER";

#[test]
fn leaves_stopped_servers_behind_when_asked() {
    if std::env::var_os(LEAVER).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let program = runtime.block_on(async {
        let program = shell("sleep 1000 & echo child $!; wait");
        let line = program.line_with(LONG, "child").await.unwrap();
        program.stop().await;
        println!("left {} and {line}", program.pid());
        program
    });
    // The runtime's threads end here, the server must not: its spawning thread lasts.
    drop(runtime);
    println!("stopped: {}", program.exit_status().is_none());
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn nothing_outlives_a_test_process_that_is_killed() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "program::leaves_stopped_servers_behind_when_asked",
        "--exact",
        "--nocapture",
    ]);
    command.env(LEAVER, "1");
    let test = Program::start(command).unwrap();
    let line = test.line_with(LONG, "left ").await.unwrap();
    test.line_with(LONG, "stopped: true").await.unwrap();
    let pids: Vec<String> = line
        .split(' ')
        .filter(|word| word.parse::<u32>().is_ok())
        .map(str::to_owned)
        .collect();
    assert_eq!(pids.len(), 2, "{line}");
    assert!(pids.iter().all(|pid| runs(pid)));

    // Only the process itself, as an out-of-memory kill or a test runner does it.
    test.signal(Signal::KILL);
    eventually(LONG, "the server and its child to be gone", async || {
        !pids.iter().any(|pid| runs(pid))
    })
    .await;
    eventually_some(LONG, "the test process to be reaped", async || {
        test.exit_status()
    })
    .await;
}
