//! A process and its descendants, as `/proc` shows them.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// What `/proc/<pid>/stat` says that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name stands in parentheses and may itself hold spaces and parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { state, parent })
}

/// All living descendants of `root`, without `root` itself.
pub(crate) fn descendants(root: i32) -> Vec<i32> {
    let processes: Vec<(i32, i32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            processes
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

/// Sends `signal`; a process that is already gone is fine.
pub(crate) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether the process no longer runs (gone, or a zombie that waits for its parent).
pub(crate) fn is_dead(pid: i32) -> bool {
    stat(pid).is_none_or(|stat| matches!(stat.state, 'Z' | 'X'))
}

/// Whether the process is stopped, or dead.
pub(crate) fn is_stopped(pid: i32) -> bool {
    is_dead(pid) || stat(pid).is_some_and(|stat| matches!(stat.state, 'T' | 't'))
}

/// Kills stopped processes should this test process die before it continues them.
///
/// The kernel kills our direct children then, but their stopped children would stay for ever: nothing
/// can tell a stopped process to go away except SIGKILL. A shell waits for the end of a pipe that only
/// we hold open; it has a process group of its own so that what kills us doesn't kill it.
pub(crate) struct Undertaker(Child);

impl Undertaker {
    pub(crate) fn watch(pids: &[i32]) -> Option<Self> {
        if pids.is_empty() {
            return None;
        }
        let list: Vec<String> = pids.iter().map(i32::to_string).collect();
        let script = format!("read -r line || kill -KILL {}", list.join(" "));
        let mut command = Command::new("sh");
        command.args(["-c", &script]).process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().ok().map(Self)
    }
}

impl Drop for Undertaker {
    fn drop(&mut self) {
        // A full line, not the end of the pipe, is the word to leave without killing.
        if let Some(mut stdin) = self.0.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.0.wait();
    }
}
