//! Who is protected from whose outage, by what share, and what that leaves: for `/status` and `/status/why`.

use mainstay_runtime::EndpointLimit;
use mainstay_runtime::degradation::{Snapshot, Warning};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Core;
use crate::language::Language;

/// A dependency that is protected while another is down.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProtectionView {
    /// The one that is down.
    from: String,
    /// The one that is protected: those who used the other one may come to it now.
    to: String,
    /// The share by which its limits are less for it, 0 to 1.
    share: f64,
    /// What its endpoints take meanwhile.
    limits: Vec<LimitView>,
    /// Whether its identical reads are made once meanwhile. Objects are streamed, each to its own reader.
    single_flight: bool,
}

/// How many calls an endpoint takes at once, usually and now: all outages, the level and a ramp included.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitView {
    /// e.g. `database/replica`.
    endpoint: String,
    /// Calls in flight as configured.
    usual: usize,
    /// Calls in flight now.
    now: usize,
    /// Of those, calls with the header `Mainstay-Instead-Of`, usually.
    instead_of_usual: usize,
    /// Of those, calls with the header `Mainstay-Instead-Of`, now. The next gets 503 `busy` at once, or an earlier result.
    instead_of_now: usize,
}

impl From<EndpointLimit> for LimitView {
    fn from(limit: EndpointLimit) -> Self {
        Self {
            endpoint: limit.endpoint,
            usual: limit.usual,
            now: limit.now,
            instead_of_usual: limit.instead_usual,
            instead_of_now: limit.instead_now,
        }
    }
}

/// One for each outage that weighs on another dependency.
pub fn views(core: &Core, snapshot: &Snapshot) -> Vec<ProtectionView> {
    let rules = core.handle.rules();
    let limits = core.handle.limits();
    let view = |warning: &Warning| {
        let Warning::Cascade { from, to, impact } = *warning;
        let (from, name) = (&rules.dependency(from).name, &rules.dependency(to).name);
        let own = limits.iter().filter(|limit| limit.dependency == to);
        ProtectionView {
            from: from.clone(),
            to: name.clone(),
            share: (impact * 1000.0).round() / 1000.0,
            limits: own.cloned().map(LimitView::from).collect(),
            single_flight: is_single_flight(core, name),
        }
    };
    snapshot.warnings.iter().map(view).collect()
}

/// One sentence for each endpoint that is protected.
pub fn words(core: &Core, snapshot: &Snapshot, spoken: Language) -> Vec<String> {
    let rules = core.handle.rules();
    let threatened = |limit: &EndpointLimit| {
        let hit = |warning: &Warning| matches!(warning, Warning::Cascade { to, .. } if *to == limit.dependency);
        snapshot.warnings.iter().any(hit)
    };
    let limits = core.handle.limits().into_iter().filter(threatened);
    let sentence = |limit: EndpointLimit| {
        let once = is_single_flight(core, &rules.dependency(limit.dependency).name);
        sentence(&limit, once, spoken)
    };
    limits.map(sentence).collect()
}

fn sentence(limit: &EndpointLimit, once: bool, spoken: Language) -> String {
    let EndpointLimit {
        endpoint,
        usual,
        now,
        instead_usual,
        instead_now,
        ..
    } = limit;
    match spoken {
        Language::English => {
            let reads = if once { ", identical reads once" } else { "" };
            format!(
                "{endpoint} is protected meanwhile: {now} calls in flight instead of {usual}, {instead_now} instead of \
                 {instead_usual} of them in another's place{reads}"
            )
        }
        Language::Spanish => {
            let reads = if once {
                ", lecturas iguales una sola vez"
            } else {
                ""
            };
            format!(
                "{endpoint} está protegido mientras tanto: {now} llamadas simultáneas en vez de {usual}, {instead_now} en vez \
                 de {instead_usual} de ellas en lugar de otro servicio{reads}"
            )
        }
    }
}

/// Whether identical reads are made once while it is threatened. The embedded store in memory has nothing to save.
fn is_single_flight(core: &Core, dependency: &str) -> bool {
    match dependency {
        "database" => true,
        "redis" => !core.redis.is_embedded(),
        _ => false,
    }
}
