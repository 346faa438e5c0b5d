//! One accepted entry on its way to the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use mainstay_journal::{Body, Claimed, Entry, EntryId, ReadError, fault};
use mainstay_runtime::{Call, CallError, CallerId, Context, Report, Source, Status};

use crate::classify::{Failed, Meaning, meaning};
use crate::conflict::Policy;
use crate::copying::{is_early, untouched, was_tried};
use crate::drain::{Place, Turn};
use crate::key::{Key, is_canary};
use crate::objects::{COPY, DELETE, DEPENDENCY, Inner, content_type_of, source_of};
use crate::parts::{PART, Sending};
use crate::standing::{Base, Present, Standing, standing};
use crate::store::{Condition, Store};
use crate::turns::Asked;
use crate::verdict::{Trouble, judge};

/// Bytes that may be sent in vain, to spare the store a question.
const CHEAP: u64 = 64 << 10;
/// Attempts at a conditional upload whose condition turned out wrong.
const ROUNDS: usize = 4;
/// The places of the drain where a test may kill the process (see [`mainstay_journal::fault`]).
pub const FAULT_POINTS: &[&str] = &[
    "drain.claimed",
    "drain.part",
    "drain.sent",
    "drain.arrived",
    "drain.completed",
];
/// How it went with an entry.
#[derive(Debug)]
pub(crate) enum Carried {
    /// The store has it.
    Stored(EntryId),
    /// A later entry replaces all of it.
    Pointless(EntryId),
    /// It needs a person.
    SetAside(EntryId),
    /// The store refused it for its own sake.
    Refused { id: EntryId, pause: Pause },
    /// The store refused it, and not for its own sake.
    Denied { id: EntryId, pause: Pause },
    /// It has to wait for other entries, or for the end of its pause.
    Waits,
    /// The store failed, or wasn't reached.
    Failed,
    /// The journal doesn't take the verdict: it is queued as it was.
    Stuck,
}

/// What an entry that was refused pauses, in ms of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    /// When it was claimed.
    pub(crate) claimed: i64,
    pub(crate) until: i64,
}

/// How carrying out an entry ended well: the store has its object (of a delete, none), or somebody else's stays.
pub(crate) struct Arrived {
    /// What the entry after it has to know of it.
    pub(crate) base: Base,
    /// What a local copy can be made of.
    content: Option<Bytes>,
}

impl From<Base> for Arrived {
    fn from(base: Base) -> Self {
        let content = None;
        Self { base, content }
    }
}

/// Carries a claimed entry out. Its place is the next one's as soon as the store has it: what is left is for our own
/// disk to do.
pub(crate) async fn carry(
    inner: Arc<Inner>,
    claimed: Claimed,
    place: Place,
    turn: Turn,
) -> Carried {
    let (id, started) = (claimed.id(), inner.now());
    fault::point("drain.claimed");
    if is_replaced(&inner, &claimed) {
        drop(place);
        let base = untouched(&inner, claimed.entry());
        let ended = complete(claimed, base).await;
        return ended.map_or(Carried::Stuck, |()| Carried::Pointless(id));
    }
    if turn.rest > 0 && !has_replacement(&inner, &claimed) {
        claimed.put_off(turn.now_ms + turn.rest);
        return Carried::Waits;
    }
    if waits(&inner, claimed.entry()) {
        claimed.put_off(inner.looks.next(turn.now_ms));
        return Carried::Waits;
    }
    let asked = inner.etags.asked();
    let done = inner.carry_out(claimed.entry()).await;
    // Figures are of callers' work.
    if !is_canary(&claimed.entry().key) {
        report(&inner, done.is_ok(), started);
    }
    match done {
        Ok(arrived) => {
            fault::point("drain.arrived");
            drop(place);
            inner.keep_content(claimed.entry(), &arrived, asked).await;
            let ended = complete(claimed, arrived.base).await;
            fault::point("drain.completed");
            ended.map_or(Carried::Stuck, |()| Carried::Stored(id))
        }
        Err(trouble) => judge(&inner, claimed, trouble, turn).await,
    }
}

