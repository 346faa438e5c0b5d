//! Asks for settings one by one: the environment first, then the file, then the default. Mistakes are noted, and
//! the default stands in for them, so that one run finds all.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;

use super::env::{Environment, nearest};
use super::errors::{Mistake, Origin};
use super::raw::{Leaves, Value};
use super::setting::{Setting, quoted};

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// As it would be typed; secrets masked; `None` when it isn't set and has no default.
    pub(crate) shown: Option<String>,
    pub(crate) origin: Origin,
    /// Tells one secret from another without showing either; 0 for what is shown as it is.
    pub(crate) mark: u64,
}

/// What was typed, what was asked for, what was wrong.
#[derive(Debug)]
pub(crate) struct Reader {
    leaves: Leaves,
    environment: Environment,
    asked: BTreeSet<String>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) mistakes: Vec<Mistake>,
}

type Found = (Value, Origin);

impl Reader {
    pub(crate) fn new(leaves: Leaves, environment: Environment) -> Self {
        Self {
            leaves,
            environment,
            asked: BTreeSet::new(),
            entries: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// Any value of this kind.
    pub(crate) fn get<T: Setting>(&mut self, key: &str, default: T) -> T {
        self.checked(key, Some(default), T::WHAT, T::parse)
            .expect("there is a default")
    }

    /// A value inside a range.
    pub(crate) fn within<T: Setting + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let allowed = allowed(&range);
        let parse = |value: &Value| T::parse(value).filter(|value| range.contains(value));
        self.checked(key, Some(default), &allowed, parse)
            .expect("there is a default")
    }

    /// A value that need not be there.
    pub(crate) fn maybe<T: Setting>(&mut self, key: &str) -> Option<T> {
        self.checked(key, None, T::WHAT, T::parse)
    }

    /// A value inside a range, or `"off"`.
    pub(crate) fn or_off<T: Setting + PartialOrd>(
        &mut self,
        key: &str,
        default: Option<T>,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let allowed = format!("{}, or \"off\"", allowed(&range));
        let parse = |value: &Value| match value {
            Value::Text(text) | Value::Bare(text) if text == "off" => Some(OrOff(None)),
            other => T::parse(other)
                .filter(|value| range.contains(value))
                .map(|value| OrOff(Some(value))),
        };
        self.checked(key, Some(OrOff(default)), &allowed, parse)
            .and_then(|found| found.0)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &str,
        default: T,
        words: &[(&'static str, T)],
    ) -> T {
        let names: Vec<_> = words.iter().map(|(name, _)| quoted(name)).collect();
        let find = |text: &str| words.iter().position(|(name, _)| *name == text);
        let parse = |value: &Value| match value {
            Value::Text(text) | Value::Bare(text) => find(text).map(|index| Word(words[index].0)),
            _ => None,
        };
        let default_word = words
            .iter()
            .find(|(_, value)| *value == default)
            .map(|(name, _)| Word(name));
        let word = self.checked(
            key,
            default_word,
            &format!("one of {}", names.join(", ")),
            parse,
        );
        word.and_then(|word| find(word.0))
            .map_or(default, |index| words[index].1)
    }

    /// A list of exactly so many values.
    pub(crate) fn array<T: Setting + Clone, const N: usize>(
        &mut self,
        key: &str,
        default: [T; N],
    ) -> [T; N] {
        let allowed = format!("a list of {N}, each {}", T::WHAT);
        let parse = |value: &Value| Vec::<T>::parse(value).filter(|list| list.len() == N);
        let list = self.checked(key, Some(default.to_vec()), &allowed, parse);
        list.and_then(|list| list.try_into().ok())
            .unwrap_or(default)
    }

    /// Whether a whole table is switched off: `key = "off"`.
    pub(crate) fn is_off(&mut self, key: &str) -> bool {
        let Some((value, origin)) = self.find(key) else {
            return false;
        };
        let off = matches!(&value, Value::Text(text) | Value::Bare(text) if text == "off");
        if off {
            self.note(key, Some(quoted("off")), origin);
        } else if value != Value::Empty {
            self.mistake(
                key,
                origin,
                Some(value.to_string()),
                "must be a table, or \"off\"".to_owned(),
            );
        }
        off
    }

    /// How many tables a list of tables has.
    pub(crate) fn tables(&self, key: &str) -> usize {
        let start = format!("{key}[");
        let index = |leaf: &String| {
            leaf.strip_prefix(&start)?
                .split(']')
                .next()?
                .parse::<usize>()
                .ok()
        };
        self.leaves
            .keys()
            .filter_map(index)
            .max()
            .map_or(0, |last| last + 1)
    }

    /// As [`Reader::tables`], in the environment: each index with one of its variables.
    pub(crate) fn tables_of_environment(&self, key: &str) -> BTreeMap<usize, String> {
        self.environment.tables(key)
    }

    /// Notes that a variable speaks of a table of a list that nothing leads up to.
    pub(crate) fn gap(&mut self, key: &str, index: usize, name: String, message: String) {
        self.environment.pass_over(key, index);
        self.mistake(
            &format!("{key}[{index}]"),
            Origin::Variable(name),
            None,
            message,
        );
    }

    /// The names directly under a table whose keys are the user's own.
    pub(crate) fn names(&mut self, key: &str) -> Vec<String> {
        if self
            .leaves
            .get(key)
            .is_some_and(|leaf| leaf.value == Value::Empty)
        {
            self.leaves.remove(key);
        }
        let start = format!("{key}.");
        let under = self
            .leaves
            .keys()
            .filter_map(|leaf| leaf.strip_prefix(&start));
        under.map(str::to_owned).collect()
    }

    /// Notes a mistake about a key that was read, found by whoever knows what it means.
    pub(crate) fn reject(&mut self, key: &str, message: impl Into<String>) {
        let under = |entry: &&Entry| entry.key == key || entry.key.starts_with(&format!("{key}."));
        let set = |entry: &&Entry| under(entry) && entry.origin != Origin::Default;
        let found = self
            .entries
            .iter()
            .find(set)
            .or_else(|| self.entries.iter().find(under));
        let origin = found.map_or(Origin::Default, |entry| entry.origin.clone());
        let value = found
            .filter(|entry| entry.key == key)
            .and_then(|entry| entry.shown.clone());
        self.mistake(key, origin, value, message.into());
    }

    /// Notes everything that was typed and never asked for.
    pub(crate) fn finish(&mut self) {
        let leaves = std::mem::take(&mut self.leaves);
        let unasked: Vec<_> = leaves
            .iter()
            .filter(|(key, _)| !self.asked.contains(*key))
            .collect();
        for (key, leaf) in unasked {
            let above = self.asked.iter().any(|known| is_above(key, known));
            if above && leaf.value == Value::Empty {
                continue;
            }
            let message = if above {
                format!("must be a table: [{key}]")
            } else {
                unknown(nearest(key, self.asked.iter().map(String::as_str)))
            };
            self.mistake(key, Origin::Line(leaf.line), None, message);
        }
        for (name, near) in self.environment.unknown() {
            self.mistake("", Origin::Variable(name), None, unknown(near));
        }
        self.mistakes.sort_by_key(Mistake::place);
    }

    fn checked<T: Setting>(
        &mut self,
        key: &str,
        default: Option<T>,
        allowed: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let Some((value, origin)) = self.find(key) else {
            self.note(key, default.as_ref().map(T::show), Origin::Default);
            return default;
        };
        if let Some(parsed) = parse(&value) {
            self.note(key, Some(parsed.show()), origin);
            return Some(parsed);
        }
        self.mistake(
            key,
            origin,
            Some(value.to_string()),
            format!("must be {allowed}"),
        );
        default
    }

    pub(super) fn find(&mut self, key: &str) -> Option<Found> {
        self.asked.insert(key.to_owned());
        if let Some((name, value)) = self.environment.get(key) {
            return Some((Value::Bare(value), Origin::Variable(name)));
        }
        let leaf = self.leaves.get(key)?;
        Some((leaf.value.clone(), Origin::Line(leaf.line)))
    }

    pub(super) fn note(&mut self, key: &str, shown: Option<String>, origin: Origin) {
        self.entries.push(Entry {
            key: key.to_owned(),
            shown,
            origin,
            mark: 0,
        });
    }

    /// As [`Reader::note`], for a text that is shown masked.
    pub(super) fn note_secret(&mut self, key: &str, text: &str, masked: String, origin: Origin) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.entries.push(Entry {
            key: key.to_owned(),
            shown: Some(quoted(masked)),
            origin,
            mark: hasher.finish(),
        });
    }

    pub(crate) fn mistake(
        &mut self,
        key: &str,
        origin: Origin,
        value: Option<String>,
        message: String,
    ) {
        self.mistakes.push(Mistake {
            origin,
            key: key.to_owned(),
            value,
            message,
        });
    }
}

fn unknown(near: Option<String>) -> String {
    match near {
        Some(near) => format!("is unknown; did you mean {near}?"),
        None => "is unknown; `mainstay config default` lists every setting".to_owned(),
    }
}

/// `key` is a table that `known` lies in.
fn is_above(key: &str, known: &str) -> bool {
    known
        .strip_prefix(key)
        .is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn allowed<T: Setting>(range: &RangeInclusive<T>) -> String {
    format!(
        "{} from {} to {}",
        T::WHAT,
        range.start().show(),
        range.end().show()
    )
}

/// A value that can be switched off.
struct OrOff<T>(Option<T>);

impl<T: Setting> Setting for OrOff<T> {
    const WHAT: &'static str = T::WHAT;

    fn parse(value: &Value) -> Option<Self> {
        T::parse(value).map(|value| Self(Some(value)))
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| quoted("off"), T::show)
    }
}

/// One of a closed set of words.
struct Word(&'static str);

impl Setting for Word {
    const WHAT: &'static str = "a word";

    fn parse(_: &Value) -> Option<Self> {
        None
    }

    fn show(&self) -> String {
        quoted(self.0)
    }
}
