//! Object keys: checked once, at the door.

use mainstay_runtime::Error;
use object_store::path::Path;
use percent_encoding::percent_decode_str;

/// Longest key in bytes, as S3 has it.
const LONGEST: usize = 1024;
/// Keys under this are Mainstay's own.
pub(crate) const RESERVED: &str = ".mainstay";
/// What a canary's key begins with, after the namespace.
const CANARY: &str = "canary-";

/// A key that any of our stores can hold and that can't leave its folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Path);

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// `InvalidInput` on `field`, with what is wrong and what is allowed.
    pub fn parse(field: &str, text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Err(Error::invalid(field, why));
        if text.is_empty() || text.len() > LONGEST {
            return wrong(format!(
                "a key has 1 to {LONGEST} bytes, this one has {}",
                text.len()
            ));
        }
        if text.starts_with('/') || text.ends_with('/') {
            return wrong("a key neither begins nor ends with `/`".into());
        }
        if text.split('/').any(means_another) {
            return wrong(
                r"a part of a key is neither `.` nor `..`, also percent-encoded, and holds no `\`"
                    .into(),
            );
        }
        if text.split('/').next() == Some(RESERVED) {
            return wrong(format!("keys under `{RESERVED}/` are reserved"));
        }
        match Path::parse(text) {
            Ok(path) => Ok(Self(path)),
            Err(_) => wrong("a key's parts are not empty and hold no control characters".into()),
        }
    }

    /// A key in Mainstay's own namespace.
    pub(crate) fn reserved(name: &str) -> Self {
        Self(Path::from_iter([RESERVED, name]))
    }

    /// The key of the object that tries this journal.
    pub(crate) fn canary(journal: &str) -> Self {
        Self::reserved(&format!("{CANARY}{journal}"))
    }

    /// The key of accepted work: one that was checked at the door, or a canary's, which nobody else can have brought.
    ///
    /// # Errors
    /// As [`Key::parse`].
    pub(crate) fn accepted(text: &str) -> Result<Self, Error> {
        match canary_of(text) {
            Some(journal) => Ok(Self::canary(journal)),
            None => Self::parse("key", text),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// Whether somebody between us and the object might take the part for another, or for several.
fn means_another(part: &str) -> bool {
    let decoded = percent_decode_str(part).collect::<Vec<u8>>();
    matches!(decoded.as_slice(), b"." | b"..")
        || decoded
            .iter()
            .any(|b| matches!(b, b'/' | b'\\' | 0..32 | 127))
}

/// Whose canary the key is.
fn canary_of(key: &str) -> Option<&str> {
    let name = key.strip_prefix(RESERVED)?.strip_prefix('/')?;
    name.strip_prefix(CANARY)
}

/// Whether the key is a canary's.
pub(crate) fn is_canary(key: &str) -> bool {
    canary_of(key).is_some()
}

/// Whether a listed key is Mainstay's own.
pub(crate) fn is_reserved(key: &str) -> bool {
    key.split('/').next() == Some(RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_leave_the_folder_or_mean_two_things_are_refused() {
        for text in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a/./b",
            "a\0b",
            "a\nb",
            "%2e%2E/x",
            "a%2fb",
            ".mainstay/x",
            "a\\b",
        ] {
            let error = Key::parse("key", text).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("key"), "{text:?}");
        }
    }

    #[test]
    fn a_canary_is_known_among_accepted_work_and_refused_at_the_door() {
        let canary = Key::canary("0f1e");
        assert!(is_canary(canary.as_str()) && is_reserved(canary.as_str()));
        assert_eq!(Key::accepted(canary.as_str()).unwrap(), canary);
        assert!(Key::parse("key", canary.as_str()).is_err());
        for other in [".mainstay/probe", ".mainstay/../a", ".mainstay"] {
            assert!(Key::accepted(other).is_err(), "{other}");
        }
        assert_eq!(Key::accepted("a/b").unwrap().as_str(), "a/b");
    }

    #[test]
    fn usual_keys_are_taken_as_they_are() {
        for text in [
            "a",
            "a/b.txt",
            "facturas/2026/ñandú 1.pdf",
            "a.b/..c",
            ".hidden",
            "100%.pdf",
            "a~b#1 [2]?",
        ] {
            assert_eq!(Key::parse("key", text).unwrap().as_str(), text);
        }
    }
}
