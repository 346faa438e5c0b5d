//! What SQLite hasn't: typed parameters, exact types, isolation, roles.

use std::time::Duration;

use mainstay_database::contract::{assert_unharmed, context, context_for, rows, try_write, write};
use mainstay_database::{Isolation, Statement, WriteMode};
use mainstay_runtime::ErrorKind;
use mainstay_testkit::{Postgres, eventually};
use serde_json::{Value, json};

use crate::support::{connect, parse, postgres, settings};

/// Each value goes in as a parameter of the type and comes out as JSON.
#[tokio::test]
async fn every_type_goes_in_and_comes_out() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    write(database, "CREATE TYPE mood AS ENUM ('sad', 'happy')", &[]).await;
    write(
        database,
        "CREATE DOMAIN price AS numeric(12, 2) CHECK (VALUE >= 0)",
        &[],
    )
    .await;
    for (ty, given, expected) in [
        ("bool", json!(true), json!(true)),
        ("int2", json!(-32768), json!(-32768)),
        ("int4", json!("12"), json!(12)),
        ("int8", json!(i64::MIN), json!(i64::MIN)),
        ("float4", json!(0.1), json!(0.1)),
        ("float8", json!(1e300), json!(1e300)),
        (
            "numeric",
            json!("-123456789012345678901234567890.0000000001"),
            json!("-123456789012345678901234567890.0000000001"),
        ),
        ("numeric(10,2)", json!("12.3"), json!("12.30")),
        ("numeric", json!(7), json!("7")),
        ("price", json!("1234567890.10"), json!("1234567890.10")),
        ("text", json!("ñ\n'\""), json!("ñ\n'\"")),
        ("varchar(3)", json!("abc"), json!("abc")),
        ("char(3)", json!("a"), json!("a  ")),
        ("name", json!("n"), json!("n")),
        (
            "json",
            json!({"a": [1, null, "x"]}),
            json!({"a": [1, null, "x"]}),
        ),
        ("jsonb", json!("text"), json!("text")),
        (
            "uuid",
            json!("936DA01F-9abd-4d9d-80c7-02af85c822a8"),
            json!("936da01f-9abd-4d9d-80c7-02af85c822a8"),
        ),
        ("date", json!("2024-02-29"), json!("2024-02-29")),
        ("date", json!("infinity"), json!("infinity")),
        ("time", json!("24:00"), json!("24:00:00")),
        (
            "timestamp",
            json!("2024-02-29 12:34:56.789"),
            json!("2024-02-29T12:34:56.789"),
        ),
        (
            "timestamptz",
            json!("2024-02-29T12:34:56-03:00"),
            json!("2024-02-29T15:34:56Z"),
        ),
        ("interval", json!("1 day 02:00"), json!("1 day 02:00:00")),
        ("bytea", json!("AP8="), json!("AP8=")),
        ("mood", json!("happy"), json!("happy")),
        ("inet", json!("10.0.0.1/8"), json!("10.0.0.1/8")),
        ("int4range", json!("[1,5)"), json!("[1,5)")),
        ("money", json!("1.50"), json!("$1.50")),
        ("bit(3)", json!("101"), json!("101")),
        ("oid", json!(4_000_000_000_u32), json!(4_000_000_000_u32)),
        ("int4[]", json!([1, null, -3]), json!([1, null, -3])),
        ("int4[]", json!([]), json!([])),
        (
            "int4[]",
            json!([[1, 2], [3, null]]),
            json!([[1, 2], [3, null]]),
        ),
        (
            "text[]",
            json!(["a,b", "\"q\"", "\\", "", "NULL", null]),
            json!(["a,b", "\"q\"", "\\", "", "NULL", null]),
        ),
        ("numeric[]", json!(["0.10", 2]), json!(["0.10", "2"])),
        (
            "uuid[]",
            json!(["936da01f-9abd-4d9d-80c7-02af85c822a8"]),
            json!(["936da01f-9abd-4d9d-80c7-02af85c822a8"]),
        ),
        (
            "jsonb[]",
            json!([{"a": 1}, [2], null]),
            json!([{"a": 1}, [2], null]),
        ),
        (
            "timestamptz[]",
            json!(["2024-02-29T12:00:00Z"]),
            json!(["2024-02-29T12:00:00Z"]),
        ),
        ("mood[]", json!(["sad", "happy"]), json!(["sad", "happy"])),
        ("bool", json!(null), json!(null)),
    ] {
        let found = rows(
            database,
            &format!("SELECT $1::{ty}"),
            std::slice::from_ref(&given),
        )
        .await;
        assert_eq!(found, [[expected]], "{ty} {given}");
    }
    assert_unharmed(database);
}

