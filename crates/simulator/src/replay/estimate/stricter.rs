//! How the settings of two breakers stand to each other, rule by rule.

use std::cmp::Ordering;

use mainstay_breaker::{RateRule, Rule, Settings, SlowRule};

/// More calls than a window is ever asked for.
const NEVER: u32 = 1_000_000;

/// How a rule stands to the one that was in force. `None`: neither stricter nor laxer.
type Than = Option<Ordering>;

/// Whether the settings can lead to other openings and closings. The lease can't: what is estimated ends when it
/// begins. Nor can the ramp, which only bounds calls.
pub(in crate::replay) fn acts(one: &Settings, other: &Settings) -> bool {
    let mut one = *one;
    one.half_open.lease = other.half_open.lease;
    one.ramp = other.ramp;
    one != *other
}

/// Whether a breaker with `ours` opens too when one with `theirs` does by this rule: what opens it is then no weaker.
pub(super) fn follows(ours: &Settings, theirs: &Settings, rule: Option<Rule>) -> bool {
    let than = match rule {
        Some(Rule::Consecutive) => consecutive(ours, theirs),
        Some(Rule::Rate) => rate(ours, theirs),
        Some(Rule::Slow) => slow(ours, theirs),
        Some(Rule::Probes | Rule::Operator) | None => return true,
    };
    than.is_some_and(Ordering::is_ge)
}

/// `ours` as they count while both breakers are closed: a rule that is no stricter than the recorded one opens only
/// where that one does, whatever order of calls is supposed.
pub(super) fn muted(ours: &Settings, theirs: &Settings) -> Settings {
    let mut muted = *ours;
    let mutes = |than: Than| than.is_some_and(Ordering::is_le);
    if mutes(consecutive(ours, theirs)) {
        muted.consecutive = None;
    }
    if let Some(rate) = muted.rate.as_mut().filter(|_| mutes(rate(ours, theirs))) {
        (rate.threshold, rate.min_calls) = (1.0, NEVER);
    }
    if let Some(slow) = muted.slow.as_mut().filter(|_| mutes(slow(ours, theirs))) {
        (slow.threshold, slow.min_calls) = (1.0, NEVER);
    }
    muted
}

/// Greater is stricter.
#[expect(clippy::unnecessary_wraps, reason = "the other rules can be neither")]
fn consecutive(ours: &Settings, theirs: &Settings) -> Than {
    let most = |settings: &Settings| {
        settings
            .consecutive
            .map_or(u32::MAX, std::num::NonZero::get)
    };
    Some(most(theirs).cmp(&most(ours)))
}

fn rate(ours: &Settings, theirs: &Settings) -> Than {
    let than = |one: &RateRule, other: &RateRule| {
        all([
            other.threshold.partial_cmp(&one.threshold)?,
            other.min_calls.cmp(&one.min_calls),
        ])
    };
    of(ours.rate.as_ref(), theirs.rate.as_ref(), |one, other| {
        than(one, other).filter(|_| ours.window == theirs.window)
    })
}

fn slow(ours: &Settings, theirs: &Settings) -> Than {
    let than = |one: &SlowRule, other: &SlowRule| {
        all([
            other.after.cmp(&one.after),
            other.threshold.partial_cmp(&one.threshold)?,
            other.min_calls.cmp(&one.min_calls),
        ])
    };
    of(ours.slow.as_ref(), theirs.slow.as_ref(), |one, other| {
        than(one, other).filter(|_| ours.window == theirs.window)
    })
}

fn of<T>(ours: Option<&T>, theirs: Option<&T>, than: impl FnOnce(&T, &T) -> Than) -> Than {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => than(ours, theirs),
        (ours, theirs) => Some(ours.is_some().cmp(&theirs.is_some())),
    }
}

/// Stricter if any is stricter and none laxer, and the other way round.
fn all<const N: usize>(parts: [Ordering; N]) -> Than {
    parts
        .into_iter()
        .try_fold(Ordering::Equal, |sum, part| match (sum, part) {
            (sum, Ordering::Equal) => Some(sum),
            (Ordering::Equal, part) => Some(part),
            (sum, part) => (sum == part).then_some(sum),
        })
}
