//! What every variant of the database must do: run by the tests of the embedded and of the real one.
//!
//! Each function makes the tables it needs under names of its own. Statements are written so that PostgreSQL and
//! SQLite understand them alike.
//!
//! # Panics
//! Every function panics when the database does otherwise.
#![allow(clippy::missing_panics_doc, reason = "said once, above")]

use std::time::Duration;

use mainstay_breaker::State;
use mainstay_runtime::{Answer, CallerId, Context, Error, ErrorKind, Source};
use serde_json::{Value, json};

use crate::{Database, IdempotencyKey, Isolation, Statement, WriteMode, Written};

/// A context that leaves five seconds.
pub fn context(database: &Database) -> Context {
    // A busy machine takes its time to start a connection.
    context_for(database, Duration::from_secs(20))
}

/// A context that leaves this long.
pub fn context_for(database: &Database, left: Duration) -> Context {
    Context::new(CallerId(7), database.guard().now() + left)
}

/// Reads, and returns the rows' values.
pub async fn rows(database: &Database, query: &str, params: &[Value]) -> Vec<Vec<Value>> {
    let answer = read(database, query, params).await;
    answer.unwrap_or_else(|error| panic!("{query}: {error}"))
}

async fn read(
    database: &Database,
    query: &str,
    params: &[Value],
) -> Result<Vec<Vec<Value>>, Error> {
    let answer = database
        .read(&context(database), Statement::new(query, params))
        .await?;
    assert_eq!(
        (answer.source, answer.age),
        (Source::Primary, None),
        "a fresh answer is the primary's"
    );
    Ok(answer.value.rows.clone())
}

/// Writes, and returns what was done.
pub async fn write(database: &Database, query: &str, params: &[Value]) -> Written {
    let answer = try_write(database, query, params).await;
    answer.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// Writes, and returns what was done or why not.
pub async fn try_write(
    database: &Database,
    query: &str,
    params: &[Value],
) -> Result<Written, Error> {
    let answer: Answer<Written> = database
        .write(&context(database), Statement::new(query, params))
        .await?;
    Ok(answer.value)
}

async fn refused(database: &Database, query: &str, params: &[Value]) -> [Error; 2] {
    let read = read(database, query, params).await.expect_err(query);
    [
        read,
        try_write(database, query, params).await.expect_err(query),
    ]
}

/// Nothing so far has counted as a failure.
#[track_caller]
pub fn assert_unharmed(database: &Database) {
    let breaker = database.guard().snapshot();
    assert_eq!((breaker.state, breaker.failures_in_row), (State::Closed, 0));
    assert_eq!(breaker.totals.failures, 0);
    assert_eq!(database.write_mode(), WriteMode::Enabled);
}

/// What was written is read back unchanged, and NULL is no value.
pub async fn values_come_back_as_they_were_written(database: &Database) {
    let create = "CREATE TABLE round_trip (id BIGINT PRIMARY KEY, name TEXT, active BOOLEAN, price TEXT, weight DOUBLE PRECISION, extra JSON)";
    write(database, create, &[]).await;
    let full = [
        json!(i64::MAX),
        json!("ñandú 'x' \"y\" 🦀"),
        json!(true),
        json!("1234567890.10"),
        json!(0.1),
        json!({"a": [1, null]}),
    ];
    let empty = [
        json!(-1),
        json!(null),
        json!(null),
        json!(null),
        json!(null),
        json!(null),
    ];
    for row in [&full, &empty] {
        let written = write(
            database,
            "INSERT INTO round_trip VALUES ($1, $2, $3, $4, $5, $6)",
            row,
        )
        .await;
        assert_eq!(written.rows_affected, 1);
    }
    let found = rows(database, "SELECT * FROM round_trip ORDER BY id DESC", &[]).await;
    assert_eq!(found, [full.to_vec(), empty.to_vec()]);
}

/// No row is an empty result with its columns, never an error.
pub async fn an_empty_result_has_columns_and_no_rows(database: &Database) {
    write(
        database,
        "CREATE TABLE nothing_here (id BIGINT, name TEXT)",
        &[],
    )
    .await;
    let query = Statement::new(
        "SELECT id, name FROM nothing_here WHERE id = $1",
        [json!(1)],
    );
    let answer = database
        .read(&context(database), query)
        .await
        .expect("an empty table can be read");
    let names: Vec<&str> = answer
        .value
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["id", "name"]);
    assert!(answer.value.rows.is_empty());
}

