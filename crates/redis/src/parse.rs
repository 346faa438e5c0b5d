//! A command from an operation's name and its JSON body, with errors that name the field and the remedy.

use std::time::Duration;

use mainstay_runtime::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::command::{Action, Command, End, OPERATIONS, Range, SetCondition, SetExpiry};
use crate::value::{Blob, Key};

/// Longest time to live that is accepted.
pub const MAX_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Command {
    /// Reads a command.
    ///
    /// | operation | body |
    /// |---|---|
    /// | `get delete lpop rpop llen smembers scard hgetall zcard ttl` | `{"key"}` |
    /// | `set` | `{"key", "value", "ttl"?, "keep_ttl"?: true, "if"?: "absent" \| "present"}` |
    /// | `incr` | `{"key", "by"?: 1}` |
    /// | `lpush rpush` | `{"key", "values": […]}` or `{"key", "value"}` |
    /// | `lrange zrange` | `{"key", "start"?: 0, "stop"?: -1}`, `zrange` also `"with_scores"?: false` |
    /// | `sadd srem` | `{"key", "members": […]}` or `{"key", "member"}` |
    /// | `hset` | `{"key", "fields": {"name": value}}` or `{"key", "field", "value"}` |
    /// | `hget` | `{"key", "field"}` |
    /// | `hdel` | `{"key", "fields": […]}` or `{"key", "field"}` |
    /// | `zadd` | `{"key", "members": [{"member", "score"}]}` or `{"key", "member", "score"}` |
    /// | `expire` | `{"key", "ttl"}` |
    /// | `ping` | `{}` |
    ///
    /// Values, members and fields are strings, integers (kept as decimal digits) or `{"base64": "…"}`; `ttl` is in
    /// seconds, fractions down to a millisecond included.
    ///
    /// # Errors
    /// `invalid-input` that names the field; an unknown field or operation is named with the nearest known one.
    pub fn parse(operation: &str, body: &Value) -> Result<Self, Error> {
        let operation = known(operation)?;
        let Value::Object(map) = body else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the body is a JSON object, e.g. {\"key\": \"…\"}",
            ));
        };
        let mut body = Body {
            map,
            known: Vec::new(),
        };
        if operation == "ping" {
            return body.finish(operation).map(|()| Self::Ping);
        }
        let key = body.key();
        let action = action(operation, &mut body);
        // A misspelt name explains a missing one better than "is missing" would.
        body.finish(operation)?;
        Ok(Self::At {
            key: key?,
            action: action?,
        })
    }
}

fn known(operation: &str) -> Result<&'static str, Error> {
    OPERATIONS
        .into_iter()
        .find(|known| *known == operation)
        .ok_or_else(|| {
            let detail = match nearest(operation, &OPERATIONS) {
                Some(near) => format!(
                    "no such operation; did you mean {near:?}? There are: {}",
                    OPERATIONS.join(" ")
                ),
                None => format!("no such operation; there are: {}", OPERATIONS.join(" ")),
            };
            Error::invalid("operation", detail)
        })
}

fn action(operation: &'static str, body: &mut Body<'_>) -> Result<Action, Error> {
    Ok(match operation {
        "get" => Action::Get,
        "set" => set(body)?,
        "delete" => Action::Delete,
        "incr" => Action::Incr {
            by: body.integer("by", 1)?,
        },
        "lpush" => Action::Push {
            end: End::Left,
            values: body.one_or_many("value", "values")?,
        },
        "rpush" => Action::Push {
            end: End::Right,
            values: body.one_or_many("value", "values")?,
        },
        "lpop" => Action::Pop { end: End::Left },
        "rpop" => Action::Pop { end: End::Right },
        "llen" => Action::Llen,
        "lrange" => Action::Lrange(body.range()?),
        "sadd" => Action::Sadd(body.one_or_many("member", "members")?),
        "srem" => Action::Srem(body.one_or_many("member", "members")?),
        "smembers" => Action::Smembers,
        "scard" => Action::Scard,
        "hset" => Action::Hset(body.fields()?),
        "hget" => Action::Hget(body.blob("field")?),
        "hgetall" => Action::Hgetall,
        "hdel" => Action::Hdel(body.one_or_many("field", "fields")?),
        "zadd" => Action::Zadd(body.scored()?),
        "zrange" => {
            let with_scores = body.flag("with_scores")?;
            Action::Zrange {
                range: body.range()?,
                with_scores,
            }
        }
        "zcard" => Action::Zcard,
        "expire" => Action::Expire(body.ttl()?.ok_or_else(|| missing("ttl"))?),
        "ttl" => Action::Ttl,
        _ => {
            return Err(Error::new(
                ErrorKind::Internal,
                "an operation is listed but not read",
            ));
        }
    })
}