/// Ends an entry and tells the next of its key how it left the object.
pub(crate) async fn complete(claimed: Claimed, base: Base) -> Result<(), Stuck> {
    let next = claimed
        .next()
        .filter(|_| base != Base::Unknown)
        .map(|mut next| {
            base.write_to(&mut next.meta);
            (next.id, next.meta)
        });
    end(claimed.complete_and_tell(next).await)
}

/// Whether there is no need to carry it out. A copy that may have been tried is carried out again all the same: what it
/// leaves bears no mark of ours, and the next entry has to know it.
fn is_replaced(inner: &Inner, claimed: &Claimed) -> bool {
    !was_tried(inner, claimed.entry()) && has_replacement(inner, claimed)
}

/// Whether a later entry replaces this one whole, and no copy has to read it in between.
pub(crate) fn has_replacement(inner: &Inner, claimed: &Claimed) -> bool {
    let key = &claimed.entry().key;
    let Some(next) = claimed.next_but(COPY) else {
        return false;
    };
    // In this order: a copy that was accepted before that one is announced until it is among these.
    if inner.pending.is_announced(key) {
        return false;
    }
    let readers = inner.pending.of(key, &inner.journal);
    readers.range(claimed.id()..next).next().is_none()
}

/// Whether a copy accepted earlier still has to read the key, a copy's source still has to be brought, or a write whose
/// caller has left is still at the store.
fn waits(inner: &Inner, entry: &Entry) -> bool {
    // In this order: a copy is announced until it is among those.
    let is_read = inner.pending.is_announced(&entry.key)
        || inner
            .pending
            .of(&entry.key, &inner.journal)
            .range(..entry.id)
            .next()
            .is_some();
    is_read || is_early(inner, entry) || inner.staying.has(&entry.key)
}

impl Inner {
    async fn carry_out(self: &Arc<Self>, entry: &Entry) -> Result<Arrived, Trouble> {
        let unreadable = |_| Trouble::Person("its key can't be read");
        let key = Key::accepted(&entry.key).map_err(unreadable)?;
        let ctx = Context::new(
            CallerId::OURSELVES,
            self.now() + Duration::from_secs(24 * 3600),
        );
        let asked = self.etags.asked();
        let arrived = match entry.kind.as_str() {
            DELETE => self.remove(&ctx, &key, entry).await?,
            COPY => {
                let source = source_of(entry).ok_or(Trouble::Person("it names no source"))?;
                let source = Key::parse("from", &source).map_err(unreadable)?;
                self.copy_over(&ctx, &source, &key, entry).await?
            }
            _ => self.bring(&ctx, &key, entry).await?,
        };
        if let Base::Etag(etag) = &arrived.base {
            match entry.kind.as_str() {
                // Looked at after that.
                COPY => self.etags.saw(key.as_str(), Some(etag)),
                _ => self.etags.wrote(asked, key.as_str(), Some(etag)),
            }
        }
        Ok(arrived)
    }

    /// Keeps what has arrived as a local copy, and none of what was there before; before the entry ends, so that nothing
    /// newer is there yet.
    async fn keep_content(&self, entry: &Entry, arrived: &Arrived, asked: Asked) {
        let Ok(key) = Key::accepted(&entry.key) else {
            return;
        };
        let Some(content) = &arrived.content else {
            return self.copies.forget(&key).await;
        };
        let etag = match &arrived.base {
            Base::Etag(etag) => Some(etag.clone()),
            _ => None,
        };
        let kind = content_type_of(entry);
        self.keep_copy(&key, content.clone(), etag, kind.as_deref(), asked)
            .await;
    }

