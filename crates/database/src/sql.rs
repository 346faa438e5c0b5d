//! What can be told from a statement's text: which kind of session control it is, and which names it uses.
//!
//! Text decides two things only: statements that would leave our transaction or session (BEGIN, SET, COPY …) are refused
//! by their first word, and names in the reserved namespace are refused wherever they stand. Whether a statement
//! writes is never read from its text: the database's read-only transaction decides that.
//!
//! Limit: a name that is put together inside the database (dynamic SQL in a function) isn't seen here. On SQLite the
//! authorizer sees it; on PostgreSQL the role's rights decide, and all that Mainstay keeps there are the outcomes of the
//! role's own writes.

mod lexer;

use mainstay_runtime::{Error, ErrorKind};

use lexer::{Lexer, Token};

/// Whose lexical rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

/// First words of statements that control the transaction, the session or the server's files.
const REFUSED: [&str; 24] = [
    "abort",
    "attach",
    "begin",
    "checkpoint",
    "commit",
    "copy",
    "deallocate",
    "detach",
    "discard",
    "do",
    "end",
    "execute",
    "listen",
    "load",
    "pragma",
    "prepare",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "set",
    "start",
    "unlisten",
    "vacuum",
];

/// Refuses what must not reach the database, whatever the database would say.
///
/// # Errors
/// `InvalidInput` or `Forbidden`, both naming the field `query`.
pub(crate) fn check(query: &str, dialect: Dialect) -> Result<(), Error> {
    if query.contains('\0') {
        return Err(Error::invalid(
            "query",
            "a statement can't hold the character U+0000",
        ));
    }
    let mut tokens = Lexer {
        rest: query,
        dialect,
    }
    .filter(|token| *token != Token::Semicolon)
    .peekable();
    match tokens.peek() {
        None => return Err(Error::invalid("query", "there is no statement in it")),
        Some(Token::Word(word)) if is_refused(word) => return Err(refused(word)),
        Some(_) => {}
    }
    let mut previous = None;
    for token in tokens {
        check_name(previous, token, dialect)?;
        previous = Some(token);
    }
    Ok(())
}

/// How many parameters the statement takes; `None` when its placeholders aren't of the form `$1`.
pub(crate) fn placeholders(query: &str, dialect: Dialect) -> Option<usize> {
    let mut lexer = Lexer {
        rest: query,
        dialect,
    };
    let mut most = 0;
    while let Some(token) = lexer.next() {
        match token {
            Token::Other('$') => {
                let digits = lexer.rest.chars().take_while(char::is_ascii_digit);
                most = most.max(digits.collect::<String>().parse().unwrap_or(0));
            }
            Token::Other('?' | ':' | '@') if dialect == Dialect::Sqlite => return None,
            _ => {}
        }
    }
    Some(most)
}

/// The statement without what follows its last token, a closing semicolon included.
pub(crate) fn without_semicolon(query: &str, dialect: Dialect) -> &str {
    let mut lexer = Lexer {
        rest: query,
        dialect,
    };
    let mut end = 0;
    while let Some(token) = lexer.next() {
        if token != Token::Semicolon {
            end = query.len() - lexer.rest.len();
        }
    }
    &query[..end]
}

fn is_refused(word: &str) -> bool {
    REFUSED
        .iter()
        .any(|refused| word.eq_ignore_ascii_case(refused))
}

fn refused(word: &str) -> Error {
    let word = word.to_ascii_uppercase();
    let detail = match word.as_str() {
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            format!(
                "{word} is refused: Mainstay opens and ends transactions; send the statements as one transaction"
            )
        }
        _ => format!("{word} is refused: it changes the session or reaches beyond the data"),
    };
    Error::new(ErrorKind::Forbidden, detail).field("query")
}

fn check_name(
    previous: Option<Token<'_>>,
    token: Token<'_>,
    dialect: Dialect,
) -> Result<(), Error> {
    let reserved = match (previous, token) {
        (Some(Token::Word(name) | Token::Quoted(name)), Token::Other('.')) => {
            name.eq_ignore_ascii_case("mainstay")
        }
        (_, Token::Escaped) => {
            return Err(Error::invalid(
                "query",
                "names in the form U&\"…\" are refused: write the characters themselves",
            ));
        }
        (_, Token::Word(name) | Token::Quoted(name)) => is_reserved(name, dialect),
        // SQLite takes a literal as a new name, and doesn't show that to the authorizer.
        (Some(Token::Word(to)), Token::Literal(name)) if dialect == Dialect::Sqlite => {
            to.eq_ignore_ascii_case("to") && is_reserved(name, dialect)
        }
        _ => false,
    };
    if reserved {
        let detail =
            "the schema mainstay, and names that begin with mainstay_ or sqlite_, are reserved";
        return Err(Error::new(ErrorKind::Forbidden, detail).field("query"));
    }
    Ok(())
}

