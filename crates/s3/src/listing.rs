//! Lists: the store's pages with the journal laid over them, so that accepted work is seen at once.

use mainstay_journal::Entry;
use mainstay_runtime::{Answer, Call, CallError, Context, Error, Source};

use crate::classify::Failed;
use crate::key::is_reserved;
use crate::lists::Stored;
use crate::objects::{
    DELETE, Inner, ListRequest, Objects, Page, QUEUE, accepted_at, is_outage, to_error, unavailable,
};
use crate::resolve::Found;
use crate::store::Listed;

/// Objects of one page at most.
pub const MAX_LIMIT: usize = 1000;
/// Longest prefix or starting point in bytes.
const LONGEST: usize = 1024;

impl Objects {
    /// Lists objects in key order. Accepted uploads and copies appear, accepted deletes have vanished.
    ///
    /// While the store is down, its last answer to the same request is given, with its age.
    ///
    /// # Errors
    /// `InvalidInput` for a senseless request, `Unavailable` when nothing can answer.
    pub async fn list(&self, ctx: &Context, request: &ListRequest) -> Result<Answer<Page>, Error> {
        check(request)?;
        let inner = &self.0;
        let started = inner.now();
        let (result, failure) = match inner.list_store(ctx, request).await {
            Ok(answer) => (Ok(answer), None),
            Err(error) if is_outage(&error) => {
                let kept = inner.list_kept(request);
                let answer = kept.ok_or_else(|| {
                    unavailable(&inner.guard, "the store can't be asked for this list now")
                });
                (answer, Some(error))
            }
            Err(error) => (Err(to_error(&error, &request.prefix)), None),
        };
        inner.report("list", started, &result, failure.as_ref());
        result
    }
}

impl Inner {
    async fn list_store(
        &self,
        ctx: &Context,
        request: &ListRequest,
    ) -> Result<Answer<Page>, CallError<Failed>> {
        let wanted = request.limit + 1;
        let mut page = Vec::new();
        let mut stored = Vec::new();
        let mut after = request.after.clone();
        let upto = loop {
            // The journal first: what is drained in between is then seen twice, not missed.
            let (accepted, accepted_upto) = self.accepted(request, after.as_deref());
            let found = self
                .store_page(ctx, request, after.as_deref(), wanted.min(MAX_LIMIT))
                .await?;
            let stored_upto = (found.len() == wanted.min(MAX_LIMIT))
                .then(|| last_key(&found))
                .flatten();
            let upto = earlier(stored_upto, accepted_upto);
            let within = |key: &str| upto.as_deref().is_none_or(|upto| key <= upto);
            let found: Vec<_> = found.into_iter().filter(|l| within(&l.key)).collect();
            page.extend(self.overlay(&found, accepted.into_iter().filter(|e| within(&e.key))));
            stored.extend(found);
            if upto.is_none() || page.len() >= wanted {
                break upto;
            }
            after = upto;
        };
        let seen = self.steady();
        self.lists.keep(
            request,
            Stored {
                objects: stored,
                upto: upto.clone(),
                seen,
            },
        );
        Ok(Answer::fresh(
            cut(page, request.limit, upto),
            Source::Primary,
        ))
    }

    async fn store_page(
        &self,
        ctx: &Context,
        request: &ListRequest,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<Listed>, CallError<Failed>> {
        let asked = self.etags.asked();
        let call = self.to_first_byte(Call::new("list", ctx).idempotent());
        let found = self
            .call(call, || self.store.list(&request.prefix, after, count))
            .await?;
        for object in &found {
            self.etags
                .saw_since(asked, &object.key, object.etag.as_deref());
        }
        Ok(found)
    }

    /// The last answer to the same request, as the journal has it now.
    fn list_kept(&self, request: &ListRequest) -> Option<Answer<Page>> {
        let kept = self.lists.last(request)?;
        let (accepted, accepted_upto) = self.accepted(request, request.after.as_deref());
        let upto = earlier(kept.upto, accepted_upto);
        let within = |key: &str| upto.as_deref().is_none_or(|upto| key <= upto);
        let stored: Vec<_> = kept
            .objects
            .into_iter()
            .filter(|l| within(&l.key))
            .collect();
        let page = self.overlay(&stored, accepted.into_iter().filter(|e| within(&e.key)));
        let age = self.age_of(kept.seen);
        Some(Answer::aged(
            cut(page, request.limit, upto),
            Source::Cache,
            age,
        ))
    }

    /// The newest accepted work on the keys after `after`, and the last key this speaks of if there may be more.
    fn accepted(&self, request: &ListRequest, after: Option<&str>) -> (Vec<Entry>, Option<String>) {
        let entries = self.journal.list(QUEUE, &request.prefix, after, MAX_LIMIT);
        let upto = (entries.len() == MAX_LIMIT)
            .then(|| entries.last().map(|e| e.key.clone()))
            .flatten();
        (entries, upto)
    }

    /// What the store lists, with accepted work laid over it, in key order.
    fn overlay(&self, stored: &[Listed], accepted: impl Iterator<Item = Entry>) -> Vec<Listed> {
        let shown = stored
            .iter()
            .filter(|l| !is_reserved(&l.key))
            .map(|l| (l.key.clone(), l.clone()));
        let mut by_key = shown.collect::<std::collections::BTreeMap<_, _>>();
        let accepted = accepted.filter(|entry| !is_reserved(&entry.key));
        for entry in accepted.filter_map(|entry| self.in_force(entry)) {
            if entry.kind == DELETE {
                by_key.remove(&entry.key);
            } else {
                by_key.insert(entry.key.clone(), self.listed(&entry));
            }
        }
        by_key.into_values().collect()
    }

    fn listed(&self, entry: &Entry) -> Listed {
        let size = entry
            .body
            .map(|body| body.len)
            .or_else(|| self.size_of_copy(entry));
        Listed {
            key: entry.key.clone(),
            size,
            etag: None,
            last_modified: accepted_at(entry),
        }
    }

    /// The size of an accepted copy whose source is in the journal. What the store has of one that isn't may be another
    /// version than its local copy.
    fn size_of_copy(&self, entry: &Entry) -> Option<u64> {
        let key = crate::key::Key::parse("key", &entry.key).ok()?;
        match self.resolve(&key) {
            Found::Body(entry) => entry.body.map(|body| body.len),
            Found::Store { .. } | Found::Gone => None,
        }
    }
}

fn check(request: &ListRequest) -> Result<(), Error> {
    if !(1..=MAX_LIMIT).contains(&request.limit) {
        return Err(Error::invalid(
            "limit",
            format!("a list has 1 to {MAX_LIMIT} objects"),
        ));
    }
    for (field, text) in [
        ("prefix", Some(&request.prefix)),
        ("after", request.after.as_ref()),
    ] {
        let text = text.map_or("", String::as_str);
        if text.len() > LONGEST || text.chars().any(char::is_control) {
            let why = format!("at most {LONGEST} bytes and no control characters");
            return Err(Error::invalid(field, why));
        }
    }
    Ok(())
}

fn cut(mut objects: Vec<Listed>, limit: usize, upto: Option<String>) -> Page {
    if objects.len() <= limit {
        return Page {
            objects,
            next_after: upto,
        };
    }
    objects.truncate(limit);
    let next_after = last_key(&objects);
    Page {
        objects,
        next_after,
    }
}

fn last_key(objects: &[Listed]) -> Option<String> {
    objects.last().map(|l| l.key.clone())
}

/// The one that ends earlier; `None` has no end.
fn earlier(a: Option<String>, b: Option<String>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
