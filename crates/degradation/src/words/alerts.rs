//! Alerts in words: while they last, and when they are over.

use alloc::string::String;

use mainstay_breaker::Moment;

use super::{Language, name, say, span};
use crate::events::Alert;
use crate::settings::Rules;

impl Alert {
    /// One sentence.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        match *self {
            Self::Degraded { since, level } => {
                let age = span(now.saturating_since(since));
                say!(
                    language,
                    "the level has been worse than OPTIMAL for {age} and is {level}",
                    "el nivel es peor que OPTIMAL desde hace {age}; ahora {level}"
                )
            }
            Self::SlowRecovery { took } => {
                let took = span(took);
                say!(
                    language,
                    "the recovery took {took}",
                    "la recuperación tardó {took}"
                )
            }
            Self::Latency {
                dependency,
                p95,
                threshold,
            } => {
                let (name, p95, threshold) = (name(rules, dependency), span(p95), span(threshold));
                say!(
                    language,
                    "95 % of calls to {name} take up to {p95}; the level allows {threshold}",
                    "el 95 % de las llamadas a {name} tarda hasta {p95}; el nivel admite {threshold}"
                )
            }
            Self::FallbackInUse { dependency, lasted } => {
                let (name, lasted) = (name(rules, dependency), span(lasted));
                say!(
                    language,
                    "the fallback of {name} has been in use for {lasted}",
                    "el respaldo de {name} está en uso desde hace {lasted}"
                )
            }
            Self::FallbackUnexercised { dependency, age } => {
                let (name, age) = (name(rules, dependency), span(age));
                say!(
                    language,
                    "the fallback of {name} has not been exercised for {age}",
                    "el respaldo de {name} no se ejercita desde hace {age}"
                )
            }
            Self::JournalBehind { oldest } => {
                let oldest = span(oldest);
                say!(
                    language,
                    "accepted work has been waiting for {oldest}",
                    "hay trabajo aceptado que espera desde hace {oldest}"
                )
            }
            Self::JournalFaulted => say!(
                language,
                "the journal can't keep what it is given",
                "el registro no puede guardar lo que recibe"
            ),
        }
    }

    /// One sentence once it is over: what was so, or is so again.
    #[must_use]
    pub fn end_words(&self, language: Language, rules: &Rules, now: Moment) -> String {
        match *self {
            Self::Degraded { since, .. } => {
                let age = span(now.saturating_since(since));
                say!(
                    language,
                    "the level was worse than OPTIMAL for {age}",
                    "el nivel fue peor que OPTIMAL durante {age}"
                )
            }
            Self::Latency { dependency, .. } => {
                let name = name(rules, dependency);
                say!(
                    language,
                    "calls to {name} no longer take longer than the level allows",
                    "las llamadas a {name} ya no tardan más de lo que el nivel admite"
                )
            }
            Self::FallbackInUse { dependency, lasted } => {
                let (name, lasted) = (name(rules, dependency), span(lasted));
                say!(
                    language,
                    "the fallback of {name} was in use for {lasted}",
                    "el respaldo de {name} estuvo en uso durante {lasted}"
                )
            }
            Self::FallbackUnexercised { dependency, .. } => {
                let name = name(rules, dependency);
                say!(
                    language,
                    "the fallback of {name} has been exercised again",
                    "el respaldo de {name} volvió a ejercitarse"
                )
            }
            Self::JournalBehind { .. } => say!(
                language,
                "accepted work no longer waits for long",
                "el trabajo aceptado ya no espera mucho"
            ),
            Self::JournalFaulted => say!(
                language,
                "the journal keeps again what it is given",
                "el registro vuelve a guardar lo que recibe"
            ),
            // It is told of something that is over already.
            Self::SlowRecovery { .. } => self.words(language, rules, now),
        }
    }
}
