//! The tables of `docs/redis-is-down.md`, from the table that the code follows.

use std::fmt::Write as _;

use super::Rule::{Add, Count, Known, Read, Refuse, Remove, Sum, Write};
use super::{Rule, TABLE, rule};
use crate::class::Class;

impl Rule {
    const ALL: [Self; 8] = [Read, Sum, Write, Add, Remove, Known, Count, Refuse];

    fn word(self) -> &'static str {
        match self {
            Read => "read",
            Sum => "sum",
            Write => "write",
            Add => "add",
            Remove => "remove",
            Known => "known",
            Count => "count",
            Refuse => "refused",
        }
    }

    /// What a caller gets: on a key that memory knows, and on one that it doesn't.
    fn answers(self) -> [&'static str; 2] {
        match self {
            Read => [
                "its answer; `ttl` is `unknown` where nobody said it",
                "`unknown`: the key may or may not exist",
            ],
            Sum => [
                "its answer",
                "`delta` with `value: null` once it was counted here, else `unknown`",
            ],
            Write => [
                "`stored` or `not_stored`",
                "`stored`; with `if`, and for a session with `keep_ttl`, refused with 503",
            ],
            Add => [
                "the result",
                "`applied`: taken, but the result can't be known",
            ],
            Remove => [
                "the result",
                "`applied`; after `delete` the key is known to be gone",
            ],
            Known => [
                "the result",
                "refused with 503: it depends on what Redis holds",
            ],
            Count => [
                "`counter` with the new value",
                "`delta`: what was counted here so far, with `value: null`",
            ],
            Refuse => ["refused with 503", "refused with 503"],
        }
    }
}

/// What becomes of a class's keys when Redis is back.
fn on_return(class: Class) -> &'static str {
    match class {
        Class::Cache => {
            "every key written meanwhile is deleted in Redis, then forgotten here: a cache refills"
        }
        Class::Counter => {
            "what was counted here is added, exactly once; a counter that Redis refuses to add to keeps its value, and an event says so"
        }
        Class::Session => {
            "the value here is written if Redis has none or the one last seen; otherwise Redis' value stands, and an event says so"
        }
        Class::Lock | Class::Queue => "nothing was done that Redis would have to learn",
    }
}

/// The tables of the documentation, as Markdown.
pub fn markdown() -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write_markdown(&mut text);
    text
}

/// The word of the table for an operation on a key of a class.
pub fn word(class: Class, operation: &str) -> &'static str {
    rule(class, operation).word()
}

fn write_markdown(text: &mut String) -> std::fmt::Result {
    let names = Class::ALL.map(Class::as_str).join(" | ");
    writeln!(text, "| operation | {names} |\n|---|---|---|---|---|---|")?;
    for (operation, _) in TABLE {
        let words = Class::ALL.map(|class| rule(class, operation).word());
        writeln!(text, "| `{operation}` | {} |", words.join(" | "))?;
    }
    writeln!(
        text,
        "\n| rule | on a key that memory knows | on one that it doesn't |\n|---|---|---|"
    )?;
    for rule in Rule::ALL {
        let [known, unknown] = rule.answers();
        writeln!(text, "| {} | {known} | {unknown} |", rule.word())?;
    }
    writeln!(text, "\n| class | when Redis is back |\n|---|---|")?;
    for class in Class::ALL {
        writeln!(text, "| `{}` | {} |", class.as_str(), on_return(class))?;
    }
    Ok(())
}

#[test]
fn every_operation_has_a_rule() {
    assert_eq!(TABLE.map(|(name, _)| name), crate::OPERATIONS);
}
