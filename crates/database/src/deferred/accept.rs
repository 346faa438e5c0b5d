//! Taking a deferred write, and telling what became of it.

use std::time::Duration;

use mainstay_journal::{AppendError, Entry, NewEntry, State, fault};
use mainstay_runtime::{Answer, Attempt, Call, Context, Error, ErrorKind, Source};
use serde_json::Value;

use super::{Content, Deferral, Deferred, Fate, QUEUE, fingerprint_of};
use crate::client::Database;
use crate::codec;
use crate::ended::into_error;
use crate::fault::{DATABASE, Fault};
use crate::keyed::{
    IdempotencyKey, KeyId, Keyed, Kind, Record, Turn, fingerprint, reused, still_running,
};
use crate::sql;
use crate::statement::{Isolation, Statement, WriteMode, Written};
use crate::write_mode::Primary;
use crate::writes::{Work, first};

/// What an attempt at once leaves of the deadline: for the journal.
const ACCEPTING: Duration = Duration::from_millis(300);

impl Database {
    /// Runs a named statement once: now, or when the database is back.
    ///
    /// # Errors
    /// `NotConfigured`, nothing may be deferred; `InvalidInput` naming the field; `KeyReused` and `Conflict` as with
    /// [`Database::write_once`], `Conflict`, too, for what was set aside; `JournalFull`, nothing was accepted;
    /// `OutcomeUnknown`, it may have been done, or be accepted; and the database's own "no", when it is up.
    ///
    /// # Cancel safety
    /// As [`Database::write_once`].
    pub async fn write_deferred(
        &self,
        ctx: &Context,
        name: &str,
        params: Vec<Value>,
        key: &IdempotencyKey,
    ) -> Result<Deferral, Error> {
        let deferred = self.deferred()?;
        let statement = deferred.statement(name, params.clone());
        let statement = statement.ok_or_else(|| deferred.unknown(name))?;
        self.check_params(&statement)?;
        let named = [Statement::new(name, params.clone())];
        let content = Content {
            fingerprint: fingerprint(Kind::Deferred, &named, Isolation::ReadCommitted),
            params,
        };
        let keyed = deferred.keyed(KeyId::new(ctx.caller, key), content.fingerprint);
        // Held until the answer is known: nobody else looks for this key meanwhile, the drain included.
        let turn = self.running.enter(&keyed)?;
        if let Some(entry) = deferred.journal.latest(QUEUE, &keyed.id.hex()) {
            return known(&entry, &keyed);
        }
        if self.was_discarded(deferred, &keyed).await? {
            return self.discarded(ctx, &keyed).await;
        }
        let mut unknown = None;
        if self.write_mode() == WriteMode::Enabled && !deferred.is_waiting() {
            match self.try_now(ctx, &statement, keyed).await {
                Ok(done) => return Ok(Deferral::Done(done)),
                Err((error, false)) => return Err(error),
                Err((error, true)) => unknown = Some(error),
            }
        }
        let unknown = unknown.filter(|error| error.kind == ErrorKind::OutcomeUnknown);
        let accepted = self.append(deferred, name, &keyed, &content, turn).await;
        // What went to the database without an answer may have been done, whatever the journal says.
        accepted.map_err(|refused| unknown.unwrap_or(refused))
    }

    /// What became of a deferred write of this caller; `None` when there is no such key.
    ///
    /// # Errors
    /// `Conflict` while it is being done or taken: ask again. `Unavailable` and its like, when only the database could
    /// tell.
    pub async fn deferred_fate(
        &self,
        ctx: &Context,
        key: &IdempotencyKey,
    ) -> Result<Option<Fate>, Error> {
        let deferred = self.deferred()?;
        let keyed = deferred.keyed(KeyId::new(ctx.caller, key), [0; 32]);
        if let Some(entry) = deferred.journal.latest(QUEUE, &keyed.id.hex()) {
            return Ok(Some(fate_of(entry)));
        }
        if self.running.has(&keyed.id) {
            return Err(still_running());
        }
        let found = self.record(ctx, &keyed).await;
        // It may have been done unheard before.
        if !matches!(found, Ok(Some(_))) && self.was_discarded(deferred, &keyed).await? {
            return Ok(Some(Fate::Discarded));
        }
        let Some(record) = found? else {
            return Ok(None);
        };
        if record.kind != Kind::Deferred.as_str() {
            return Ok(None);
        }
        let written = record.outcome.as_deref().and_then(codec::decode_written);
        let written = written.and_then(|all| all.into_iter().next());
        Ok(written.map(|written| Fate::Done(Answer::aged(written, Source::Primary, record.age))))
    }