fn set(body: &mut Body<'_>) -> Result<Action, Error> {
    let (value, ttl, keep, condition) = (
        body.blob("value"),
        body.ttl(),
        body.flag("keep_ttl"),
        body.take("if"),
    );
    let expiry = match (ttl?, keep?) {
        (Some(_), true) => {
            return Err(Error::invalid(
                "keep_ttl",
                "\"ttl\" and \"keep_ttl\" exclude each other: send one of them",
            ));
        }
        (Some(ttl), false) => SetExpiry::After(ttl),
        (None, true) => SetExpiry::Keep,
        (None, false) => SetExpiry::Never,
    };
    let condition = match condition.map(Value::as_str) {
        None => SetCondition::Always,
        Some(Some("absent")) => SetCondition::IfAbsent,
        Some(Some("present")) => SetCondition::IfPresent,
        Some(_) => return Err(Error::invalid("if", "is \"absent\" or \"present\"")),
    };
    Ok(Action::Set {
        value: value?,
        expiry,
        condition,
    })
}

/// A body whose fields are asked for by name: what was never asked for is unknown.
struct Body<'a> {
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Body<'a> {
    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name)
    }

    fn need(&mut self, name: &'static str) -> Result<&'a Value, Error> {
        self.take(name).ok_or_else(|| missing(name))
    }

    fn key(&mut self) -> Result<Key, Error> {
        match self.need("key")? {
            Value::String(key) => Key::new(key),
            _ => Err(Error::invalid("key", "is a string")),
        }
    }

    fn blob(&mut self, name: &'static str) -> Result<Blob, Error> {
        Blob::parse(name, self.need(name)?)
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, Error> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Error::invalid(name, "is true or false")),
        }
    }

    fn integer(&mut self, name: &'static str, default: i64) -> Result<i64, Error> {
        match self.take(name) {
            None => Ok(default),
            Some(json) => json.as_i64().ok_or_else(|| {
                Error::invalid(
                    name,
                    format!("is a whole number from {} to {}", i64::MIN, i64::MAX),
                )
            }),
        }
    }

    fn range(&mut self) -> Result<Range, Error> {
        let (start, stop) = (self.integer("start", 0), self.integer("stop", -1));
        Ok(Range {
            start: start?,
            stop: stop?,
        })
    }

    fn ttl(&mut self) -> Result<Option<Duration>, Error> {
        let Some(json) = self.take("ttl") else {
            return Ok(None);
        };
        let seconds = json
            .as_f64()
            .ok_or_else(|| Error::invalid("ttl", "is a number of seconds"))?;
        if seconds.is_nan() || seconds < 0.001 {
            return Err(Error::invalid(
                "ttl",
                "is at least 0.001 seconds; to remove a key use delete",
            ));
        }
        if seconds > MAX_TTL.as_secs_f64() {
            let detail = format!(
                "is at most {} seconds; leave it out for a key without expiry",
                MAX_TTL.as_secs()
            );
            return Err(Error::invalid("ttl", detail));
        }
        // Redis counts whole milliseconds.
        let millis = Duration::from_secs_f64(seconds).as_millis();
        Ok(Some(Duration::from_millis(
            u64::try_from(millis).unwrap_or(u64::MAX),
        )))
    }

    /// `{"member": …}` or `{"members": […]}`.
    fn one_or_many(&mut self, one: &'static str, many: &'static str) -> Result<Vec<Blob>, Error> {
        match (self.take(one), self.take(many)) {
            (Some(_), Some(_)) => Err(both(one, many)),
            (Some(json), None) => Ok(vec![Blob::parse(one, json)?]),
            (None, json) => {
                let items = list(many, json)?.iter().enumerate();
                items
                    .map(|(at, item)| Blob::parse(&format!("{many}[{at}]"), item))
                    .collect()
            }
        }
    }

    fn fields(&mut self) -> Result<Vec<(Blob, Blob)>, Error> {
        match (self.take("field"), self.take("value"), self.take("fields")) {
            (Some(_), _, Some(_)) => Err(both("field", "fields")),
            (_, Some(_), Some(_)) => Err(both("value", "fields")),
            (Some(field), Some(value), None) => Ok(vec![(
                Blob::parse("field", field)?,
                Blob::parse("value", value)?,
            )]),
            (Some(_), None, None) => Err(missing("value")),
            (None, Some(_), None) => Err(missing("field")),
            (None, None, Some(Value::Object(map))) if !map.is_empty() => {
                let pairs = map.iter();
                pairs
                    .map(|(name, json)| {
                        Ok((
                            name.as_str().into(),
                            Blob::parse(&format!("fields.{name}"), json)?,
                        ))
                    })
                    .collect()
            }
            (None, None, Some(_)) => Err(Error::invalid(
                "fields",
                "is an object with at least one field: {\"name\": value}",
            )),
            (None, None, None) => Err(missing("fields")),
        }
    }

    fn scored(&mut self) -> Result<Vec<(f64, Blob)>, Error> {
        match (
            self.take("member"),
            self.take("score"),
            self.take("members"),
        ) {
            (Some(_), _, Some(_)) => Err(both("member", "members")),
            (_, Some(_), Some(_)) => Err(both("score", "members")),
            (Some(member), score, None) => Ok(vec![(
                score_of("score", score)?,
                Blob::parse("member", member)?,
            )]),
            (None, _, json) => {
                let items = list("members", json)?.iter().enumerate();
                items.map(|(at, item)| scored_member(at, item)).collect()
            }
        }
    }

    fn finish(&self, operation: &str) -> Result<(), Error> {
        let Some(name) = self
            .map
            .keys()
            .find(|name| !self.known.contains(&name.as_str()))
        else {
            return Ok(());
        };
        let detail = match (nearest(name, &self.known), self.known.is_empty()) {
            (Some(near), _) => format!("{operation} has no such field; did you mean {near:?}?"),
            (None, true) => format!("{operation} takes no fields"),
            (None, false) => format!(
                "{operation} has no such field; it takes: {}",
                self.known.join(", ")
            ),
        };
        Err(Error::invalid(name.as_str(), detail))
    }
}

