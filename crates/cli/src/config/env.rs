//! `MAINSTAY_<SECTION>_<KEY>`: the environment as a second file, without types.

use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "MAINSTAY_";

/// Variables that aren't settings: the key that `mainstay status` uses.
const OTHERS: [&str; 1] = [crate::commands::KEY_VARIABLE];

/// The variables that begin with `MAINSTAY_`, and which of them were asked for.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    asked: BTreeSet<String>,
}

impl Environment {
    /// Keeps what concerns Mainstay. An empty variable counts as not set.
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |(name, value): &(String, String)| {
            name.starts_with(PREFIX) && !value.is_empty() && !OTHERS.contains(&name.as_str())
        };
        Self {
            variables: variables.into_iter().filter(ours).collect(),
            asked: BTreeSet::new(),
        }
    }

    /// The variable of a key: its name and its value.
    pub(crate) fn get(&mut self, key: &str) -> Option<(String, String)> {
        let name = variable(key);
        let value = self.variables.get(&name).cloned();
        self.asked.insert(name.clone());
        value.map(|value| (name, value))
    }

    /// The tables of a list that variables speak of, by index, each with the first of its variables.
    pub(crate) fn tables(&self, key: &str) -> BTreeMap<usize, String> {
        let start = format!("{}_", variable(key));
        let mut found = BTreeMap::new();
        for name in self.variables.keys() {
            let digits = name
                .strip_prefix(&start)
                .and_then(|rest| rest.split('_').next());
            let index = digits.and_then(|digits| digits.parse::<usize>().ok());
            // `01` is no index: its variable is not the one that is asked for.
            let canonical = index.filter(|index| digits == Some(&index.to_string()));
            if let Some(index) = canonical {
                found.entry(index).or_insert_with(|| name.clone());
            }
        }
        found
    }

    /// Marks all variables of one table of a list as known, whatever they say.
    pub(crate) fn pass_over(&mut self, key: &str, index: usize) {
        let start = format!("{}_{index}_", variable(key));
        let names = self
            .variables
            .keys()
            .filter(|name| name.starts_with(&start));
        self.asked.extend(names.cloned());
    }

    /// Variables that no setting has, each with the nearest one that some setting has.
    pub(crate) fn unknown(&self) -> Vec<(String, Option<String>)> {
        let unknown = self
            .variables
            .keys()
            .filter(|name| !self.asked.contains(*name));
        unknown
            .map(|name| (name.clone(), self.meant(name)))
            .collect()
    }

    fn meant(&self, name: &str) -> Option<String> {
        let first = name
            .strip_prefix(&format!("{PREFIX}{FIRST_PROVIDER}"))
            .map(|rest| format!("{PREFIX}OPENAI_{rest}"))
            .filter(|name| self.asked.contains(name));
        first.or_else(|| nearest(name, self.asked.iter().map(String::as_str)))
    }
}

/// What the first provider's variables don't begin with.
const FIRST_PROVIDER: &str = "OPENAI_PROVIDERS_0_";

/// `server.listen` is `MAINSTAY_SERVER_LISTEN`; the first provider's keys go without `PROVIDERS_0`.
pub(crate) fn variable(key: &str) -> String {
    let key = match key.strip_prefix("openai.providers[0].") {
        Some(rest) => format!("openai.{rest}"),
        None => key.to_owned(),
    };
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = key.replace(']', "").chars().map(upper).collect();
    format!("{PREFIX}{name}")
}

/// The known name that this one was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let near = known.map(|one| (strsim::normalized_damerau_levenshtein(name, one), one));
    near.filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, one)| one.to_owned())
}
