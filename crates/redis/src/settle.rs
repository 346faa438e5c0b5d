//! Settlements as Redis carries them out: a script each, which a marker lets take effect once however often it's sent.

use mainstay_breaker::Moment;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value, cmd};

use crate::standin::{Addition, MARKER_TTL, Sent, Settled, Step};
use crate::value::{Blob, Key};
use crate::wire::millis;

/// `KEYS`: the counter, the marker. `ARGV`: the marker's time to live in ms, the difference, and in how many ms the counter
/// ends (0: it has ended, -1: unknown).
const ADD: &str = "
if redis.call('EXISTS', KEYS[2]) == 1 then
  local held = redis.pcall('GET', KEYS[1])
  if type(held) == 'table' then held = false end
  return {'done', held}
end
local missing = redis.call('EXISTS', KEYS[1]) == 0
redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
if missing and ARGV[3] == '0' then return {'done'} end
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[2])
if type(sum) == 'table' then
  redis.call('DEL', KEYS[2])
  if sum.err:find('WRONGTYPE') or sum.err:find('not an integer') or sum.err:find('overflow') then return {'refused'} end
  return sum
end
if missing and ARGV[3] ~= '-1' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return {'done', redis.call('GET', KEYS[1])}";

/// `KEYS`: the session, the marker. `ARGV`: the marker's time to live in ms, the session's (0: delete it, -1: for ever), its
/// value, and the values it may hold by our own doing.
const RESTORE: &str = "
if redis.call('EXISTS', KEYS[2]) == 1 then return {'done'} end
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'table' then
  if held.err:find('WRONGTYPE') then return {'kept'} end
  return held
end
local ours = held == false
for i = 3, #ARGV do ours = ours or held == ARGV[i] end
if not ours then return {'kept'} end
redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
if ARGV[2] == '0' then redis.call('DEL', KEYS[1])
elseif ARGV[2] == '-1' then redis.call('SET', KEYS[1], ARGV[3])
else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2]) end
return {'done'}";

/// Sends a batch, and markers that nothing can ask for any more to be removed. One answer for each of the batch.
pub(crate) async fn send(
    con: &mut MultiplexedConnection,
    batch: &[(Key, Sent)],
    spent: &[Key],
    now: Moment,
) -> RedisResult<Vec<RedisResult<Settled>>> {
    let mut all = Pipeline::with_capacity(batch.len() + 1);
    for (key, sent) in batch {
        all.add_command(command(key, sent, now));
    }
    if !spent.is_empty() {
        let mut unlink = cmd("UNLINK");
        spent.iter().for_each(|marker| {
            unlink.arg(marker.as_str());
        });
        all.add_command(unlink);
    }
    let answers = con.send_packed_commands(&all, 0, all.len()).await?;
    if answers.len() != all.len() {
        return Err(RedisError::from((
            redis::ErrorKind::Parse,
            "an answer of the pipeline is missing",
        )));
    }
    let pairs = batch.iter().zip(answers);
    Ok(pairs
        .map(|((_, sent), answer)| read(sent, answer.extract_error()))
        .collect())
}

/// Whether Redis lets this user settle by script.
pub(crate) async fn may_run(con: &mut MultiplexedConnection) -> RedisResult<bool> {
    let mut script = cmd("EVAL");
    let marker = Key::reserved("settled:check");
    script.arg("return redis.call('EXISTS', KEYS[1])");
    script.arg(1).arg(marker.as_str());
    match script.exec_async(con).await {
        Err(error) if is_not_allowed(&error) => Ok(false),
        answer => answer.map(|()| true),
    }
}

fn command(key: &Key, sent: &Sent, now: Moment) -> Cmd {
    let script = |text: &str| {
        let mut command = cmd("EVAL");
        let keys = [key.as_str(), sent.marker.as_str()];
        command.arg(text).arg(2).arg(&keys).arg(millis(MARKER_TTL));
        command
    };
    match &sent.step {
        Step::Forget => {
            let mut command = cmd("DEL");
            command.arg(key.as_str());
            command
        }
        Step::Add(Addition { by, ends }) => {
            let mut command = script(ADD);
            command.arg(by).arg(remaining(*ends, now));
            command
        }
        Step::Write { value, ends, seen } => {
            let mut command = script(RESTORE);
            command.arg(remaining(*ends, now)).arg(value.as_bytes());
            values(&mut command, seen);
            command
        }
        Step::Remove { seen } => {
            let mut command = script(RESTORE);
            command.arg(0);
            values(&mut command, seen);
            command
        }
    }
}

fn values(command: &mut Cmd, seen: &[Blob]) {
    for value in seen {
        command.arg(value.as_bytes());
    }
}

/// In ms; -1 without an end.
fn remaining(ends: Option<Moment>, now: Moment) -> i64 {
    ends.map_or(-1, |end| {
        let left = millis(end.saturating_since(now));
        i64::try_from(left).unwrap_or(i64::MAX)
    })
}

fn read(sent: &Sent, answer: RedisResult<Value>) -> RedisResult<Settled> {
    let answer = match answer {
        Err(error) if sent.step != Step::Forget && is_not_allowed(&error) => {
            return Ok(Settled::Refused);
        }
        answer => answer?,
    };
    if sent.step == Step::Forget {
        return Ok(Settled::Done(None));
    }
    let words: Vec<Option<Vec<u8>>> = redis::from_redis_value(answer)?;
    let mut words = words.into_iter();
    match words.next().flatten().as_deref() {
        Some(b"done") => Ok(Settled::Done(words.next().flatten().map(Blob::from))),
        Some(b"kept") => Ok(Settled::Kept),
        Some(b"refused") => Ok(Settled::Refused),
        _ => Err(RedisError::from((
            redis::ErrorKind::UnexpectedReturnType,
            "a script answered with an unknown word",
        ))),
    }
}

/// Scripts are forbidden to us, or renamed: they will be the next time too.
fn is_not_allowed(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
        || error
            .detail()
            .is_some_and(|text| text.contains("unknown command"))
}