#[tokio::test]
async fn floats_that_json_lacks_come_out_as_text() {
    let (_server, fixture) = postgres().await;
    let found = rows(
        &fixture.database,
        "SELECT 'NaN'::float8, '-Infinity'::float4, 'NaN'::numeric, 'Infinity'::numeric",
        &[],
    )
    .await;
    assert_eq!(
        found,
        [[
            json!("NaN"),
            json!("-Infinity"),
            json!("NaN"),
            json!("Infinity")
        ]]
    );
}

#[tokio::test]
async fn numeric_is_digit_for_digit_what_postgresql_prints() {
    let (_server, fixture) = postgres().await;
    let query = "SELECT n, n::text FROM generate_series(1, 3000) i, \
        LATERAL (SELECT round((random() - 0.5)::numeric * 10::numeric ^ (i % 60 - 20), i % 31) AS n) v \
        UNION ALL VALUES (0.0, '0.0'), (10000, '10000'), (1e-20, (1e-20)::text), (1e40, (1e40)::text), (-0.00010, '-0.00010')";
    for row in rows(&fixture.database, query, &[]).await {
        assert_eq!(row[0], row[1]);
    }
}

#[tokio::test]
async fn unknown_types_are_text_also_behind_a_semicolon_and_in_returning() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    let found = rows(
        database,
        "SELECT 1 AS a, '10.0.0.1'::inet AS \"a b\", ROW(1, 'x') AS a -- note\n;",
        &[],
    )
    .await;
    assert_eq!(found, [[json!(1), json!("10.0.0.1/32"), json!("(1,x)")]]);
    write(database, "CREATE TABLE spans (i interval)", &[]).await;
    let written = write(
        database,
        "INSERT INTO spans VALUES ($1), ($1) RETURNING i",
        &[json!("90 minutes")],
    )
    .await;
    assert_eq!(
        (written.rows_affected, written.returned.rows),
        (2, vec![vec![json!("01:30:00")]; 2])
    );
    assert_eq!(written.returned.columns[0].r#type, "interval");
}

#[tokio::test]
async fn a_wrong_parameter_names_itself() {
    let (_server, fixture) = postgres().await;
    for (query, params, field) in [
        (
            "SELECT $1::int4, $2::int2",
            vec![json!(1), json!(40000)],
            "params[1]",
        ),
        (
            "SELECT $1::date, $2::date",
            vec![json!("2024-01-01"), json!("2024-02-30")],
            "params[1]",
        ),
        ("SELECT $1::numeric", vec![json!(0.5)], "params[0]"),
        ("SELECT $1::int4[]", vec![json!([1, [2]])], "params[0]"),
        ("SELECT $1::interval", vec![json!("nonsense")], "params[0]"),
        ("SELECT $1::text", vec![json!(5)], "params[0]"),
        ("SELECT $1::float8", vec![json!("NaN")], "params[0]"),
        ("SELECT 1 / $1::int4", vec![json!(0)], "query"),
    ] {
        let error = fixture
            .database
            .read(&context(&fixture.database), Statement::new(query, params))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (ErrorKind::InvalidInput, Some(field)),
            "{query}: {error}"
        );
    }
    assert_unharmed(&fixture.database);
}

