//! What a dependency that is down does to the others: one hop, from own scores.
//!
//! Effective scores warn and protect; they never enter the overall score.

pub mod patterns;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::settings::{DependencyId, Rules};

/// What a cascade needs to know of one component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Its own score, 0 to 100.
    pub score: f64,
    /// It is down.
    pub down: bool,
    /// It is FAILING or worse.
    pub failing: bool,
    /// Failures in a row.
    pub failures_in_row: u32,
}

/// One dependency's effect on another, now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The one that is down.
    pub from: DependencyId,
    /// The one that suffers.
    pub to: DependencyId,
    /// How much, above 0 and at most 1.
    pub impact: f64,
}

/// The effects of everything that is down.
#[must_use]
pub fn effects(rules: &Rules, standings: &[Standing]) -> Vec<Effect> {
    let effect = |&(from, to, share): &(DependencyId, DependencyId, f64)| {
        let impact = impact(share, &standings[from.index()], &standings[to.index()]);
        (impact > 0.0 && !rules.is_absent(to)).then_some(Effect { from, to, impact })
    };
    rules.impacts().iter().filter_map(effect).collect()
}

fn impact(share: f64, from: &Standing, to: &Standing) -> f64 {
    if !from.down {
        return 0.0;
    }
    let severity = 1.0 - from.score / 100.0;
    let weakened = if to.failing {
        1.0 + f64::from(to.failures_in_row) / 10.0
    } else {
        1.0
    };
    (share * severity * weakened).min(1.0)
}

/// What all effects together do to each dependency, 0 to 1, by index.
#[must_use]
pub fn totals(effects: &[Effect], dependencies: usize) -> Vec<f64> {
    let mut totals = alloc::vec![0.0_f64; dependencies];
    for effect in effects {
        let total = &mut totals[effect.to.index()];
        *total = (*total + effect.impact).min(1.0);
    }
    totals
}
