//! New settings: whatever keeps its name keeps its state.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use mainstay_breaker::Moment;

use super::evaluate::Why;
use super::{Controller, Effect, Endpoint, Unit};
use crate::events::Event;
use crate::settings::Rules;

impl Controller {
    pub(super) fn reload(&mut self, now: Moment, rules: Rules, effects: &mut Vec<Effect>) {
        self.endpoints = self.endpoints_for(now, &rules);
        self.units = self.units_for(&rules);
        self.knobs = core::mem::take(&mut self.knobs)
            .into_iter()
            .filter_map(|mut knob| {
                knob.feature = rules.feature_id(&self.rules.feature(knob.feature).name)?;
                Some(knob)
            })
            .collect();
        self.renumber(&rules);
        self.live = rules.dependencies().map(|_| false).collect();
        self.causes.clear();
        self.effects_of_down.clear();
        let old = core::mem::replace(&mut self.rules, rules);
        self.read_history();
        if !self.asks_the_same(&old) {
            self.tuned = None;
        }
        self.pace_anew(now, &old);
        effects.push(Effect::Record(Event::SettingsChanged));
        self.evaluate(now, Why::Reloaded, effects);
        self.ask_for_all_probes(now, effects);
        self.publish(now, effects);
    }

    /// Whether what a level asks, and of whom, is what it was under the old rules.
    fn asks_the_same(&self, old: &Rules) -> bool {
        let names = |rules: &Rules| -> Vec<_> {
            let all = rules.dependencies();
            all.map(|(_, one)| one.name.clone()).collect()
        };
        old.settings().tuning == self.rules.settings().tuning && names(old) == names(&self.rules)
    }

    /// Who is to be probed by another schedule begins with it now: under a long one, the next probe may be days away.
    fn pace_anew(&mut self, now: Moment, old: &Rules) {
        for (endpoint, (_, rule)) in self.endpoints.iter_mut().zip(self.rules.endpoints()) {
            let dependency = self.rules.dependency(rule.dependency);
            let before = old.dependency_id(&dependency.name);
            let before = before.map(|id| &old.dependency(id).probes);
            if before.is_some_and(|before| *before != dependency.probes) {
                let (prober, view) = (&mut endpoint.prober, &endpoint.view);
                prober.rescheduled(now, view, &dependency.probes, &mut self.random);
            }
        }
    }

    /// Whatever is remembered by a dependency's index follows the dependency to its new one.
    fn renumber(&mut self, rules: &Rules) {
        let old = &self.rules;
        let new_id = |id| {
            let id = rules.dependency_id(&old.dependency(id).name);
            id.filter(|id| !rules.is_absent(*id))
        };
        self.patterns.renumber(&rules.settings().patterns, new_id);
        self.alerts.renumber(new_id);
    }

    fn endpoints_for(&mut self, now: Moment, rules: &Rules) -> Vec<Endpoint> {
        let names = self.rules.endpoints().map(|(_, rule)| rule.name.as_str());
        let mut old: BTreeMap<&str, Endpoint> =
            names.zip(core::mem::take(&mut self.endpoints)).collect();
        let endpoint = |probed: bool, name: &str| match old.remove(name) {
            Some(kept) if kept.probed == probed => kept,
            _ => Endpoint::new(now, probed),
        };
        let mut endpoint = endpoint;
        rules
            .endpoints()
            .map(|(_, rule)| endpoint(rule.probed && !rules.is_absent(rule.dependency), &rule.name))
            .collect()
    }

    fn units_for(&mut self, rules: &Rules) -> Vec<Unit> {
        let names = self
            .rules
            .dependencies()
            .map(|(_, rule)| rule.name.as_str());
        let mut old: BTreeMap<&str, Unit> = names.zip(core::mem::take(&mut self.units)).collect();
        let kept = rules.dependencies().map(|(id, rule)| {
            let unit = old.remove(rule.name.as_str()).unwrap_or_default();
            if rules.is_absent(id) {
                Unit::default()
            } else {
                unit
            }
        });
        kept.collect()
    }
}
