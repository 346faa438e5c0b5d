//! Alerts: each is raised once and taken back once, and snapshots show exactly those that last.

use mainstay_degradation::{Alert, DependencyId, Event, Snapshot};

use super::{Check, Inspector};
use mainstay_breaker::Moment;

/// What an alert is about.
pub(super) type About = (&'static str, Option<DependencyId>);

pub(super) fn about(alert: &Alert) -> About {
    (alert.kind(), alert.dependency())
}

impl Inspector {
    pub(super) fn look_at_alert(&mut self, now: Moment, event: &Event) {
        let (alert, right) = match event {
            // That one is over as it is raised.
            Event::AlertRaised(Alert::SlowRecovery { .. }) => return,
            Event::AlertRaised(alert) => {
                let new = self.raised.insert(about(alert));
                // Whoever was told of a level hears of a worse one, too.
                (alert, new || matches!(alert, Alert::Degraded { .. }))
            }
            Event::AlertOver(alert) => (alert, self.raised.remove(&about(alert))),
            _ => return,
        };
        if !right {
            let detail = format!("{alert:?}: {}", event.kind());
            self.violated(Check::Alerts, now, detail);
        }
    }

    pub(super) fn look_at_lasting_alerts(&mut self, snapshot: &Snapshot) {
        let shown = snapshot.alerts.iter().map(about);
        if shown.clone().count() != self.raised.len()
            || !shown.clone().all(|one| self.raised.contains(&one))
        {
            let shown: Vec<About> = shown.collect();
            let detail = format!("{shown:?} are shown and {:?} last", self.raised);
            self.violated(Check::Alerts, snapshot.at, detail);
        }
    }
}
