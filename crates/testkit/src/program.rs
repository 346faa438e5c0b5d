//! Any program as a private child of the test: its output can be read, and it never outlives the test.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use crate::eventually::{eventually, eventually_some, pause};
use crate::process_tree::{self, Undertaker};

const SOON: Duration = Duration::from_secs(10);

/// A running child process with its output lines.
///
/// It's killed with all its descendants when dropped, and by the kernel when the test process dies.
pub struct Program {
    pid: i32,
    child: Mutex<Child>,
    stdout: Lines,
    stderr: Lines,
    undertaker: Mutex<Option<Undertaker>>,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Program {
    /// Starts `command` (its arguments, environment and folder are the caller's; input is empty).
    ///
    /// # Errors
    /// When the program can't be started, for instance because it isn't there.
    pub fn start(command: Command) -> io::Result<Self> {
        Self::start_into(command, Stdio::piped())
    }

    /// The same with a standard error of the caller's, whose lines nobody collects then.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn start_into(mut command: Command, stderr: impl Into<Stdio>) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let mut child = spawn_from_lasting_thread(command)?;
        let pid = i32::try_from(child.id()).expect("Linux process ids fit an i32");
        let stdout = collect(child.stdout.take().expect("stdout is piped above"));
        let stderr = child.stderr.take().map(collect).unwrap_or_default();
        let (child, undertaker) = (Mutex::new(child), Mutex::new(None));
        Ok(Self {
            pid,
            child,
            stdout,
            stderr,
            undertaker,
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// The lines it has written to standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        lock(&self.stdout).clone()
    }

    /// The lines it has written to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        lock(&self.stderr).clone()
    }

    /// Waits until it writes a line that contains `needle` (to either stream), and returns that line.
    ///
    /// # Errors
    /// All its output, when it ends before it writes such a line.
    ///
    /// # Panics
    /// When `deadline` passes first.
    pub async fn line_with(&self, deadline: Duration, needle: &str) -> Result<String, String> {
        let what = format!("process {} to write a line with {needle:?}", self.pid);
        eventually_some(deadline, &what, async || {
            // Asked before the lines are looked through: what it wrote before it ended is still found.
            let ended = self.exit_status();
            if ended.is_some() {
                self.read_to_end().await;
            }
            let mut lines = self.stdout().into_iter().chain(self.stderr());
            match (lines.find(|line| line.contains(needle)), ended) {
                (Some(line), _) => Some(Ok(line)),
                (None, Some(status)) => Some(Err(format!("{status}\n{}", self.output()))),
                (None, None) => None,
            }
        })
        .await
    }

    /// Sends a signal to the process itself, not to its descendants; nothing happens once it has ended.
    pub fn signal(&self, signal: Signal) {
        let mut child = lock(&self.child);
        // Under the lock and only while unreaped: until then the id can't belong to another process.
        if matches!(child.try_wait(), Ok(None)) {
            process_tree::send(self.pid, signal);
        }
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        lock(&self.child)
            .try_wait()
            .expect("our own child can be waited for")
    }

    /// Waits for it to end; all its output can be read then.
    ///
    /// # Panics
    /// When it still runs after `deadline`.
    pub async fn wait(&self, deadline: Duration) -> ExitStatus {
        let what = format!("process {} to end", self.pid);
        let status = eventually_some(deadline, &what, async || self.exit_status()).await;
        self.read_to_end().await;
        status
    }

    /// Kills it and all its descendants (SIGKILL), and waits until none of them runs.
    pub async fn kill(&self) {
        let family = self.kill_now();
        let what = format!("the descendants of process {} to die", self.pid);
        eventually(SOON, &what, async || {
            family.iter().all(|pid| process_tree::is_dead(*pid))
        })
        .await;
    }

    /// Stops it and all its present descendants (SIGSTOP), and waits until they stand still.
    pub async fn stop(&self) {
        self.signal(Signal::STOP);
        let what = format!("process {} to stop", self.pid);
        eventually(SOON, &what, async || process_tree::is_stopped(self.pid)).await;
        // Its parent stands still, so the family can't grow any more.
        let family = process_tree::descendants(self.pid);
        *lock(&self.undertaker) = Undertaker::watch(&family);
        family
            .iter()
            .for_each(|pid| process_tree::send(*pid, Signal::STOP));
        eventually(SOON, &what, async || {
            family.iter().all(|pid| process_tree::is_stopped(*pid))
        })
        .await;
    }

    /// Continues it and all its descendants (SIGCONT).
    pub fn cont(&self) {
        for pid in process_tree::descendants(self.pid) {
            process_tree::send(pid, Signal::CONT);
        }
        lock(&self.undertaker).take();
        self.signal(Signal::CONT);
    }

    /// Waits for the threads that read its output, but not for long: a descendant that it has left
    /// behind keeps the pipes open.
    async fn read_to_end(&self) {
        let read = async || {
            // Each reading thread holds the second reference until it has read everything.
            while Arc::strong_count(&self.stdout) + Arc::strong_count(&self.stderr) > 2 {
                pause(Duration::from_millis(2)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), read()).await;
    }

    fn output(&self) -> String {
        [self.stdout(), self.stderr()].concat().join("\n")
    }

    /// Kills without waiting for the descendants, whose ids it returns.
    fn kill_now(&self) -> Vec<i32> {
        if self.exit_status().is_some() {
            return Vec::new();
        }
        // A stopped parent has no further children while we look for them.
        self.signal(Signal::STOP);
        let family = process_tree::descendants(self.pid);
        self.signal(Signal::KILL);
        family
            .iter()
            .for_each(|pid| process_tree::send(*pid, Signal::KILL));
        let _ = lock(&self.child).wait();
        lock(&self.undertaker).take();
        family
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill_now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collect(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            lock(&sink).push(text);
            line.clear();
        }
    });
    lines
}

type SpawnRequest = (Command, mpsc::Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as the process does.
///
/// The kernel sends the parent-death signal when the spawning *thread* ends, and the worker threads
/// of a test's runtime end with that test.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<SpawnRequest>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<SpawnRequest>();
        std::thread::spawn(move || {
            for (command, reply) in receiver {
                let _ = reply.send(spawn_bound_to_this_thread(command));
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    spawner
        .send((command, reply))
        .expect("the spawning thread never ends");
    answer
        .recv()
        .expect("the spawning thread answers every request")
}

#[allow(
    unsafe_code,
    reason = "pre_exec is the only way to ask for the parent-death signal"
)]
fn spawn_bound_to_this_thread(mut command: Command) -> io::Result<Child> {
    let parent = getpid();
    let bind = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died between fork and the line above; then no signal comes.
        match getppid() {
            Some(now) if now == parent => Ok(()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls and neither allocates nor locks.
    unsafe { command.pre_exec(bind) };
    command.spawn()
}
