//! What an operation does, by what is known of the key: all of it, only additions, or nothing.

use crate::class::Class;
use crate::command::{Action, SetCondition};
use crate::memory::data;
use crate::memory::entry::{Entry, Lifetime};
use crate::memory::{Held, Missing, Refusal, Terms};
use crate::reply::Reply;
use crate::rules::{self, Rule};
use crate::value::Key;

/// Carries an operation out on a key, by what is known of it.
pub(super) fn decide(
    missing: Missing,
    slot: &mut Option<Entry>,
    key: &Key,
    action: &Action,
    terms: &Terms,
) -> Result<Held, Refusal> {
    match slot {
        None if missing == Missing::Absent => carry_out(slot, key, action, terms),
        None => on_unknown(slot, key, action, terms),
        Some(entry) if missing == Missing::Unknown && entry.outlives(action, terms) => {
            Err(Refusal::CannotKnow)
        }
        Some(entry) if !entry.complete => on_incomplete(entry, action, terms)
            .transpose()
            .unwrap_or_else(|| {
                *slot = None;
                Ok(Held::fresh(Reply::Applied))
            }),
        Some(_) => {
            let held = carry_out(slot, key, action, terms);
            // While Redis is down, knowing that a key is gone is worth keeping.
            if slot.is_none() && missing == Missing::Unknown {
                *slot = Some(Entry::gone(key, terms.worth()));
            }
            held
        }
    }
}

/// Redis' own semantics, on a key of which all is known.
fn carry_out(
    slot: &mut Option<Entry>,
    key: &Key,
    action: &Action,
    terms: &Terms,
) -> Result<Held, Refusal> {
    let Some(entry) = slot else {
        let mut data = None;
        let reply = data::apply(&mut data, action)?;
        *slot = data.map(|data| {
            let mut entry = Entry::new(key, data, terms.worth());
            entry.set_lifetime(action, terms);
            entry
        });
        return Ok(Held::fresh(reply));
    };
    let age = entry.known_at.map(|at| terms.now.saturating_since(at));
    let reply = match (&entry.data, action) {
        (Some(_), Action::Expire(ttl)) => {
            entry.lifetime = Lifetime::Until(terms.now + *ttl);
            Reply::Expires { ttl: *ttl }
        }
        (Some(_), Action::Ttl) => entry.lifetime.reply(terms.now),
        _ => data::apply(&mut entry.data, action)?,
    };
    if matches!(reply, Reply::Stored) {
        entry.known_at = None;
    }
    entry.set_lifetime_after(&reply, action, terms);
    if entry.data.is_none() {
        *slot = None;
    }
    Ok(Held {
        reply,
        age: age.filter(|_| !matches!(action, Action::Set { .. } | Action::Delete)),
    })
}

/// On a key that Redis may or may not have.
fn on_unknown(
    slot: &mut Option<Entry>,
    key: &Key,
    action: &Action,
    terms: &Terms,
) -> Result<Held, Refusal> {
    let reply = match rules::rule(terms.class, action.operation()) {
        Rule::Read | Rule::Sum => Reply::Unknown,
        Rule::Write => return set_unknown(slot, key, action, terms),
        Rule::Add => {
            carry_out(slot, key, action, terms)?;
            if let Some(entry) = slot {
                entry.complete = false;
                entry.lifetime = Lifetime::Unsure(terms.now + terms.ttl);
            }
            Reply::Applied
        }
        Rule::Remove => {
            if *action == Action::Delete {
                *slot = Some(Entry::gone(key, terms.worth()));
            }
            Reply::Applied
        }
        Rule::Known | Rule::Count | Rule::Refuse => return Err(Refusal::CannotKnow),
    };
    Ok(Held::fresh(reply))
}

fn set_unknown(
    slot: &mut Option<Entry>,
    key: &Key,
    action: &Action,
    terms: &Terms,
) -> Result<Held, Refusal> {
    let keeps_ttl = action.keeps_ttl();
    if !action.is_idempotent() || (keeps_ttl && terms.class != Class::Cache) {
        return Err(Refusal::CannotKnow);
    }
    let held = carry_out(slot, key, action, terms);
    if let (true, Some(entry)) = (keeps_ttl, slot) {
        entry.lifetime = Lifetime::Unsure(terms.now + terms.ttl);
    }
    held
}

/// On a key of which only this outage's additions are known. `Ok(None)`: nothing is known any more.
fn on_incomplete(
    entry: &mut Entry,
    action: &Action,
    terms: &Terms,
) -> Result<Option<Held>, Refusal> {
    let reply = match action {
        Action::Set {
            condition: SetCondition::Always,
            ..
        } => {
            entry.complete = true;
            let stored = data::apply(&mut entry.data, action)?;
            entry.set_lifetime_after(&stored, action, terms);
            stored
        }
        Action::Set { .. } | Action::Pop { .. } => return Err(Refusal::CannotKnow),
        Action::Delete => {
            entry.bury();
            Reply::Applied
        }
        Action::Expire(ttl) => {
            entry.lifetime = Lifetime::Until(terms.now + *ttl);
            Reply::Expires { ttl: *ttl }
        }
        Action::Ttl => entry.lifetime.reply(terms.now),
        write if write.is_write() => {
            data::apply(&mut entry.data, write)?;
            if entry.data.is_none() {
                return Ok(None);
            }
            Reply::Applied
        }
        read => data::known_field(&entry.data, read)
            .map_or(Reply::Unknown, |value| Reply::Hit { value }),
    };
    Ok(Some(Held::fresh(reply)))
}