/// The count of rows and the rows of RETURNING are told.
pub async fn a_write_says_what_it_did(database: &Database) {
    write(database, "CREATE TABLE counted (id BIGINT, name TEXT)", &[]).await;
    let insert = "INSERT INTO counted VALUES ($1, 'a'), ($2, 'b') RETURNING id, name";
    let written = write(database, insert, &[json!(1), json!(2)]).await;
    assert_eq!(written.rows_affected, 2);
    assert_eq!(
        written.returned.rows,
        [[json!(1), json!("a")], [json!(2), json!("b")]]
    );
    assert_eq!(
        write(
            database,
            "UPDATE counted SET name = 'c' WHERE id > $1",
            &[json!(1)]
        )
        .await
        .rows_affected,
        1
    );
    assert_eq!(
        write(database, "DELETE FROM counted WHERE id > $1", &[json!(5)])
            .await
            .rows_affected,
        0
    );
}

/// The database itself refuses a write where only reading was asked for, and nothing is changed.
pub async fn a_write_in_a_read_is_refused_by_the_database(database: &Database) {
    write(database, "CREATE TABLE kept (id BIGINT)", &[]).await;
    write(database, "INSERT INTO kept VALUES (1)", &[]).await;
    for query in [
        "DELETE FROM kept",
        "INSERT INTO kept VALUES (2) RETURNING id",
        "CREATE TABLE sneaked (id BIGINT)",
        "DROP TABLE kept",
    ] {
        let error = read(database, query, &[]).await.expect_err(query);
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (ErrorKind::InvalidInput, Some("query")),
            "{query}: {error}"
        );
    }
    assert_eq!(
        rows(database, "SELECT id FROM kept", &[]).await,
        [[json!(1)]]
    );
    assert_unharmed(database);
}

/// One statement each.
pub async fn two_statements_are_refused(database: &Database) {
    write(database, "CREATE TABLE two (id BIGINT)", &[]).await;
    for error in refused(database, "SELECT 1; SELECT 2", &[])
        .await
        .into_iter()
        .chain(refused(database, "SELECT 1;DELETE FROM two", &[]).await)
    {
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (ErrorKind::InvalidInput, Some("query")),
            "{error}"
        );
    }
    assert_eq!(
        rows(database, "SELECT 1; -- ; only a comment follows", &[]).await,
        [[json!(1)]]
    );
    assert_unharmed(database);
}

/// Statements that would leave our transaction or session never arrive.
pub async fn transaction_and_session_control_is_refused(database: &Database) {
    for query in [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "END",
        "/* x */ ROLLBACK",
        "ABORT",
        "SAVEPOINT a",
        "RELEASE a",
        "VACUUM",
        "SET x = 1",
        "RESET ALL",
        "DISCARD ALL",
        "LISTEN x",
        "UNLISTEN *",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "DO $$ BEGIN END $$",
        "LOAD 'x'",
        "CHECKPOINT",
        "COPY t FROM '/etc/passwd'",
        "COPY t TO PROGRAM 'sh'",
        "ATTACH 'x' AS y",
        "DETACH y",
        "PRAGMA user_version",
    ] {
        for error in refused(database, query, &[]).await {
            assert_eq!(
                (error.kind, error.field.as_deref()),
                (ErrorKind::Forbidden, Some("query")),
                "{query}: {error}"
            );
        }
    }
    assert_unharmed(database);
}

/// Mainstay's own names can't be touched.
pub async fn reserved_names_are_refused(database: &Database) {
    for query in [
        "SELECT * FROM mainstay_cache",
        "CREATE TABLE \"Mainstay_x\" (id BIGINT)",
        "SELECT * FROM mainstay.x",
    ] {
        for error in refused(database, query, &[]).await {
            assert_eq!(
                (error.kind, error.field.as_deref()),
                (ErrorKind::Forbidden, Some("query")),
                "{query}: {error}"
            );
        }
    }
}

/// A request that is wrong is told which part is, and counts against nobody.
pub async fn mistakes_name_their_field(database: &Database) {
    for (query, params, field) in [
        ("SELEC 1", &[][..], "query"),
        ("SELECT * FROM no_such_table", &[], "query"),
        ("", &[], "query"),
        ("SELECT 1 WHERE 1 = $1", &[], "params"),
        ("SELECT 1", &[json!(1)], "params"),
    ] {
        for error in refused(database, query, params).await {
            assert_eq!(
                (error.kind, error.field.as_deref()),
                (ErrorKind::InvalidInput, Some(field)),
                "{query}: {error}"
            );
        }
    }
    assert_unharmed(database);
}

/// A constraint is a correct "no".
pub async fn a_violated_constraint_is_a_conflict(database: &Database) {
    write(database, "CREATE TABLE single (id BIGINT PRIMARY KEY)", &[]).await;
    write(database, "INSERT INTO single VALUES (1)", &[]).await;
    for _ in 0..5 {
        let error = try_write(database, "INSERT INTO single VALUES (1)", &[])
            .await
            .expect_err("the key is taken");
        assert_eq!(
            (error.kind, error.retryable),
            (ErrorKind::Conflict, false),
            "{error}"
        );
    }
    assert_unharmed(database);
}

