//! Commands as Redis reads them, and its answers as ours.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd};

use crate::command::{Action, Command, End, Range, SetCondition, SetExpiry};
use crate::reply::{Field, Member, Reply};
use crate::value::Blob;

type Bytes = Vec<u8>;

/// Sends a command and reads its answer.
pub(crate) async fn execute(
    con: &mut MultiplexedConnection,
    command: &Command,
) -> RedisResult<Reply> {
    match command {
        Command::Ping => cmd("PING")
            .query_async::<String>(con)
            .await
            .map(|_| Reply::Pong),
        Command::At { key, action } => at(con, key.as_str(), action).await,
    }
}

async fn at(con: &mut MultiplexedConnection, key: &str, action: &Action) -> RedisResult<Reply> {
    match action {
        Action::Get => ask(con, cmd("GET").arg(key), hit).await,
        Action::Set {
            value,
            expiry,
            condition,
        } => ask(con, &mut set(key, value, *expiry, *condition), stored).await,
        Action::Delete => {
            ask(con, cmd("DEL").arg(key), |n: i64| {
                if n > 0 { Reply::Deleted } else { Reply::Absent }
            })
            .await
        }
        Action::Incr { by } => {
            ask(con, cmd("INCRBY").arg(key).arg(by), |value| {
                Reply::Counter { value }
            })
            .await
        }
        Action::Push { end, values } => {
            let name = if *end == End::Left { "LPUSH" } else { "RPUSH" };
            ask(con, &mut many(name, key, values), Reply::length).await
        }
        Action::Pop { end: End::Left } => ask(con, cmd("LPOP").arg(key), hit).await,
        Action::Pop { end: End::Right } => ask(con, cmd("RPOP").arg(key), hit).await,
        Action::Llen => ask(con, cmd("LLEN").arg(key), Reply::length).await,
        Action::Lrange(range) => {
            part(con, "LLEN", &ranged("LRANGE", key, *range), key, values).await
        }
        Action::Sadd(members) => ask(con, &mut many("SADD", key, members), changed).await,
        Action::Srem(members) => ask(con, &mut many("SREM", key, members), changed).await,
        Action::Smembers => ask(con, cmd("SMEMBERS").arg(key), sorted_members).await,
        Action::Scard => ask(con, cmd("SCARD").arg(key), Reply::length).await,
        Action::Hset(fields) => ask(con, &mut hset(key, fields), changed).await,
        Action::Hget(field) => ask(con, cmd("HGET").arg(key).arg(field.as_bytes()), hit).await,
        Action::Hgetall => ask(con, cmd("HGETALL").arg(key), sorted_fields).await,
        Action::Hdel(fields) => ask(con, &mut many("HDEL", key, fields), changed).await,
        Action::Zadd(members) => ask(con, &mut zadd(key, members), changed).await,
        Action::Zrange {
            range,
            with_scores: false,
        } => part(con, "ZCARD", &ranged("ZRANGE", key, *range), key, values).await,
        Action::Zrange {
            range,
            with_scores: true,
        } => {
            let mut command = ranged("ZRANGE", key, *range);
            command.arg("WITHSCORES");
            part(con, "ZCARD", &command, key, scored).await
        }
        Action::Zcard => ask(con, cmd("ZCARD").arg(key), Reply::length).await,
        Action::Expire(ttl) => {
            let reply = |set: bool| {
                if set {
                    Reply::Expires { ttl: *ttl }
                } else {
                    Reply::Absent
                }
            };
            ask(con, cmd("PEXPIRE").arg(key).arg(millis(*ttl)), reply).await
        }
        Action::Ttl => ask(con, cmd("PTTL").arg(key), remaining).await,
    }
}

async fn ask<T: FromRedisValue>(
    con: &mut MultiplexedConnection,
    command: &mut Cmd,
    reply: impl FnOnce(T) -> Reply,
) -> RedisResult<Reply> {
    command.query_async::<T>(con).await.map(reply)
}

