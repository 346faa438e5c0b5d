//! The kinds of values a setting can have: how each is read and written.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::raw::Value;

/// A kind of value.
pub(crate) trait Setting: Sized {
    /// What it is called when something else was given.
    const WHAT: &'static str;
    /// The value, if it is one of this kind.
    fn parse(value: &Value) -> Option<Self>;
    /// As it would be typed into the file.
    fn show(&self) -> String;
}

fn bare<T: FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::Bare(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Bare(text) => Some(text),
        _ => None,
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            const WHAT: &'static str = "a whole number";

            fn parse(value: &Value) -> Option<Self> {
                match value {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    other => bare(other),
                }
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_number!(u32, u64, usize);

impl Setting for f64 {
    const WHAT: &'static str = "a number";

    fn parse(value: &Value) -> Option<Self> {
        let number = match value {
            Value::Integer(number) => *number as Self,
            Value::Float(number) => *number,
            other => bare(other)?,
        };
        number.is_finite().then_some(number)
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for bool {
    const WHAT: &'static str = "true or false";

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Flag(flag) => Some(*flag),
            Value::Bare(text) if text == "1" => Some(true),
            Value::Bare(text) if text == "0" => Some(false),
            other => bare(other),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    const WHAT: &'static str = "text that isn't empty";

    fn parse(value: &Value) -> Option<Self> {
        text(value)
            .filter(|text| !text.trim().is_empty())
            .map(str::to_owned)
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for PathBuf {
    const WHAT: &'static str = "a path";

    fn parse(value: &Value) -> Option<Self> {
        String::parse(value).map(Self::from)
    }

    fn show(&self) -> String {
        format!("{:?}", self.display().to_string())
    }
}

impl Setting for SocketAddr {
    const WHAT: &'static str = "an address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"";

    fn parse(value: &Value) -> Option<Self> {
        text(value)?.parse().ok()
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for Duration {
    const WHAT: &'static str = "a duration such as \"30s\", \"250ms\" or \"1h30m\"";

    fn parse(value: &Value) -> Option<Self> {
        let signed: jiff::SignedDuration = text(value)?.parse().ok()?;
        signed.try_into().ok()
    }

    fn show(&self) -> String {
        let signed = jiff::SignedDuration::try_from(*self).unwrap_or(jiff::SignedDuration::MAX);
        quoted(format!("{signed:#}").replace(' ', ""))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Setting for Size {
    const WHAT: &'static str = "a size such as \"64MiB\", \"512KiB\" or a number of bytes";

    fn parse(value: &Value) -> Option<Self> {
        if let Value::Integer(bytes) = value {
            return u64::try_from(*bytes).ok().map(Self);
        }
        let text = text(value)?.trim();
        let unit = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
        let (number, unit) = unit.unwrap_or((text, 1));
        let number: u64 = number.trim().parse().ok()?;
        number.checked_mul(unit).map(Self)
    }

    fn show(&self) -> String {
        let fits = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        match UNITS.iter().find(fits) {
            Some((name, unit)) => quoted(format!("{}{name}", self.0 / unit)),
            None => quoted("0B"),
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    const WHAT: &'static str = "a list";

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::List(list) => list.iter().map(T::parse).collect(),
            Value::Bare(text) => text
                .split(',')
                .map(|one| T::parse(&Value::Bare(one.trim().to_owned())))
                .collect(),
            _ => None,
        }
    }

    fn show(&self) -> String {
        let list: Vec<_> = self.iter().map(T::show).collect();
        format!("[{}]", list.join(", "))
    }
}

pub(crate) fn quoted(value: impl Display) -> String {
    format!("{:?}", value.to_string())
}
