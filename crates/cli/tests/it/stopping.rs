//! The end: signals, what still runs, and how long it may.

use mainstay_testkit::{Program, Signal, eventually};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{SOON, key_file, serve};

/// What an upload sends; the second half after the test has done something in between.
const HALVES: [&str; 2] = ["hello ", "world"];

/// A server with an upload that is half sent.
struct Busy {
    program: Program,
    upload: TcpStream,
    _folder: TempDir,
}

async fn busy(settings: &[(&str, &str)]) -> Busy {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, address) = serve(folder.path(), settings).await;
    let key = key_file(folder.path(), "objects");
    let host = address.trim_start_matches("http://");
    let mut upload = TcpStream::connect(host).await.expect("a connection");
    let length = HALVES.concat().len();
    let head = format!(
        "PUT /objects/slow HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
    );
    upload
        .write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    // The server asks for the body once the request runs.
    let mut asked = [0; 25];
    upload
        .read_exact(&mut asked)
        .await
        .expect("an answer to it");
    assert!(asked.starts_with(b"HTTP/1.1 100"), "{asked:?}");
    upload
        .write_all(HALVES[0].as_bytes())
        .await
        .expect("half a body is sent");
    Busy {
        program,
        upload,
        _folder: folder,
    }
}

/// Asks it to stop, and waits until it accepts nothing more.
async fn stop(busy: &Busy) {
    let address = busy.upload.peer_addr().expect("it is connected");
    busy.program.signal(Signal::TERM);
    eventually(SOON, "no new connection is accepted", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_signal_ends_it_with_exit_code_0_and_the_journal_flushed() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let (program, _) = serve(folder.path(), &[]).await;
        program.signal(signal);
        let status = program.wait(SOON).await;
        let log = program.stderr().join("\n");
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("the journal is flushed"), "{log}");
    }
}

#[tokio::test]
async fn a_running_request_is_finished_after_the_signal() {
    let mut busy = busy(&[]).await;
    stop(&busy).await;
    assert!(busy.program.exit_status().is_none());
    busy.upload.write_all(HALVES[1].as_bytes()).await.unwrap();
    let mut reply = String::new();
    busy.upload.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert_eq!(busy.program.wait(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_request_that_outlives_the_grace_period_is_left_behind() {
    let mut busy = busy(&[("SERVER_SHUTDOWN_GRACE", "500ms")]).await;
    stop(&busy).await;
    assert_eq!(busy.program.wait(SOON).await.code(), Some(0));
    let log = busy.program.stderr().join("\n");
    assert!(log.contains("end of the grace period"), "{log}");
    assert!(log.contains("the journal is flushed"), "{log}");
    let mut reply = String::new();
    // Reset or closed: never an answer.
    let _ = busy.upload.read_to_string(&mut reply).await;
    assert_eq!(reply, "");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_whatever_runs() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::TERM, Signal::INT)] {
        // Far longer than the test may take.
        let busy = busy(&[("SERVER_SHUTDOWN_GRACE", "1h")]).await;
        busy.program.signal(first);
        let stopping = busy.program.line_with(SOON, "no new connections").await;
        stopping.expect("it waits for the upload");
        busy.program.signal(second);
        assert_eq!(busy.program.wait(SOON).await.code(), Some(1));
        let log = busy.program.stderr().join("\n");
        assert!(log.contains("a second signal"), "{log}");
    }
}