fn scored_member(at: usize, json: &Value) -> Result<(f64, Blob), Error> {
    let name = |part: &str| format!("members[{at}]{part}");
    let Value::Object(map) = json else {
        return Err(Error::invalid(
            name(""),
            "is an object: {\"member\": …, \"score\": number}",
        ));
    };
    if let Some(other) = map
        .keys()
        .find(|field| !["member", "score"].contains(&field.as_str()))
    {
        return Err(Error::invalid(
            name(&format!(".{other}")),
            "no such field; a member has \"member\" and \"score\"",
        ));
    }
    let member = map.get("member").ok_or_else(|| missing(&name(".member")))?;
    let score = score_of(&name(".score"), map.get("score"))?;
    Ok((score, Blob::parse(&name(".member"), member)?))
}

fn score_of(field: &str, json: Option<&Value>) -> Result<f64, Error> {
    let json = json.ok_or_else(|| missing(field))?;
    match json.as_f64() {
        // Negative zero equals zero in every order, so it's kept as zero.
        Some(score) if score.is_finite() => Ok(score + 0.0),
        _ => Err(Error::invalid(field, "is a finite number")),
    }
}

fn list<'a>(name: &'static str, json: Option<&'a Value>) -> Result<&'a Vec<Value>, Error> {
    match json {
        None => Err(missing(name)),
        Some(Value::Array(items)) if !items.is_empty() => Ok(items),
        Some(_) => Err(Error::invalid(name, "is a list with at least one item")),
    }
}

fn missing(field: &str) -> Error {
    Error::invalid(field, "is missing")
}

fn both(one: &str, many: &'static str) -> Error {
    Error::invalid(
        many,
        format!("{one:?} and {many:?} exclude each other: send one of them"),
    )
}

fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word = word.to_lowercase();
    let apart = |near: &&str| strsim::damerau_levenshtein(&word, near);
    let best = known.iter().copied().min_by_key(apart)?;
    (apart(&best) <= (best.len() / 3).max(1)).then_some(best)
}