/// All statements of a transaction, or none of them.
pub async fn a_transaction_is_all_or_nothing(database: &Database) {
    write(database, "CREATE TABLE whole (id BIGINT PRIMARY KEY)", &[]).await;
    let insert = |id: i64| Statement::new("INSERT INTO whole VALUES ($1)", [json!(id)]);
    let ctx = context(database);
    let failed = database
        .transaction(
            &ctx,
            vec![insert(1), insert(2), insert(1)],
            Isolation::Serializable,
        )
        .await;
    assert_eq!(failed.expect_err("a key twice").kind, ErrorKind::Conflict);
    assert!(rows(database, "SELECT id FROM whole", &[]).await.is_empty());
    let wrong = vec![insert(1), Statement::new("SELEC", [])];
    let error = database
        .transaction(&ctx, wrong, Isolation::ReadCommitted)
        .await
        .expect_err("no SQL");
    assert_eq!(error.field.as_deref(), Some("operations[1].query"));
    let error = database
        .transaction(
            &ctx,
            vec![Statement::new("COMMIT", [])],
            Isolation::ReadCommitted,
        )
        .await
        .expect_err("control");
    assert_eq!(
        (error.kind, error.field.as_deref()),
        (ErrorKind::Forbidden, Some("operations[0].query"))
    );
    for (isolation, id) in [
        (Isolation::ReadCommitted, 10),
        (Isolation::RepeatableRead, 20),
        (Isolation::Serializable, 30),
    ] {
        let done = database
            .transaction(&ctx, vec![insert(id), insert(id + 1)], isolation)
            .await
            .expect("both fit");
        assert_eq!(
            done.value
                .iter()
                .map(|written| written.rows_affected)
                .collect::<Vec<_>>(),
            [1, 1]
        );
    }
    assert_eq!(
        rows(database, "SELECT count(*) FROM whole", &[]).await,
        [[json!(6)]]
    );
    assert_eq!(
        database
            .transaction(&ctx, vec![], Isolation::ReadCommitted)
            .await
            .expect_err("empty")
            .field
            .as_deref(),
        Some("operations")
    );
    assert_unharmed(database);
}

/// A result over the limits is an error that says so, and a write with such a result changes nothing.
pub async fn a_result_over_the_limits_is_refused(database: &Database) {
    const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) SELECT i FROM n";
    const WIDE: &str = "WITH RECURSIVE n(i) AS (SELECT 'xxxxxxxx' UNION ALL SELECT i || i FROM n WHERE length(i) < 10000000) SELECT i FROM n";
    for query in [MANY, WIDE] {
        let error = read(database, query, &[]).await.expect_err("too large");
        assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    }
    write(database, "CREATE TABLE crowd (id BIGINT)", &[]).await;
    let error = try_write(
        database,
        &format!("INSERT INTO crowd {MANY} RETURNING id"),
        &[],
    )
    .await
    .expect_err("too large");
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    assert!(rows(database, "SELECT id FROM crowd", &[]).await.is_empty());
    assert_unharmed(database);
}

/// A statement without end is ended before the deadline: a timeout that the database isn't blamed for.
pub async fn an_endless_statement_is_ended_in_time(database: &Database) {
    const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n WHERE i < 2) SELECT count(*) FROM n";
    let started = database.guard().now();
    let ctx = context_for(database, Duration::from_millis(1200));
    let error = database
        .read(&ctx, Statement::new(ENDLESS, []))
        .await
        .expect_err("it has no end");
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(
        database.guard().now() < ctx.deadline,
        "the answer comes before the deadline"
    );
    assert!(database.guard().now().saturating_since(started) >= Duration::from_millis(500));
    assert_unharmed(database);
}

/// A key of callers.
pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Writes under a key.
pub async fn write_once(
    database: &Database,
    query: &str,
    name: &str,
) -> Result<Answer<Written>, Error> {
    let statement = Statement::new(query, []);
    database
        .write_once(&context(database), statement, Some(&key(name)))
        .await
}