/// A range together with the length, in one round trip: an empty part and a missing key must not look alike.
async fn part<T: FromRedisValue>(
    con: &mut MultiplexedConnection,
    length: &str,
    range: &Cmd,
    key: &str,
    reply: impl FnOnce(T) -> Reply,
) -> RedisResult<Reply> {
    let mut both = redis::pipe();
    both.cmd(length).arg(key).add_command(range.clone());
    let answers = con.send_packed_commands(&both, 0, 2).await?;
    let mut answers = answers.into_iter().map(Value::extract_error);
    let (Some(length), Some(part)) = (answers.next(), answers.next()) else {
        return Err(RedisError::from((
            redis::ErrorKind::Parse,
            "an answer of the pipeline is missing",
        )));
    };
    if redis::from_redis_value::<u64>(length?)? == 0 {
        return Ok(Reply::Absent);
    }
    Ok(reply(redis::from_redis_value(part?)?))
}

fn set(key: &str, value: &Blob, expiry: SetExpiry, condition: SetCondition) -> Cmd {
    let mut command = cmd("SET");
    command.arg(key).arg(value.as_bytes());
    match expiry {
        SetExpiry::Never => {}
        SetExpiry::After(ttl) => {
            command.arg("PX").arg(millis(ttl));
        }
        SetExpiry::Keep => {
            command.arg("KEEPTTL");
        }
    }
    match condition {
        SetCondition::Always => {}
        SetCondition::IfAbsent => {
            command.arg("NX");
        }
        SetCondition::IfPresent => {
            command.arg("XX");
        }
    }
    command
}

fn many(name: &str, key: &str, values: &[Blob]) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    for value in values {
        command.arg(value.as_bytes());
    }
    command
}

fn hset(key: &str, fields: &[(Blob, Blob)]) -> Cmd {
    let mut command = cmd("HSET");
    command.arg(key);
    for (field, value) in fields {
        command.arg(field.as_bytes()).arg(value.as_bytes());
    }
    command
}

fn zadd(key: &str, members: &[(f64, Blob)]) -> Cmd {
    let mut command = cmd("ZADD");
    command.arg(key);
    for (score, member) in members {
        // The shortest text that reads back as the same number, with an exponent instead of hundreds of zeros.
        command.arg(format!("{score:e}")).arg(member.as_bytes());
    }
    command
}

fn ranged(name: &str, key: &str, range: Range) -> Cmd {
    let mut command = cmd(name);
    command.arg(key).arg(range.start).arg(range.stop);
    command
}

pub(crate) fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

fn hit(value: Option<Bytes>) -> Reply {
    Reply::from_option(value.map(Blob::from))
}

fn stored(answer: Value) -> Reply {
    if answer == Value::Nil {
        Reply::NotStored
    } else {
        Reply::Stored
    }
}

fn changed(changed: u64) -> Reply {
    Reply::Changed { changed }
}

fn blobs(values: Vec<Bytes>) -> Vec<Blob> {
    values.into_iter().map(Blob::from).collect()
}

fn values(values: Vec<Bytes>) -> Reply {
    Reply::Values {
        values: blobs(values),
    }
}

/// Redis gives sets and hashes in an order of its own that changes; ours is always the bytes'.
fn sorted_members(members: Vec<Bytes>) -> Reply {
    if members.is_empty() {
        return Reply::Absent;
    }
    let mut values = blobs(members);
    values.sort_unstable();
    Reply::Values { values }
}

fn sorted_fields(fields: Vec<(Bytes, Bytes)>) -> Reply {
    if fields.is_empty() {
        return Reply::Absent;
    }
    let pairs = fields.into_iter();
    let mut fields: Vec<Field> = pairs
        .map(|(field, value)| Field {
            field: field.into(),
            value: value.into(),
        })
        .collect();
    fields.sort_unstable_by(|a, b| a.field.cmp(&b.field));
    Reply::Fields { fields }
}

fn scored(members: Vec<(Bytes, f64)>) -> Reply {
    let pairs = members.into_iter();
    // A score below zero that rounds to zero comes back as "-0".
    Reply::Members {
        members: pairs
            .map(|(member, score)| Member {
                member: member.into(),
                score: score + 0.0,
            })
            .collect(),
    }
}

fn remaining(millis: i64) -> Reply {
    match u64::try_from(millis) {
        Ok(millis) => Reply::Expires {
            ttl: Duration::from_millis(millis),
        },
        Err(_) if millis == -1 => Reply::Persistent,
        Err(_) => Reply::Absent,
    }
}
