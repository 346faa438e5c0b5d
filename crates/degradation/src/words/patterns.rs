//! Patterns of failures and predictions in words.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Language, name, say, span};
use crate::cascade::patterns::{Patterns, Repeating};
use crate::recovery::{Prediction, Recoveries};
use crate::settings::{DependencyId, Rules};

fn names(list: &[DependencyId], between: &str, rules: &Rules) -> String {
    let names: Vec<&str> = list.iter().map(|id| name(rules, *id)).collect();
    names.join(between)
}

pub(super) fn together(list: &[DependencyId], language: Language, rules: &Rules) -> String {
    let names = names(list, ", ", rules);
    say!(
        language,
        "began to fail within seconds of each other: {names}",
        "empezaron a fallar con segundos de diferencia: {names}"
    )
}

impl Repeating {
    /// One sentence: in which order, how often, who would be next.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules) -> String {
        let (order, next) = (names(&self.sequence, " → ", rules), name(rules, self.next));
        let repeats = self.repeats;
        say!(
            language,
            "failures repeat in the order {order} ({repeats} times so far); next would be {next}",
            "las fallas se repiten en el orden {order} ({repeats} veces hasta ahora); seguiría {next}"
        )
    }
}

impl Patterns {
    /// One sentence for each pattern.
    #[must_use]
    pub fn words(&self, language: Language, rules: &Rules) -> Vec<String> {
        let mut words = Vec::new();
        if !self.together.is_empty() {
            words.push(together(&self.together, language, rules));
        }
        words.extend(self.repeating.iter().map(|one| one.words(language, rules)));
        words.extend(self.most_failing.map(|most| {
            let (name, failures) = (name(rules, most.dependency), most.failures);
            say!(
                language,
                "{name} fails most: {failures} of the last failures",
                "{name} es la que más falla: {failures} de las últimas fallas"
            )
        }));
        words.extend(self.critical_path.map(|path| {
            let (from, to, impact) = (name(rules, path.from), name(rules, path.to), path.impact);
            say!(
                language,
                "critical path: {from} → {to} (summed impact {impact:.2})",
                "camino crítico: {from} → {to} (impacto acumulado {impact:.2})"
            )
        }));
        words
    }
}

impl Prediction {
    /// One sentence: when it will be back, and what that is judged by.
    #[must_use]
    pub fn words(&self, language: Language) -> String {
        let (median, p90, outages) = (span(self.median), span(self.p90), self.outages);
        if outages == 0 {
            return say!(
                language,
                "no earlier outage is known; half of all are over within another {median}",
                "no se conoce un corte anterior; la mitad termina en otros {median}"
            );
        }
        say!(
            language,
            "probably back within {median}, in nine cases of ten within {p90} (earlier outages: {outages})",
            "probablemente de vuelta en {median}, en nueve de diez casos en {p90} (cortes anteriores: {outages})"
        )
    }
}

impl Recoveries {
    /// One sentence: how it recovered from earlier outages.
    #[must_use]
    pub fn words(&self, language: Language) -> String {
        let (count, median, p90) = (self.count, span(self.median), span(self.p90));
        let (longest, last) = (span(self.longest), span(self.last));
        say!(
            language,
            "{count} earlier outages: half took up to {median}, nine in ten up to {p90}, the longest {longest}, the last {last}",
            "{count} cortes anteriores: la mitad duró hasta {median}, nueve de diez hasta {p90}, el más largo {longest}, el último {last}"
        )
    }
}