/// A key stands for one write: asked for again, it gives the first outcome and does nothing.
pub async fn a_key_gives_the_first_outcome(database: &Database) {
    const INSERT: &str =
        "INSERT INTO once (weight) VALUES (0.1), (5e-324) RETURNING weight, weight AS again";
    write(database, "CREATE TABLE once (weight DOUBLE PRECISION)", &[]).await;
    let first = write_once(database, INSERT, "a").await.expect("it fits");
    assert_eq!((first.value.rows_affected, first.age), (2, None));
    for _ in 0..3 {
        let again = write_once(database, INSERT, "a")
            .await
            .expect("it is known");
        assert_eq!(again.value, first.value);
        assert!(again.age.is_some() && again.source == Source::Primary);
    }
    let insert = || vec![Statement::new("INSERT INTO once VALUES ($1)", [json!(3)]); 2];
    let (ctx, name) = (context(database), key("b"));
    for replayed in [false, true] {
        let done = database
            .transaction_once(&ctx, insert(), Isolation::Serializable, Some(&name))
            .await
            .expect("it fits");
        assert_eq!((done.value.len(), done.age.is_some()), (2, replayed));
    }
    assert_eq!(
        rows(database, "SELECT count(*) FROM once", &[]).await,
        [[json!(4)]]
    );
    assert_unharmed(database);
}

/// The same key for anything else is a mistake, and does nothing.
pub async fn a_key_used_for_another_request_is_refused(database: &Database) {
    write(database, "CREATE TABLE other (id BIGINT)", &[]).await;
    let one = "INSERT INTO other VALUES (1)";
    write_once(database, one, "a").await.expect("it fits");
    let error = write_once(database, "INSERT INTO other VALUES (2)", "a")
        .await
        .expect_err("another body");
    assert_eq!(error.kind, ErrorKind::KeyReused, "{error}");
    let (ctx, name) = (context(database), key("a"));
    let error = database
        .transaction_once(
            &ctx,
            vec![Statement::new(one, [])],
            Isolation::default(),
            Some(&name),
        )
        .await
        .expect_err("another route");
    assert_eq!(error.kind, ErrorKind::KeyReused, "{error}");
    let stranger = Context {
        caller: CallerId(8),
        ..ctx
    };
    let done = database
        .write_once(&stranger, Statement::new(one, []), Some(&name))
        .await;
    assert_eq!(done.expect("another caller's key is another key").age, None);
    assert_eq!(
        rows(database, "SELECT count(*) FROM other", &[]).await,
        [[json!(2)]]
    );
    assert_unharmed(database);
}

/// What failed changed nothing: the key is free for the same or for another request.
pub async fn a_write_that_failed_leaves_its_key_free(database: &Database) {
    write(database, "CREATE TABLE freed (id BIGINT PRIMARY KEY)", &[]).await;
    write(database, "INSERT INTO freed VALUES (1)", &[]).await;
    let insert = "INSERT INTO freed VALUES (1)";
    for _ in 0..2 {
        let error = write_once(database, insert, "a")
            .await
            .expect_err("the key is taken");
        assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    }
    write(database, "DELETE FROM freed", &[]).await;
    assert_eq!(
        write_once(database, insert, "a")
            .await
            .expect("it fits now")
            .age,
        None
    );
    assert_unharmed(database);
}

/// The same request at the same time is told to wait; it happens once.
pub async fn a_key_that_is_still_running_is_a_conflict(database: &Database) {
    write(database, "CREATE TABLE busy (id BIGINT)", &[]).await;
    let insert = "INSERT INTO busy VALUES (1)";
    let (first, second, other) = tokio::join!(
        write_once(database, insert, "a"),
        write_once(database, insert, "a"),
        write_once(database, "INSERT INTO busy VALUES (2)", "a"),
    );
    assert_eq!(first.expect("it runs").age, None);
    let error = second.expect_err("the first still runs");
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::Conflict, true),
        "{error}"
    );
    assert!(error.retry_after.is_some());
    assert_eq!(other.expect_err("another body").kind, ErrorKind::KeyReused);
    assert!(
        write_once(database, insert, "a")
            .await
            .expect("it is known")
            .age
            .is_some()
    );
    assert_eq!(
        rows(database, "SELECT id FROM busy", &[]).await,
        [[json!(1)]]
    );
}

/// The records are nobody's to read or to change.
pub async fn records_of_keys_are_out_of_reach(database: &Database) {
    write(database, "CREATE TABLE near (id BIGINT)", &[]).await;
    let insert = "INSERT INTO near VALUES (1)";
    write_once(database, insert, "a").await.expect("it fits");
    for query in [
        "SELECT * FROM mainstay_idempotency",
        "DELETE FROM Mainstay_Idempotency",
        "DROP TABLE \"mainstay_idempotency\"",
        "UPDATE mainstay_idempotency SET outcome = NULL",
        "CREATE TABLE linked (id TEXT REFERENCES mainstay_idempotency (id))",
        "ALTER TABLE mainstay_idempotency RENAME TO mine",
    ] {
        for error in refused(database, query, &[]).await {
            assert_eq!(error.kind, ErrorKind::Forbidden, "{query}: {error}");
        }
    }
    assert!(
        write_once(database, insert, "a")
            .await
            .expect("it is known")
            .age
            .is_some()
    );
}
