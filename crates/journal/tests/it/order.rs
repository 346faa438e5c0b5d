//! Which entry may be claimed when, against a naive model; and the lookups.

use std::task::Poll;

use mainstay_journal::{ChangeError, Claimed, EntryId, Filter, Journal, NewEntry, State};
use proptest::prelude::*;
use serde_json::json;
use tempfile::tempdir;

use crate::support::{QUEUE, append, open, spooled};

fn ids(entries: &[Claimed]) -> Vec<EntryId> {
    entries.iter().map(Claimed::id).collect()
}

#[tokio::test]
async fn later_entries_of_a_key_wait_and_other_keys_do_not() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let (a1, a2, b1) = (
        append(&journal, "a").await,
        append(&journal, "a").await,
        append(&journal, "b").await,
    );
    let mut claims = journal.claim(QUEUE, 9, 0);
    assert_eq!(ids(&claims), [a1, b1]);
    assert!(journal.claim(QUEUE, 9, 0).is_empty());
    assert_eq!(claims[0].next().map(|entry| entry.id), Some(a2));
    assert_eq!(claims[0].next_but("other"), Some(a2));
    assert_eq!(claims[0].next_but(&claims[0].entry().kind), None);
    assert_eq!(claims[1].next(), None);

    claims.remove(0).set_aside("refused").await.unwrap();
    assert!(journal.claim(QUEUE, 9, 0).is_empty());
    drop(claims);
    assert_eq!(
        ids(&journal.claim(QUEUE, 9, 0)),
        [b1],
        "dropped without verdict, it is back"
    );

    assert!(matches!(
        journal.retry(a2, None).await,
        Err(ChangeError::State {
            state: State::Queued,
            ..
        })
    ));
    journal.retry(a1, None).await.unwrap();
    assert_eq!(ids(&journal.claim(QUEUE, 1, 0)), [a1]);
    journal.discard(a1).await.unwrap();
    assert_eq!(ids(&journal.claim(QUEUE, 9, 0)), [a2, b1]);
    assert_eq!(journal.discard(a1).await, Err(ChangeError::Unknown(a1)));
}

#[tokio::test]
async fn what_fails_again_and_again_leaves_room_for_what_was_never_tried_and_that_for_it() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let failing = [append(&journal, "a").await, append(&journal, "b").await];
    for claimed in journal.claim(QUEUE, 2, 0) {
        claimed.retry_later("no", 10).await.unwrap();
    }
    let fresh = [append(&journal, "c").await, append(&journal, "d").await];
    let mut order = Vec::new();
    for now in [10, 20, 30, 40] {
        let claimed = journal.claim_in_turn(QUEUE, 1, now).pop().unwrap();
        order.push(claimed.id());
        if failing.contains(&claimed.id()) {
            claimed.retry_later("no", now + 1).await.unwrap();
        } else {
            claimed.complete().await.unwrap();
        }
    }
    assert_eq!(order, [failing[0], fresh[0], failing[1], fresh[1]]);
}

#[tokio::test]
async fn where_the_oldest_is_first_what_failed_goes_before_what_came_later() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let failing = append(&journal, "a").await;
    for now in [0, 10, 20] {
        append(&journal, &now.to_string()).await;
        let claimed = journal.claim(QUEUE, 1, now).pop().unwrap();
        assert_eq!(claimed.id(), failing);
        claimed.retry_later("no", now + 10).await.unwrap();
    }
}

/// Polls it once and drops it.
async fn begun_and_left(append: impl Future) {
    let mut append = std::pin::pin!(append);
    let begun = std::future::poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx).is_pending())).await;
    assert!(begun, "it takes its time");
}

#[tokio::test]
async fn a_large_body_is_not_overtaken_by_what_comes_after_it_though_its_caller_leaves() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let large = async |kind: &str| NewEntry {
        queue: QUEUE,
        key: "key".into(),
        kind: kind.into(),
        meta: json!({}),
        body: Some(spooled(&journal, &[7; 300_000]).await.unwrap()),
        outcome: None,
        accepted_at_ms: 1_000,
    };
    let (goes_on, given_up) = (large("goes on").await, large("given up").await);
    begun_and_left(journal.append_to_the_end(goes_on, |_| ())).await;
    begun_and_left(journal.append(given_up)).await;
    let small = append(&journal, "key").await;
    let entries = journal.entries_for_key(QUEUE, "key");
    let kinds: Vec<_> = entries.iter().map(|e| (e.kind.as_str(), e.id)).collect();
    assert_eq!(kinds, [("goes on", kinds[0].1), ("put", small)]);
}

