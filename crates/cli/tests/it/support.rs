//! Starting the program.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mainstay_testkit::{Program, S3};

/// Longest time for the program to start, to end, or to say something.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The program in a folder of its own, with nothing of this machine's environment that concerns it.
pub(crate) fn mainstay(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1");
    cleared(&mut command);
    command
}

/// Takes what concerns the program out of this machine's environment.
pub(crate) fn cleared(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MAINSTAY_") {
            command.env_remove(name);
        }
    }
}

/// Where the program finds this store.
pub(crate) fn s3_settings(s3: &S3) -> Vec<(&'static str, String)> {
    vec![
        ("S3_ENDPOINT", s3.endpoint()),
        ("S3_BUCKET", s3.bucket().to_owned()),
        ("S3_REGION", s3.region().to_owned()),
        ("S3_ACCESS_KEY_ID", s3.access_key().to_owned()),
        ("S3_SECRET_ACCESS_KEY", s3.secret_key().to_owned()),
    ]
}

/// Settings as a start takes them.
pub(crate) fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(n, v)| (*n, v.as_str())).collect()
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = mainstay(folder)
        .args(arguments)
        .output()
        .expect("the program starts");
    Ran::from(output)
}

/// Starts a server on a free port and gives its address. Settings are environment variables without their prefix.
pub(crate) async fn serve(folder: &Path, settings: &[(&str, &str)]) -> (Program, String) {
    let mut command = mainstay(folder);
    command
        .arg("serve")
        .env("MAINSTAY_SERVER_LISTEN", "127.0.0.1:0");
    for (name, value) in settings {
        command.env(format!("MAINSTAY_{name}"), value);
    }
    let program = Program::start(command).expect("the program starts");
    let line = program
        .line_with(SOON, "listening on ")
        .await
        .expect("it starts");
    let address = line.rsplit(' ').next().unwrap_or_default().to_owned();
    (program, address)
}

/// Writes a new key of these scopes into the file `key` of the folder.
pub(crate) fn key_file(folder: &Path, scopes: &str) -> String {
    let key = run(folder, &["key", "new", "--scopes", scopes]).out;
    std::fs::write(folder.join("key"), &key).expect("the key is written");
    key.trim().to_owned()
}

/// How it ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}