    /// What the database has of a key.
    async fn record(&self, ctx: &Context, keyed: &Keyed) -> Result<Option<Record>, Error> {
        let Primary { guard, driver, .. } = &*self.primary;
        let look = async |attempt: Attempt| driver.record_of(&attempt, keyed).await;
        let call = Call::new("read", ctx).idempotent();
        let found = guard.call(call, |fault: &Fault| fault.verdict, look).await;
        found.map_err(into_error)
    }

    /// What is told of a write that an operator has discarded: it may have been done unheard before.
    async fn discarded(&self, ctx: &Context, keyed: &Keyed) -> Result<Deferral, Error> {
        let found = self.record(ctx, keyed).await;
        let judged = found.map(|record| record.and_then(|record| keyed.judge(record)));
        let detail = match judged {
            Ok(Some(Err(fault))) => return Err(fault.error),
            Ok(Some(Ok(outcome))) => {
                let written = outcome.written.into_iter().next().unwrap_or_default();
                let age = outcome.age.unwrap_or_default();
                return Ok(Deferral::Done(Answer::aged(written, Source::Primary, age)));
            }
            Ok(None) => {
                "this write was accepted, and then discarded by an operator; to have it run, send it with a new Idempotency-Key"
            }
            Err(_) => {
                "this write was accepted, and then discarded by an operator; whether it had been done before, GET /db/deferred/{key} tells once the database answers"
            }
        };
        Err(Error::new(ErrorKind::Conflict, detail).dependency(DATABASE))
    }

    async fn was_discarded(&self, deferred: &Deferred, keyed: &Keyed) -> Result<bool, Error> {
        let key = keyed.id.hex();
        let found = deferred.journal.was_discarded(QUEUE, &key).await;
        found.map_err(|error| {
            let detail = format!("the journal can't tell what became of this key: {error}");
            Error::new(ErrorKind::JournalFull, detail).dependency(DATABASE)
        })
    }

    fn deferred(&self) -> Result<&Deferred, Error> {
        let off = || {
            let detail =
                "deferred writes are off: name statements under database.deferred.statements";
            Error::new(ErrorKind::NotConfigured, detail).dependency(DATABASE)
        };
        let deferred = self.deferred.as_deref().ok_or_else(off)?;
        if deferred.statements.is_empty() {
            return Err(off());
        }
        Ok(deferred)
    }

    /// What is accepted can't be refused any more for a number that could have been counted.
    fn check_params(&self, statement: &Statement) -> Result<(), Error> {
        let given = statement.params.len();
        match sql::placeholders(&statement.query, self.dialect) {
            Some(wanted) if wanted != given => {
                let detail = format!("the statement takes {wanted} parameters, {given} were given");
                Err(Error::invalid("params", detail).dependency(DATABASE))
            }
            _ => Ok(()),
        }
    }

    /// The error comes with whether the write is to be deferred.
    async fn try_now(
        &self,
        ctx: &Context,
        statement: &Statement,
        keyed: Keyed,
    ) -> Result<Answer<Written>, (Error, bool)> {
        let now = Context {
            deadline: ctx.deadline - ACCEPTING,
            ..*ctx
        };
        let work = Work::deferred(statement, keyed);
        let (done, trouble) = self.write_work(&now, &work).await;
        done.map(|answer| answer.map(first)).map_err(|error| {
            let is_ours = error.kind == ErrorKind::Busy;
            let field = error.field.as_deref();
            let field = field.map(|field| match field.strip_prefix("operations[0].") {
                Some("query") => "statement".to_owned(),
                Some(rest) => rest.to_owned(),
                None => field.to_owned(),
            });
            let defer = trouble.is_some() && !is_ours;
            (Error { field, ..error }, defer)
        })
    }