#[tokio::test]
async fn an_entry_in_flight_cannot_be_discarded() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    append(&journal, "a").await;
    let claimed = journal.claim(QUEUE, 1, 0).pop().unwrap();
    let error = journal.discard(claimed.id()).await.unwrap_err();
    assert_eq!(
        error,
        ChangeError::State {
            id: claimed.id(),
            state: State::InFlight
        }
    );
}

#[tokio::test]
async fn a_drain_is_woken_by_an_append_and_by_a_dropped_claim() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let mut claimable = journal.claimable();
    append(&journal, "a").await;
    claimable.changed().await.unwrap();
    let claims = journal.claim(QUEUE, 1, 0);
    drop(claims);
    claimable.changed().await.unwrap();
}

#[tokio::test]
async fn lookups_show_the_latest_entry_of_each_key() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    for key in ["b/2", "a/1", "b/1", "b/2", "c"] {
        append(&journal, key).await;
    }
    let keys = |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        journal
            .list(QUEUE, prefix, after, limit)
            .into_iter()
            .map(|entry| entry.key)
            .collect()
    };
    assert_eq!(keys("", None, 9), ["a/1", "b/1", "b/2", "c"]);
    assert_eq!(keys("b/", None, 9), ["b/1", "b/2"]);
    assert_eq!(keys("b/", Some("b/1"), 9), ["b/2"]);
    assert_eq!(keys("b/", Some("a"), 1), ["b/1"]);
    assert!(keys("b/", Some("c"), 9).is_empty());
    assert!(journal.list("redis", "", None, 9).is_empty());
    let both = journal.entries_for_key(QUEUE, "b/2");
    assert_eq!(both.len(), 2);
    assert_eq!(journal.latest(QUEUE, "b/2").as_ref(), both.last());
    assert_eq!(journal.latest(QUEUE, "nothing"), None);
}

#[tokio::test]
async fn entries_are_listed_in_pages_by_queue_and_state() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    for i in 0..10 {
        append(&journal, &i.to_string()).await;
    }
    for (i, claimed) in journal.claim(QUEUE, 10, 0).into_iter().enumerate() {
        if i % 3 == 0 {
            claimed.set_aside("refused").await.unwrap();
        }
    }
    assert_eq!(journal.stats().set_aside, 4);
    let filter = Filter {
        queue: Some(QUEUE.into()),
        state: Some(State::SetAside),
    };
    let first = journal.entries(&filter, None, 3);
    let rest = journal.entries(&filter, Some(first[2].id), 3);
    assert_eq!((first.len(), rest.len()), (3, 1));
    let other = Filter {
        queue: Some("redis".into()),
        state: None,
    };
    assert!(journal.entries(&other, None, 9).is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Claim(usize),
    Complete(usize),
    RetryLater(usize, i64),
    SetAside(usize),
    Drop(usize),
    Retry(usize),
    Discard(usize),
    Advance(i64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..4_u8).prop_map(Step::Append),
        4 => (1..4_usize).prop_map(Step::Claim),
        2 => (0..8_usize).prop_map(Step::Complete),
        2 => (0..8_usize, 1..20_i64).prop_map(|(i, after)| Step::RetryLater(i, after)),
        1 => (0..8_usize).prop_map(Step::SetAside),
        1 => (0..8_usize).prop_map(Step::Drop),
        1 => (0..8_usize).prop_map(Step::Retry),
        1 => (0..8_usize).prop_map(Step::Discard),
        1 => (1..20_i64).prop_map(Step::Advance),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone)]
struct ModelEntry {
    id: EntryId,
    key: u8,
    state: State,
    not_before: i64,
}

/// The rules, written down as directly as possible: a list in order of acceptance.
#[derive(Debug, Default)]
struct Model {
    entries: Vec<ModelEntry>,
    now: i64,
    in_turn: bool,
    had_paused: bool,
}

impl Model {
    fn claim(&mut self, limit: usize) -> Vec<EntryId> {
        let mut claimed = Vec::new();
        while claimed.len() < limit {
            let next = match self.in_turn {
                true => self.next_in_turn(),
                false => self.oldest(),
            };
            let Some((time, id)) = next else {
                break;
            };
            self.set(id, State::InFlight, time);
            claimed.push(id);
        }
        claimed
    }

    fn next_in_turn(&mut self) -> Option<(i64, EntryId)> {
        let all = self.claimable().into_iter();
        let (paused, fresh): (Vec<_>, Vec<_>) = all.partition(|(time, _)| *time > 0);
        match (paused.first(), fresh.first()) {
            (Some(paused), Some(fresh)) => {
                self.had_paused = !self.had_paused;
                Some(if self.had_paused { *paused } else { *fresh })
            }
            (paused, fresh) => paused.or(fresh).copied(),
        }
    }

    fn oldest(&self) -> Option<(i64, EntryId)> {
        self.claimable().into_iter().min_by_key(|(_, id)| *id)
    }

