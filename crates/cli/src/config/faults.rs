//! What is wrong with a configuration's text, for whoever holds only the text.

use super::errors::Origin;
use super::load::from_text;

/// One mistake of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The line of the text, counted from 1, if the mistake stands there.
    pub line: Option<usize>,
    /// The environment variable, if the mistake stands there.
    pub variable: Option<String>,
    /// The setting, e.g. `breakers.redis.fail_max`; empty for what concerns none (a syntax error).
    pub key: String,
    /// What is wrong, or what is allowed.
    pub message: String,
}

/// Reads a configuration and gives everything that is wrong with it: nothing, if it can be served with.
#[must_use]
pub fn faults(text: &str, environment: &[(String, String)]) -> Vec<Fault> {
    let read = from_text(text, environment.iter().cloned());
    let mistakes = read.err().into_iter().flatten();
    let fault = |mistake: super::errors::Mistake| {
        let (line, variable) = match mistake.origin {
            Origin::Line(line) => (Some(line), None),
            Origin::Variable(name) => (None, Some(name)),
            Origin::Default => (None, None),
        };
        Fault {
            line,
            variable,
            key: mistake.key,
            message: mistake.message,
        }
    };
    mistakes.map(fault).collect()
}

#[cfg(test)]
mod tests {
    //! Whatever is typed: never a panic, and every mistake has a place that is there.

    use proptest::prelude::*;

    use super::super::env::variable;
    use super::*;

    const NO_ENVIRONMENT: [(String, String); 0] = [];

    fn check(text: &str, environment: impl IntoIterator<Item = (String, String)>) {
        let environment: Vec<_> = environment.into_iter().collect();
        let lines = text.matches('\n').count() + 1;
        for fault in faults(text, &environment) {
            assert!(
                fault.line.is_none_or(|line| (1..=lines).contains(&line)),
                "{fault:?}"
            );
            let known = |name: &String| environment.iter().any(|(known, _)| known == name);
            assert!(fault.variable.as_ref().is_none_or(known), "{fault:?}");
            assert!(!fault.message.is_empty(), "{fault:?}");
        }
    }

    fn keys() -> Vec<String> {
        let (_, entries) = from_text("", NO_ENVIRONMENT).expect("the defaults are sound");
        entries.into_iter().map(|entry| entry.key).collect()
    }

    /// Values of every kind, sound and not.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| format!("{number:?}")),
            any::<bool>().prop_map(|flag| flag.to_string()),
            "[ -~]{0,12}".prop_map(|text| format!("{text:?}")),
            "[0-9]{1,6}(ms|s|m|h|d|MiB|KiB|)".prop_map(|text| format!("{text:?}")),
            prop::collection::vec("(\"on\"|\"off\"|1|-1|1e400|\"1s\")", 0..6)
                .prop_map(|list| format!("[{}]", list.join(", "))),
            Just("{}".to_owned()),
            Just("\"off\"".to_owned()),
            Just("1979-05-27T07:32:00Z".to_owned()),
            Just("inf".to_owned()),
            Just("nan".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            check(&String::from_utf8_lossy(&bytes), NO_ENVIRONMENT);
        }

        #[test]
        fn anything_that_looks_like_a_configuration_is_read_or_refused(
            text in "(\\[{0,2}[a-z.]{0,12}\\]{0,2}\n|[a-z_.]{1,10} ?= ?[\"\\[\\{0-9a-z.\\]\\}]{0,10}\n|#.{0,8}\n){0,12}",
        ) {
            check(&text, NO_ENVIRONMENT);
        }
    }

    proptest! {
        // Each asks for every setting, and looks for the nearest name of each unknown one.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_value_of_any_setting_is_taken_or_named(
            picks in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..8),
        ) {
            let keys = keys();
            let lines = picks.iter().map(|(at, value)| format!("{} = {value}", at.get::<String>(&keys)));
            // Lists of tables can't be written as dotted keys.
            let lines: Vec<_> = lines.filter(|line| !line.contains('[') || line.contains("= [")).collect();
            check(&lines.join("\n"), NO_ENVIRONMENT);
        }

        #[test]
        fn any_variable_is_taken_or_named(
            picks in prop::collection::vec((any::<prop::sample::Index>(), "[ -~]{0,16}"), 1..8),
            odd in "MAINSTAY_(OPENAI_PROVIDERS_)?[A-Z0-9_]{0,20}",
        ) {
            let keys = keys();
            let environment = picks.iter().map(|(at, value)| (variable(at.get::<String>(&keys)), value.clone()));
            let mut environment: std::collections::BTreeMap<_, _> = environment.collect();
            environment.entry(odd).or_insert_with(|| "1".to_owned());
            check("", environment);
        }
    }
}
