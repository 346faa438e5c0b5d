//! A private PostgreSQL server.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::binaries::find_installed;
use crate::scratch::{self, User};
use crate::server::Server;

const PASSWORD: &str = "mainstay";
const SUPERUSER_PASSWORD: &str = "superuser";

/// Nothing waits for a disk: data survives a killed server, and needn't survive the machine.
const SETTINGS: [&str; 9] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "dynamic_shared_memory_type=mmap",
    "autovacuum=off",
    "max_wal_size=64MB",
    "logging_collector=off",
];

/// A real PostgreSQL of this test's own: role `mainstay` (no superuser) owns the database `mainstay`.
///
/// Run as root it becomes the user `postgres` or `nobody`, since PostgreSQL refuses to run as root.
pub struct Postgres {
    server: Server,
    data: PathBuf,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When PostgreSQL isn't installed or doesn't start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further settings, for instance `["max_connections=5"]`.
    ///
    /// # Panics
    /// When PostgreSQL isn't installed or doesn't start with them.
    pub async fn start_with(settings: &[&str]) -> Self {
        let user = scratch::unprivileged_user();
        let folder = scratch::folder(user);
        let data = folder.path().join("data");
        copy_template(&data, user);
        let settings: Vec<String> = SETTINGS
            .iter()
            .chain(settings)
            .map(|s| (*s).to_owned())
            .collect();
        let (binary, place) = (binary("postgres"), data.clone());
        let recipe = Box::new(move |port: u16| {
            let mut command = as_user(&binary, user);
            command
                .arg("-D")
                .arg(&place)
                .arg("-p")
                .arg(port.to_string());
            command.args(settings.iter().flat_map(|setting| ["-c", setting.as_str()]));
            command
        });
        let server = Server::start("database system is ready to accept connections", recipe).await;
        Self {
            server,
            data,
            _folder: folder,
        }
    }

    /// Connection URL of the unprivileged role `mainstay`, which owns the database `mainstay`.
    pub fn url(&self) -> String {
        format!(
            "postgres://mainstay:{PASSWORD}@127.0.0.1:{}/mainstay",
            self.port()
        )
    }

    /// Connection URL of the superuser, to the same database.
    pub fn superuser_url(&self) -> String {
        format!(
            "postgres://postgres:{SUPERUSER_PASSWORD}@127.0.0.1:{}/mainstay",
            self.port()
        )
    }

    /// Its port, the same over restarts.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> Vec<String> {
        self.server
            .program()
            .map(|program| program.stderr())
            .unwrap_or_default()
    }

    /// Kills the postmaster and all its backends (SIGKILL): its port refuses connections from now on.
    pub async fn kill(&self) {
        self.server.kill().await;
        scratch::forget_shared_memory(&self.data);
    }

    /// Freezes the postmaster and all its backends (SIGSTOP): connections open, answers don't come.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Continues a frozen one (SIGCONT).
    pub fn cont(&self) {
        self.server.cont();
    }

    /// Starts it again on the same port with the same data, killing it first if it runs.
    pub async fn restart(&self) {
        self.kill().await;
        self.server.restart().await;
    }

    /// Ends it gracefully, disconnecting its clients (SIGINT, "fast shutdown").
    pub async fn shutdown(&self) {
        self.server.shutdown(Signal::INT).await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.server.take());
        scratch::forget_shared_memory(&self.data);
    }
}

/// Copies the template, which is made first when no earlier test made it.
fn copy_template(data: &Path, user: Option<User>) {
    let template = template(user);
    run(
        as_user(Path::new("cp"), user)
            .args(["-R", "--reflink=auto"])
            .arg(template)
            .arg(data),
        "",
    );
}

/// The initialised data folder that every server starts from, made once for each version and user.
fn template(user: Option<User>) -> PathBuf {
    let version = run(Command::new(binary("postgres")).arg("--version"), "");
    // "postgres (PostgreSQL) 15.18 (Debian …)"
    let version = version.split_whitespace().nth(2).unwrap_or("unknown");
    let uid = user.map_or_else(|| rustix::process::getuid().as_raw(), |user| user.uid);
    let template = scratch::root().join(format!("postgres-{version}-{uid}-1"));
    if !template.exists() {
        // Held by one process at a time: the others find the template made.
        let gate =
            File::create(scratch::root().join("postgres.lock")).expect("our folder is writable");
        gate.lock().expect("a local file can be locked");
        if !template.exists() {
            let folder = scratch::folder(user);
            let fresh = folder.path().join("data");
            initialise(&fresh, user);
            fs::rename(fresh, &template).expect("both folders are on one file system");
        }
    }
    template
}

fn initialise(data: &Path, user: Option<User>) {
    let password = data.with_extension("password");
    fs::write(&password, SUPERUSER_PASSWORD).expect("our folder is writable");
    scratch::give(&password, user);
    let mut initdb = as_user(&binary("initdb"), user);
    initdb.args([
        "--no-sync",
        "--encoding=UTF8",
        "--locale=C",
        "--wal-segsize=1",
        "--username=postgres",
    ]);
    initdb
        .arg("--auth=scram-sha-256")
        .arg("--pwfile")
        .arg(password)
        .arg("-D")
        .arg(data);
    run(&mut initdb, "");
    let sql = format!(
        "CREATE ROLE mainstay LOGIN PASSWORD '{PASSWORD}';\nCREATE DATABASE mainstay OWNER mainstay;\n"
    );
    let mut single = as_user(&binary("postgres"), user);
    single
        .args(["--single", "-c", "fsync=off", "-D"])
        .arg(data)
        .arg("postgres");
    run(&mut single, &sql);
}

fn binary(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
    let folders: Vec<PathBuf> = versions.into_iter().map(|(_, folder)| folder).collect();
    find_installed(name, &folders, "postgresql")
}

fn as_user(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs a command to its end with `input`, and returns what it writes.
fn run(command: &mut Command, input: &str) -> String {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is piped above");
    stdin
        .write_all(input.as_bytes())
        .expect("the command reads its input");
    drop(stdin);
    let output = child
        .wait_with_output()
        .expect("our own child can be waited for");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{errors}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