    /// By the time before which they could not be claimed, 0 without one, and age.
    fn claimable(&self) -> Vec<(i64, EntryId)> {
        let mut all = Vec::new();
        for (i, entry) in self.entries.iter().enumerate() {
            let mut earlier = self.entries[..i].iter();
            let first = earlier.all(|earlier| earlier.key != entry.key);
            if first && entry.state == State::Queued && entry.not_before <= self.now {
                all.push((entry.not_before, entry.id));
            }
        }
        all.sort();
        all
    }

    fn set(&mut self, id: EntryId, state: State, not_before: i64) {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.id == id)
            .unwrap();
        (entry.state, entry.not_before) = (state, not_before);
    }

    fn remove(&mut self, id: EntryId) {
        self.entries.retain(|entry| entry.id != id);
    }
}

fn take(claims: &mut Vec<Claimed>, i: usize) -> Option<Claimed> {
    (!claims.is_empty()).then(|| claims.remove(i % claims.len()))
}

async fn verdict(model: &mut Model, claims: &mut Vec<Claimed>, step: &Step) {
    let (Step::Complete(i) | Step::RetryLater(i, _) | Step::SetAside(i) | Step::Drop(i)) = *step
    else {
        return;
    };
    let Some(claimed) = take(claims, i) else {
        return;
    };
    let id = claimed.id();
    match step {
        Step::Complete(_) => {
            claimed.complete().await.unwrap();
            model.remove(id);
        }
        Step::RetryLater(_, after) => {
            claimed
                .retry_later("failed", model.now + after)
                .await
                .unwrap();
            model.set(id, State::Queued, model.now + after);
        }
        Step::SetAside(_) => {
            claimed.set_aside("refused").await.unwrap();
            model.set(id, State::SetAside, 0);
        }
        _ => {
            drop(claimed);
            let not_before = model
                .entries
                .iter()
                .find(|entry| entry.id == id)
                .unwrap()
                .not_before;
            model.set(id, State::Queued, not_before);
        }
    }
}

async fn operator(model: &mut Model, journal: &Journal, step: &Step) {
    let (Step::Retry(i) | Step::Discard(i)) = *step else {
        return;
    };
    if model.entries.is_empty() {
        return;
    }
    let entry = model.entries[i % model.entries.len()].clone();
    if matches!(step, Step::Retry(_)) {
        let allowed = journal.retry(entry.id, None).await.is_ok();
        assert_eq!(allowed, entry.state == State::SetAside);
        if allowed {
            model.set(entry.id, State::Queued, 0);
        }
    } else {
        let allowed = journal.discard(entry.id).await.is_ok();
        assert_eq!(allowed, entry.state != State::InFlight);
        if allowed {
            model.remove(entry.id);
        }
    }
}

async fn follows_the_model(in_turn: bool, steps: Vec<Step>) {
    let dir = tempdir().unwrap();
    let mut journal = open(dir.path()).await;
    let mut claims = Vec::new();
    let mut model = Model {
        in_turn,
        ..Model::default()
    };
    for step in steps {
        match step {
            Step::Append(key) => {
                let id = append(&journal, &key.to_string()).await;
                model.entries.push(ModelEntry {
                    id,
                    key,
                    state: State::Queued,
                    not_before: 0,
                });
            }
            Step::Claim(limit) => {
                let claimed = match in_turn {
                    true => journal.claim_in_turn(QUEUE, limit, model.now),
                    false => journal.claim(QUEUE, limit, model.now),
                };
                assert_eq!(ids(&claimed), model.claim(limit));
                claims.extend(claimed);
            }
            Step::Advance(by) => model.now += by,
            Step::Reopen => {
                claims.clear();
                drop(journal);
                journal = open(dir.path()).await;
                model.had_paused = false;
                for entry in &mut model.entries {
                    entry.not_before = 0;
                    if entry.state == State::InFlight {
                        entry.state = State::Queued;
                    }
                }
            }
            step => {
                verdict(&mut model, &mut claims, &step).await;
                operator(&mut model, &journal, &step).await;
            }
        }
        let seen: Vec<_> = journal.entries(&Filter::default(), None, 99);
        let seen: Vec<_> = seen.iter().map(|entry| (entry.id, entry.state)).collect();
        let expected: Vec<_> = model
            .entries
            .iter()
            .map(|entry| (entry.id, entry.state))
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(journal.stats().in_flight, claims.len() as u64);
        let is_waiting = seen.iter().any(|(_, state)| *state != State::SetAside);
        assert_eq!(journal.is_waiting(QUEUE), is_waiting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_follow_a_naive_model(in_turn: bool, steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(follows_the_model(in_turn, steps));
    }
}