#[tokio::test]
async fn a_read_cannot_talk_its_way_out_of_its_transaction() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    write(database, "CREATE TABLE t (id int)", &[]).await;
    let write_by_function = "CREATE FUNCTION sneak() RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
        PERFORM set_config('transaction_read_only', 'off', true); INSERT INTO t VALUES (1); RETURN 1; END $$";
    write(database, write_by_function, &[]).await;
    for query in [
        "SELECT sneak()",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "SELECT nextval('s')",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM x",
        "DO $$ BEGIN END $$",
    ] {
        let read = database
            .read(&context(database), Statement::new(query, []))
            .await;
        assert!(read.is_err(), "{query}");
    }
    assert!(rows(database, "SELECT * FROM t", &[]).await.is_empty());
    assert_eq!(database.write_mode(), WriteMode::Enabled);
}

#[tokio::test]
async fn nothing_of_a_session_outlives_its_statement() {
    let server = Postgres::start().await;
    let mut one = settings(&server.url());
    one.limit = 1;
    let fixture = connect(one).await;
    let database = &fixture.database;
    write(
        database,
        "SELECT set_config('search_path', 'nowhere', false), pg_advisory_lock(7)",
        &[],
    )
    .await;
    write(database, "CREATE TEMP TABLE leftover (id int)", &[]).await;
    let _ = rows(
        database,
        "SELECT set_config('work_mem', '1MB', false), pg_advisory_lock(8)",
        &[],
    )
    .await;
    eventually(Duration::from_secs(5), "a clean session", async || {
        let query = "SELECT current_setting('search_path'), current_setting('work_mem'), to_regclass('pg_temp.leftover')::text, \
            (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')";
        rows(database, query, &[]).await == [[json!("\"$user\", public"), json!("4MB"), json!(null), json!(0)]]
    })
    .await;
    assert!(database.pool_size() <= 5);
}

#[tokio::test]
async fn the_server_ends_a_statement_half_a_second_before_we_would() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    let _ = rows(database, "SELECT 1", &[]).await;
    let limit = "SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::float8";
    for (left, least, most) in [(8_000, 3.0, 7.5), (1_500, 0.05, 1.0)] {
        let ctx = context_for(database, Duration::from_millis(left));
        let read = database.read(&ctx, Statement::new(limit, [])).await;
        let ctx = context_for(database, Duration::from_millis(left));
        let write = database.write(&ctx, Statement::new(limit, [])).await;
        let (read, write) = (read.unwrap().value, write.unwrap().value.returned);
        for rows in [&*read, &write] {
            let seconds = rows.rows[0][0].as_f64().unwrap();
            assert!(seconds > least && seconds <= most, "{seconds} of {left} ms");
        }
    }
}

#[tokio::test]
async fn lost_updates_are_conflicts_worth_a_retry() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    write(
        database,
        "CREATE TABLE account (id int PRIMARY KEY, amount int)",
        &[],
    )
    .await;
    write(database, "INSERT INTO account VALUES (1, 0)", &[]).await;
    let ctx = context(database);
    let add = || {
        let slow = Statement::new("SELECT amount, pg_sleep(1) FROM account", []);
        let update = Statement::new("UPDATE account SET amount = amount + 1", []);
        database.transaction(&ctx, vec![slow, update], Isolation::RepeatableRead)
    };
    // Two connections are open before the two transactions meet.
    let (one, other) = (
        "SELECT 1, pg_sleep(0.2)::text",
        "SELECT 2, pg_sleep(0.2)::text",
    );
    tokio::join!(rows(database, one, &[]), rows(database, other, &[]));
    let (first, second) = tokio::join!(add(), add());
    let error = match (first, second) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        other => panic!("one of them wins: {other:?}"),
    };
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::Conflict, true),
        "{error}"
    );
    assert_eq!(
        rows(database, "SELECT amount FROM account", &[]).await,
        [[json!(1)]]
    );
    assert_unharmed(database);
}