    async fn remove(&self, ctx: &Context, key: &Key, entry: &Entry) -> Result<Arrived, Trouble> {
        if Base::of(entry) != Base::Unknown
            && let Some(theirs) = self.look(ctx, key, entry).await?.theirs(self, entry)?
        {
            return Ok(theirs);
        }
        let call = self.to_first_byte(Call::new("delete", ctx).idempotent());
        self.call(call, || self.store.delete(key)).await?;
        self.etags.saw(key.as_str(), None);
        Ok(Base::Absent.into())
    }

    /// Uploads, on condition that nobody else has changed the object: by what is known of it or assumed, and after that
    /// was wrong by what is there.
    async fn bring(
        self: &Arc<Self>,
        ctx: &Context,
        key: &Key,
        entry: &Entry,
    ) -> Result<Arrived, Trouble> {
        let fences = self.fences() && entry.body.is_some_and(|body| body.len <= PART as u64);
        let mut known = assumed(entry).filter(|_| fences);
        for _ in 0..ROUNDS {
            let condition = match known.take() {
                Some(condition) => condition,
                None if matches!(self.store, Store::Local(_)) => Condition::None,
                None => match self.look(ctx, key, entry).await? {
                    // An earlier attempt of ours that the store has cut short is no arrival.
                    Looked(Standing::Done, Some(there)) if !is_whole(entry, &there) => {
                        there.condition()
                    }
                    Looked(Standing::Done, there) => return Ok(after(there).into()),
                    Looked(Standing::Free(condition), _) => condition,
                    changed => {
                        let Looked(Standing::Changed(condition), _) = &changed else {
                            continue;
                        };
                        let condition = condition.clone();
                        if let Some(theirs) = changed.theirs(self, entry)? {
                            return Ok(theirs);
                        }
                        condition
                    }
                },
            };
            let condition = if fences { condition } else { Condition::None };
            match self.send(ctx, key, entry, &condition).await {
                Err(Trouble::Store(error))
                    if condition != Condition::None && has_changed(&error) => {}
                sent => return sent,
            }
        }
        Err(Trouble::Differs(
            "the object changes faster than it can be replaced".into(),
        ))
    }

    async fn send(
        self: &Arc<Self>,
        ctx: &Context,
        key: &Key,
        entry: &Entry,
        condition: &Condition,
    ) -> Result<Arrived, Trouble> {
        let kind = content_type_of(entry);
        let about = self.about(key, kind.as_deref(), Some(entry.id));
        let mut body = self.journal.body(entry.id).await?;
        let len = body.len();
        if len <= PART as u64 {
            let content = body.into_bytes().await?;
            let etag = self.put_one(ctx, key, &content, &about, condition).await?;
            fault::point("drain.sent");
            self.verify(ctx, key, len, etag.as_deref()).await?;
            let content = (!is_canary(key.as_str())).then_some(content);
            let base = Base::after(etag);
            return Ok(Arrived { base, content });
        }
        let mut sending = Sending::start(self, ctx, key, &about).await?;
        let mut rest = BytesMut::new();
        while let Some(part) = next_part(&mut body, &mut rest).await? {
            sending.part(&part).await?;
            fault::point("drain.part");
        }
        let etag = sending.complete().await?;
        fault::point("drain.sent");
        self.verify(ctx, key, len, etag.as_deref()).await?;
        Ok(Base::after(etag).into())
    }

    /// Asks the store for what it has before our own copy is given up. Another ETag than the upload's is a later write,
    /// whose size says nothing.
    async fn verify(
        &self,
        ctx: &Context,
        key: &Key,
        len: u64,
        etag: Option<&str>,
    ) -> Result<(), Trouble> {
        let Some(there) = self.present(ctx, key).await? else {
            return Err(Trouble::Differs("the store has no such object".into()));
        };
        let is_later = etag.is_some() && there.etag.as_deref() != etag;
        if is_later || there.size == len {
            return Ok(());
        }
        Err(Trouble::Differs(format!(
            "the store has {} bytes of {len}",
            there.size
        )))
    }