    async fn append(
        &self,
        deferred: &Deferred,
        name: &str,
        keyed: &Keyed,
        content: &Content,
        turn: Turn,
    ) -> Result<Deferral, Error> {
        let entry = NewEntry {
            queue: QUEUE,
            key: keyed.id.hex(),
            kind: name.to_owned(),
            meta: content.to_json(),
            body: None,
            outcome: None,
            accepted_at_ms: self.guard().clock().steady().as_millisecond(),
        };
        // It has its key until it is in the journal.
        let arrived = move |_: &_| drop(turn);
        let appended = deferred.journal.append_to_the_end(entry, arrived).await;
        let id = appended.map_err(|error| self.not_accepted(&error))?;
        fault::point("deferred.accepted");
        Ok(Deferral::Accepted { id })
    }

    fn not_accepted(&self, error: &AppendError) -> Error {
        let why = match error {
            AppendError::TooLarge => {
                let detail = "the parameters are too large to be deferred: about 700 KiB fit";
                return Error::new(ErrorKind::TooLarge, detail)
                    .field("params")
                    .dependency(DATABASE);
            }
            AppendError::Uncertain { .. } => {
                tracing::error!(dependency = DATABASE, %error, "whether a deferred write was accepted is unknown");
                let detail = "the journal's storage failed while this write was brought to disk: whether it is carried out shows when the server has been restarted; send it again then, with the same key";
                return Error::new(ErrorKind::OutcomeUnknown, detail).dependency(DATABASE);
            }
            AppendError::Full { which } => format!("the journal is full ({which})"),
            AppendError::Faulted { .. } => {
                "the journal's storage has failed: it accepts nothing until the server is restarted, which checks it".to_owned()
            }
            _ => "the journal can't accept it".to_owned(),
        };
        tracing::warn!(dependency = DATABASE, %error, "a deferred write was not accepted");
        let detail = format!(
            "it can't run now, since the database is down or earlier writes wait, and {why}; nothing was accepted: ask again with the same key"
        );
        Error::new(ErrorKind::JournalFull, detail)
            .dependency(DATABASE)
            .retry_after(self.primary.retry_after())
    }
}

impl Deferred {
    fn unknown(&self, name: &str) -> Error {
        let names: Vec<_> = self.statements.keys().map(String::as_str).collect();
        let detail = format!(
            "there is no statement `{name}`; there are: {}",
            names.join(", ")
        );
        Error::invalid("statement", detail).dependency(DATABASE)
    }
}

/// What a request is told whose key is in the journal.
fn known(entry: &Entry, keyed: &Keyed) -> Result<Deferral, Error> {
    if fingerprint_of(entry) != Some(keyed.fingerprint) {
        return Err(reused());
    }
    match entry.state {
        // Nobody runs it: whoever does has its key.
        State::Queued | State::InFlight => Ok(Deferral::Accepted { id: entry.id }),
        State::SetAside => {
            let reason = entry
                .last_error
                .as_deref()
                .unwrap_or("the database refused it");
            let detail = format!(
                "this write was accepted, and then set aside for a person to see: {reason}"
            );
            Err(Error::new(ErrorKind::Conflict, detail).dependency(DATABASE))
        }
    }
}

fn fate_of(entry: Entry) -> Fate {
    let accepted_at_ms = entry.accepted_at_ms;
    match entry.state {
        State::Queued | State::InFlight => Fate::Waiting {
            accepted_at_ms,
            attempts: entry.attempts,
            last_error: entry.last_error,
        },
        State::SetAside => Fate::SetAside {
            id: entry.id,
            accepted_at_ms,
            reason: entry.last_error.unwrap_or_default(),
        },
    }
}