/// Statements of this application that the server runs now.
async fn running(server: &Postgres, marker: &str) -> usize {
    let fixture = connect(settings(&server.url())).await;
    let query = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1 AND pid <> pg_backend_pid()";
    rows(&fixture.database, query, &[json!(format!("%{marker}%"))])
        .await
        .len()
}

#[tokio::test]
async fn an_abandoned_statement_is_cancelled_on_the_server() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    let ctx = context_for(database, Duration::from_secs(30));
    for writes in [false, true] {
        let statement = Statement::new("SELECT pg_sleep(20) /* forsaken */", []);
        let call = async {
            match writes {
                true => database.write(&ctx, statement).await.map(drop),
                false => database.read(&ctx, statement).await.map(drop),
            }
        };
        let seen = eventually(Duration::from_secs(5), "the statement runs", async || {
            running(&server, "forsaken").await == 1
        });
        tokio::select! {
            ended = call => panic!("it sleeps: {ended:?}"),
            () = seen => {}
        }
        eventually(
            Duration::from_secs(5),
            "the statement is gone",
            async || running(&server, "forsaken").await == 0,
        )
        .await;
    }
    assert_eq!(rows(database, "SELECT 1", &[]).await, [[json!(1)]]);
}

#[tokio::test]
async fn a_superuser_is_refused_unless_it_is_allowed() {
    let server = Postgres::start().await;
    let fixture = connect(settings(&server.superuser_url())).await;
    let database = &fixture.database;
    let error = database
        .read(&context(database), Statement::new("SELECT 1", []))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        database.check().await[0]
            .result
            .as_ref()
            .unwrap_err()
            .detail
            .contains("superuser")
    );
    let mut allowed = settings(&server.superuser_url());
    allowed.allow_superuser = true;
    let fixture = connect(allowed).await;
    assert_eq!(rows(&fixture.database, "SELECT 1", &[]).await, [[json!(1)]]);
}

#[tokio::test]
async fn a_check_names_the_remedy() {
    let server = Postgres::start().await;
    let url = server.url();
    let closed = mainstay_testkit::free_port();
    for (url, words) in [
        (url.replace(":mainstay@", ":wrong@"), "password"),
        (
            url.replace("/mainstay", "/absent")
                .replace("//absent", "//mainstay"),
            "does not exist",
        ),
        (
            url.replace(&format!(":{}", server.port()), &format!(":{closed}")),
            "nothing listens",
        ),
        (format!("{url}?sslmode=require"), "TLS"),
    ] {
        let fixture = connect(settings(&url)).await;
        let checked = fixture.database.check().await;
        let detail = &checked[0].result.as_ref().unwrap_err().detail;
        assert!(detail.contains(words), "{words}: {detail}");
    }
    let mut both = settings(&url);
    both.replica = Some(parse(&url));
    let checked = connect(both).await.database.check().await;
    assert_eq!(
        checked
            .iter()
            .map(|one| one.endpoint.as_str())
            .collect::<Vec<_>>(),
        ["database", "database/replica"]
    );
    assert!(checked.iter().all(|one| one.result.is_ok()), "{checked:?}");
    let mut lost = settings(&url);
    lost.replica = Some(parse(
        &url.replace(&format!(":{}", server.port()), &format!(":{closed}")),
    ));
    let checked = connect(lost).await.database.check().await;
    let detail = &checked[1].result.as_ref().unwrap_err().detail;
    assert!(detail.contains("in database.replica_url"), "{detail}");
}

#[tokio::test]
async fn a_missing_right_is_forbidden_and_harms_nobody() {
    let (_server, fixture) = postgres().await;
    let error = try_write(&fixture.database, "CREATE ROLE other", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
    let read: Result<_, _> = fixture
        .database
        .read(
            &context(&fixture.database),
            Statement::new("SELECT * FROM pg_authid", Vec::<Value>::new()),
        )
        .await;
    assert_eq!(read.unwrap_err().kind, ErrorKind::Forbidden);
    assert_unharmed(&fixture.database);
}
