//! Settings that must not be shown, given themselves or as the path of a file under `<key>_file`.

use std::path::Path;

use mainstay_runtime::Secret;

use super::errors::Origin;
use super::raw::Value;
use super::read::Reader;
use super::setting::{Setting, quoted};

impl Reader {
    /// A text that must not be shown: given itself, or as the path of a file under `<key>_file`.
    pub(crate) fn secret(&mut self, key: &str) -> Option<Secret> {
        self.secret_text(key, "", |_| "***".to_owned())
            .map(|(text, _)| Secret::new(text))
    }

    /// As [`Reader::secret`], shown as `mask` leaves it (`default` when it isn't set), with its origin for mistakes found later.
    pub(crate) fn secret_text(
        &mut self,
        key: &str,
        default: &str,
        mask: impl Fn(&str) -> String,
    ) -> Option<(String, Origin)> {
        let file_key = format!("{key}_file");
        let itself = self.find(key);
        let file = self.find(&file_key);
        let (text, origin, from) = match (itself, file) {
            (None, None) => {
                let default = Some(default.to_owned()).filter(|default| !default.is_empty());
                self.note(key, default, Origin::Default);
                return None;
            }
            (Some((_, one)), Some((_, two))) if same_layer(&one, &two) => {
                self.mistake(
                    key,
                    two,
                    None,
                    format!("is given twice, here and as {file_key}: keep one of them"),
                );
                return None;
            }
            // Both, in different layers: the environment's one.
            (Some((value, origin)), file)
                if file.is_none() || matches!(origin, Origin::Variable(_)) =>
            {
                (text_of(&value), origin, key)
            }
            (_, Some((value, origin))) => (
                self.read_secret_file(&file_key, &value, &origin),
                origin,
                &*file_key,
            ),
            (Some(_), None) => unreachable!("taken above"),
        };
        let Some(text) = text else {
            if from == key {
                self.mistake(key, origin, None, format!("must be {}", String::WHAT));
            }
            return None;
        };
        self.note_secret(from, &text, mask(&text), origin.clone());
        Some((text, origin))
    }

    fn read_secret_file(&mut self, key: &str, value: &Value, origin: &Origin) -> Option<String> {
        let Some(path) = text_of(value) else {
            self.mistake(
                key,
                origin.clone(),
                Some(value.to_string()),
                "must be a path".to_owned(),
            );
            return None;
        };
        match std::fs::read_to_string(Path::new(&path)) {
            Ok(text) if !text.trim().is_empty() => {
                Some(text.trim_end_matches(['\n', '\r']).to_owned())
            }
            Ok(_) => {
                self.mistake(
                    key,
                    origin.clone(),
                    Some(quoted(path)),
                    "is an empty file".to_owned(),
                );
                None
            }
            Err(error) => {
                self.mistake(
                    key,
                    origin.clone(),
                    Some(quoted(path)),
                    format!("can't be read: {error}"),
                );
                None
            }
        }
    }
}

fn same_layer(one: &Origin, two: &Origin) -> bool {
    matches!(
        (one, two),
        (Origin::Line(_), Origin::Line(_)) | (Origin::Variable(_), Origin::Variable(_))
    )
}

fn text_of(value: &Value) -> Option<String> {
    String::parse(value)
}