/// Whether a table of this name is Mainstay's own, or the database's.
pub(crate) fn is_reserved(name: &str, dialect: Dialect) -> bool {
    const READABLE: [&str; 4] = [
        "sqlite_schema",
        "sqlite_master",
        "sqlite_version",
        "sqlite_source_id",
    ];
    let begins = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let readable = || {
        READABLE
            .iter()
            .any(|readable| name.eq_ignore_ascii_case(readable))
    };
    begins("mainstay_") || (dialect == Dialect::Sqlite && begins("sqlite_") && !readable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refusals(dialect: Dialect, queries: &[&str]) {
        for query in queries {
            assert!(check(query, dialect).is_err(), "should be refused: {query}");
        }
    }

    #[track_caller]
    fn passes(dialect: Dialect, queries: &[&str]) {
        for query in queries {
            assert_eq!(check(query, dialect), Ok(()), "should pass: {query}");
        }
    }

    #[test]
    fn session_control_is_refused_behind_blanks_comments_and_semicolons() {
        let queries = [
            "COMMIT",
            " \n\tcommit",
            "--x\nROLLBACK",
            "/* a /* b */ c */ SET x = 1",
            ";;COPY t FROM stdin",
            "do $$begin end$$",
            "/**/begin",
            "VACUUM",
            "Listen x",
            "",
        ];
        refusals(Dialect::Postgres, &queries);
        refusals(
            Dialect::Sqlite,
            &[
                "PRAGMA user_version",
                "attach 'x' as y",
                "/* a /* b */ begin",
                "VACUUM INTO 'x'",
                "-- only",
            ],
        );
    }

    #[test]
    fn words_inside_literals_comments_and_names_mean_nothing() {
        let queries = [
            "SELECT 'COMMIT; mainstay_x'",
            "SELECT $$mainstay_x$$, $a$ $$ mainstay. $a$",
            "SELECT E'\\'mainstay_x'",
            "SELECT 1 -- mainstay_x",
            "SELECT \"commit\" FROM settle",
            "SELECT $1::text || $2",
            "SELECT 'it''s mainstay_x'",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "SELECT mainstay FROM t",
            "SELECT u & 3",
            "(SELECT 1)",
            "SELECT 'ñ', \"ñandú\"",
        ];
        passes(Dialect::Postgres, &queries);
        passes(
            Dialect::Sqlite,
            &[
                "SELECT [a b], `c` FROM t WHERE x = $1 AND y = ?2",
                "SELECT * FROM sqlite_schema",
            ],
        );
    }

    #[test]
    fn reserved_names_are_refused_however_they_are_written() {
        let queries = [
            "SELECT * FROM mainstay.t",
            "SELECT * FROM \"mainstay\".t",
            "SELECT * FROM MAINSTAY_cache",
            "SELECT * FROM mainstay . t",
            "DROP TABLE \"Mainstay_x\"",
            "SELECT * FROM U&\"m\\0061instay_x\"",
        ];
        refusals(Dialect::Postgres, &queries);
        refusals(
            Dialect::Sqlite,
            &[
                "SELECT * FROM [mainstay_x]",
                "DELETE FROM `mainstay_x`",
                "UPDATE sqlite_sequence SET seq = 0",
            ],
        );
    }

    #[test]
    fn a_closing_semicolon_and_what_follows_it_is_cut() {
        for (query, cut) in [
            ("SELECT 1", "SELECT 1"),
            ("SELECT 1 ; -- x", "SELECT 1"),
            ("SELECT ';' /* ; */;;", "SELECT ';'"),
        ] {
            assert_eq!(without_semicolon(query, Dialect::Postgres), cut);
        }
    }

    #[test]
    fn placeholders_are_counted_where_they_are_placeholders() {
        for (query, count) in [
            ("SELECT 1", Some(0)),
            ("INSERT INTO t VALUES ($2, $1, $10)", Some(10)),
            ("SELECT '$3', \"$4\" -- $5", Some(0)),
        ] {
            assert_eq!(placeholders(query, Dialect::Postgres), count, "{query}");
            assert_eq!(placeholders(query, Dialect::Sqlite), count, "{query}");
        }
        assert_eq!(
            placeholders("SELECT $$ $1 $$, $1", Dialect::Postgres),
            Some(1)
        );
        assert_eq!(placeholders("SELECT $1::int", Dialect::Postgres), Some(1));
        assert_eq!(placeholders("SELECT ?", Dialect::Sqlite), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(query in "[ -~ñ€\n'\"$/*;\\\\-]{0,60}") {
            let _ = check(&query, Dialect::Postgres);
            let _ = check(&query, Dialect::Sqlite);
            let _ = without_semicolon(&query, Dialect::Postgres);
        }
    }
}
