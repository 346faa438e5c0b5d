//! `sslmode` against a server with TLS. Its key is made by `openssl`, which Debian's PostgreSQL brings along.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mainstay_database::contract::{context_for, rows, write};
use mainstay_database::{Database, Statement};
use mainstay_testkit::{Postgres, eventually};
use serde_json::json;

use crate::support::{connect, settings};

const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
const OPENSSL: &str = "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=127.0.0.1\n[ext]\nsubjectAltName=IP:127.0.0.1\n";

/// A server with TLS, and the certificate it shows.
async fn server() -> (Postgres, PathBuf) {
    let server = Postgres::start().await;
    let mut admin = settings(&server.superuser_url());
    admin.allow_superuser = true;
    let admin = connect(admin).await;
    let found = rows(&admin.database, "SHOW data_directory", &[]).await;
    let data = PathBuf::from(found[0][0].as_str().unwrap());
    make_certificate(&data);
    let configuration = data.join("postgresql.conf");
    let before = fs::read_to_string(&configuration).unwrap();
    fs::write(configuration, before + "\nssl = on\n").unwrap();
    write(&admin.database, "SELECT pg_reload_conf()", &[]).await;
    eventually(Duration::from_secs(5), "TLS is on", async || {
        rows(&admin.database, "SHOW ssl", &[]).await == [[json!("on")]]
    })
    .await;
    (server, data.join("server.crt"))
}

fn make_certificate(data: &Path) {
    let configuration = data.join("openssl.cnf");
    fs::write(&configuration, OPENSSL).unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            "server.key",
            "-out",
            "server.crt",
        ])
        .arg("-config")
        .arg(configuration)
        .current_dir(data)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let owner = fs::metadata(data).unwrap();
    for (name, mode) in [("server.key", 0o600), ("server.crt", 0o644)] {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
        chown(data.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

async fn is_encrypted(url: &str) -> bool {
    let fixture = connect(settings(url)).await;
    rows(&fixture.database, ENCRYPTED, &[]).await == [[json!(true)]]
}

async fn complaint(url: &str) -> String {
    let checked = connect(settings(url)).await.database.check().await;
    checked[0].result.clone().unwrap_err().detail
}

async fn sleeping(database: &Database) -> bool {
    let query = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%forsaken%' AND pid <> pg_backend_pid()";
    !rows(database, query, &[]).await.is_empty()
}

#[tokio::test]
async fn sslmode_decides_on_encryption_and_on_checking_the_certificate() {
    let (server, certificate) = server().await;
    let (url, root) = (server.url(), certificate.display());
    assert!(!is_encrypted(&format!("{url}?sslmode=disable")).await);
    assert!(is_encrypted(&url).await, "prefer");
    assert!(is_encrypted(&format!("{url}?sslmode=require")).await);
    assert!(is_encrypted(&format!("{url}?sslmode=verify-full&sslrootcert={root}")).await);
    let unknown = complaint(&format!("{url}?sslmode=verify-full")).await;
    assert!(unknown.contains("TLS"), "{unknown}");
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let misnamed = complaint(&format!(
        "{elsewhere}?sslmode=verify-full&sslrootcert={root}"
    ))
    .await;
    assert!(misnamed.contains("TLS"), "{misnamed}");
}

#[tokio::test]
async fn a_statement_is_cancelled_over_tls_too() {
    let (server, _) = server().await;
    let fixture = connect(settings(&format!("{}?sslmode=require", server.url()))).await;
    let database = &fixture.database;
    let ctx = context_for(database, Duration::from_secs(30));
    let limit = Duration::from_secs(5);
    tokio::select! {
        ended = database.read(&ctx, Statement::new("SELECT pg_sleep(20) /* forsaken */", [])) => panic!("it sleeps: {ended:?}"),
        () = eventually(limit, "the statement runs", async || sleeping(database).await) => {}
    }
    eventually(limit, "the statement is gone", async || {
        !sleeping(database).await
    })
    .await;
}
