//! Events in words.

use alloc::string::String;

use mainstay_breaker::Moment;

use super::patterns::together;
use super::{Language, failure, left, name, rule, say, span};
use crate::events::{Event, LevelCause};
use crate::settings::{EndpointId, Rules};

fn endpoint(rules: &Rules, id: EndpointId) -> &str {
    &rules.endpoint(id).name
}

impl LevelCause {
    /// One clause: what made the level change.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules) -> String {
        match *self {
            Self::Opened(id) => {
                let name = endpoint(rules, id);
                say!(
                    language,
                    "the breaker of {name} opened",
                    "se abrió el disyuntor de {name}"
                )
            }
            Self::Confirmed => say!(
                language,
                "the score stayed below",
                "el puntaje siguió por debajo"
            ),
            Self::Recovered => say!(language, "the score recovered", "el puntaje se recuperó"),
            Self::Pinned => say!(language, "an operator set it", "lo fijó un operador"),
            Self::Unpinned => {
                say!(
                    language,
                    "the operator's pin ended",
                    "terminó la fijación del operador"
                )
            }
        }
    }
}

impl Event {
    /// One sentence.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        match self {
            Self::FirstRoundOver { score, level } => say!(
                language,
                "first round of probes over: score {score:.1}, level {level}",
                "terminó la primera ronda de sondeos: puntaje {score:.1}, nivel {level}"
            ),
            Self::LevelChanged {
                from,
                to,
                score,
                cause,
                causes,
                ..
            } => {
                let why = cause.words(language, rules);
                let mut text = say!(
                    language,
                    "level {from} → {to} at score {score:.1}: {why}",
                    "nivel {from} → {to} con puntaje {score:.1}: {why}"
                );
                for cause in causes {
                    text += "; ";
                    text += &cause.words(language, rules, now);
                }
                text
            }
            Self::Recovered { took } => {
                let took = span(*took);
                say!(
                    language,
                    "back at OPTIMAL after {took}",
                    "de vuelta en OPTIMAL tras {took}"
                )
            }
            Self::Breaker {
                endpoint: id,
                transition,
            } => {
                let (name, from, to) = (endpoint(rules, *id), transition.from, transition.to);
                let mut text = say!(
                    language,
                    "breaker of {name}: {from} → {to}",
                    "disyuntor de {name}: {from} → {to}"
                );
                if let Some(by) = transition.rule.map(|by| rule(by, language)) {
                    text += &say!(language, ", by {by}", ", por {by}");
                }
                if transition.kind.is_some() {
                    let last = failure(transition.kind, language);
                    text += &say!(language, " ({last})", " ({last})");
                }
                text
            }
            Self::ModeChanged {
                endpoint: id,
                from,
                to,
            } => {
                let name = endpoint(rules, *id);
                say!(
                    language,
                    "breaker of {name}: mode {from} → {to}",
                    "disyuntor de {name}: modo {from} → {to}"
                )
            }
            Self::ProbesFailed { endpoint: id, kind } => {
                let (name, last) = (endpoint(rules, *id), failure(Some(*kind), language));
                say!(
                    language,
                    "probes of {name} keep failing ({last})",
                    "los sondeos de {name} siguen fallando ({last})"
                )
            }
            Self::ProbesPassed { endpoint: id } => {
                let name = endpoint(rules, *id);
                say!(
                    language,
                    "probes of {name} pass again",
                    "los sondeos de {name} vuelven a pasar"
                )
            }
            Self::DependencyDown { dependency } => {
                let name = name(rules, *dependency);
                say!(language, "{name} is down", "{name} no funciona")
            }
            Self::DependencyUp { dependency, outage } => {
                let (name, outage) = (name(rules, *dependency), span(*outage));
                say!(
                    language,
                    "{name} is back after {outage}",
                    "{name} volvió tras {outage}"
                )
            }
            Self::FailingTogether { dependencies } => together(dependencies, language, rules),
            Self::FailingInTurn { repeating } => repeating.words(language, rules),
            Self::HealthChanged { dependency, change } => {
                let (name, from, to, score) = (
                    name(rules, *dependency),
                    change.from,
                    change.to,
                    change.score,
                );
                say!(
                    language,
                    "health of {name}: {from} → {to} at {score:.0}",
                    "salud de {name}: {from} → {to} con {score:.0}"
                )
            }
            Self::AlertRaised(alert) => {
                let alert = alert.words(language, rules, now);
                say!(language, "alert: {alert}", "alerta: {alert}")
            }
            Self::AlertOver(alert) => {
                let end = alert.end_words(language, rules, now);
                say!(language, "alert over: {end}", "fin de alerta: {end}")
            }
            _ => self.operator_words(language, rules, now),
        }
    }

    /// What operators did; everything else is told above.
    fn operator_words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        match *self {
            Self::Pinned { level, until } => {
                let end = end(language, until, now);
                say!(
                    language,
                    "level pinned to {level}{end}",
                    "nivel fijado en {level}{end}"
                )
            }
            Self::Unpinned { expired: true } => {
                say!(
                    language,
                    "the level's pin ran out",
                    "venció la fijación del nivel"
                )
            }
            Self::Unpinned { expired: false } => {
                say!(
                    language,
                    "the level's pin was taken back",
                    "se quitó la fijación del nivel"
                )
            }
            Self::KnobSet {
                feature,
                mode,
                until,
            } => {
                let (name, end) = (&rules.feature(feature).name, end(language, until, now));
                say!(
                    language,
                    "feature {name} set to {mode}{end}",
                    "función {name} puesta en {mode}{end}"
                )
            }
            Self::KnobCleared {
                feature,
                expired: true,
            } => {
                let name = &rules.feature(feature).name;
                say!(
                    language,
                    "the setting of feature {name} ran out",
                    "venció el ajuste de la función {name}"
                )
            }
            Self::KnobCleared {
                feature,
                expired: false,
            } => {
                let name = &rules.feature(feature).name;
                say!(
                    language,
                    "the setting of feature {name} was taken back",
                    "se quitó el ajuste de la función {name}"
                )
            }
            Self::Refused { what, index } => {
                say!(
                    language,
                    "there is no {what} number {index}",
                    "no existe {what} número {index}"
                )
            }
            _ => say!(
                language,
                "new settings are in force",
                "rige una nueva configuración"
            ),
        }
    }
}

fn end(language: Language, until: Option<Moment>, now: Moment) -> String {
    until.map_or_else(String::new, |until| {
        let left = left(until, now);
        say!(language, " for {left}", " por {left}")
    })
}
