//! One number for everything that was decided besides the snapshot: probes and their moments, openings, limits, alerts,
//! the drain's share, events. A replay compares it with its own.

use alloc::vec::Vec;

use serde::Serialize;

use crate::controller::Effect;

/// FNV-1a over the effects as they would be written, in their order: 64 bits (Fowler, Noll, Vo). `None`: there is none
/// but snapshots, of which [`Decided`](super::Decided) tells.
#[must_use]
pub fn digest(effects: &[Effect]) -> Option<u64> {
    let mut done = effects
        .iter()
        .filter(|effect| !matches!(effect, Effect::Publish(_)))
        .peekable();
    done.peek()?;
    Some(done.fold(0xCBF2_9CE4_8422_2325, |sum, effect| {
        bytes(effect).iter().fold(sum, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
    }))
}

/// Each kind with a number of its own, which is part of the format.
fn bytes(effect: &Effect) -> Vec<u8> {
    match effect {
        Effect::Publish(_) => Vec::new(),
        Effect::Probe { endpoint, at } => written(1, &(endpoint, at)),
        Effect::Trip { endpoint, kind } => written(2, &(endpoint, kind)),
        Effect::HalfOpenEarly { endpoint } => written(3, endpoint),
        Effect::Retune(to) => written(4, &(to.level, &to.tuning, &to.limits)),
        Effect::Record(event) => written(5, event),
        Effect::Drain { share } => written(6, share),
        Effect::Alert(alert) => written(7, alert),
    }
}

fn written(kind: u8, what: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(what, alloc::vec![kind])
        .expect("memory takes all, and every list has a length")
}