    /// What the store has of a key.
    pub(crate) async fn present(
        &self,
        ctx: &Context,
        key: &Key,
    ) -> Result<Option<Present>, Trouble> {
        let call = self.to_first_byte(Call::new("head", ctx).idempotent());
        match self.call(call, || self.store.head(key)).await {
            Ok(result) => Ok(Some(Present::of(&result))),
            Err(CallError::Failed(failed)) if meaning(&failed) == Meaning::Absent => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn look(
        &self,
        ctx: &Context,
        key: &Key,
        entry: &Entry,
    ) -> Result<Looked, Trouble> {
        let there = self.present(ctx, key).await?;
        let identity = self.journal.identity();
        let about = (entry.key.as_str(), entry.id);
        let standing = standing(&Base::of(entry), identity, about, there.as_ref());
        Ok(Looked(standing, there))
    }

    /// Whether uploads from the journal can be made conditional.
    fn fences(&self) -> bool {
        matches!(self.store, Store::S3(_)) && self.conditions.known() == Some(true)
    }
}

/// How an entry stands, and what the store has.
pub(crate) struct Looked(pub(crate) Standing, pub(crate) Option<Present>);

impl Looked {
    /// Where somebody else has changed the object: how it ends if their change stays; nothing if ours goes over it.
    pub(crate) fn theirs(self, inner: &Inner, entry: &Entry) -> Result<Option<Arrived>, Trouble> {
        let Self(Standing::Changed(_), there) = self else {
            return Ok(None);
        };
        let policy = inner.settings.conflicts.of(&entry.key);
        inner.tell_conflict(entry, policy);
        match policy {
            Policy::Ours => Ok(None),
            Policy::Theirs => Ok(Some(after(there).into())),
            Policy::SetAside => Err(Trouble::Person(
                "conflict: somebody else has changed the object since this was accepted; retry replaces that, discard leaves it",
            )),
        }
    }
}

/// What an upload may be tried with before the store is asked: what is known, and of a new key that it is new, which
/// nearly always saves two requests. Not where much would be sent in vain, nor after an attempt that may have arrived.
fn assumed(entry: &Entry) -> Option<Condition> {
    let is_cheap = entry.body.is_some_and(|body| body.len <= CHEAP);
    let is_new = is_cheap && entry.attempts == 0;
    let known = Base::of(entry).condition();
    known.or(is_new.then_some(Condition::Absent))
}

fn is_whole(entry: &Entry, there: &Present) -> bool {
    entry.body.is_none_or(|body| body.len == there.size)
}

pub(crate) fn after(there: Option<Present>) -> Base {
    Base::after(there.and_then(|there| there.etag))
}

fn has_changed(error: &CallError<Failed>) -> bool {
    matches!(error, CallError::Failed(failed) if meaning(failed) == Meaning::ConditionFailed)
}

/// The next part of a body; `None` at its end.
async fn next_part(body: &mut Body, rest: &mut BytesMut) -> Result<Option<Bytes>, ReadError> {
    while rest.len() < PART {
        match body.next().await {
            Some(chunk) => rest.extend_from_slice(&chunk?),
            None => break,
        }
    }
    let part = rest.split_to(rest.len().min(PART));
    Ok((!part.is_empty()).then(|| part.freeze()))
}

/// The journal doesn't take the verdict on an entry.
#[derive(Debug)]
pub(crate) struct Stuck;

/// An entry whose verdict can't be written returns to the queue: it is carried out again, which does no harm.
pub(crate) fn end(written: Result<(), mainstay_journal::AppendError>) -> Result<(), Stuck> {
    written.map_err(|error| {
        tracing::warn!(dependency = DEPENDENCY, %error, "the journal can't be changed");
        Stuck
    })
}

fn report(inner: &Inner, is_ok: bool, started: mainstay_runtime::Moment) {
    inner.guard.report(&Report {
        operation: "drain",
        status: if is_ok {
            Status::Success
        } else {
            Status::Failure
        },
        source: is_ok.then_some(Source::Primary),
        error: None,
        elapsed: inner.now().saturating_since(started),
    });
}
