//! What people see: aligned tables, colour on a terminal only, and no panic when the reader goes away.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};

/// What a word means to whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Dim,
}

impl Tone {
    fn colour(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::Green),
            Self::Warning => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
            Self::Dim => Some(Color::DarkGrey),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Good => 32,
            Self::Warning => 33,
            Self::Bad => 31,
            Self::Dim => 90,
        }
    }
}

/// A piece of text with its tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String, pub(crate) Tone);

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Self {
        Self(text.into(), Tone::Plain)
    }
}

/// Standard output, with or without colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) is_terminal: bool,
    colour: bool,
}

impl Screen {
    /// Standard output; colour only on a terminal, and not if `NO_COLOR` is set to anything.
    pub(crate) fn stdout(environment: &[(String, String)]) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let refused = environment
            .iter()
            .any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
        Self {
            is_terminal,
            colour: is_terminal && !refused,
        }
    }

    /// The text in its tone's colour.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        if self.colour && tone != Tone::Plain {
            format!("\x1b[{}m{text}\x1b[0m", tone.code())
        } else {
            text.to_owned()
        }
    }

    /// Columns under their titles, two blanks between them. The last one wraps on a terminal.
    pub(crate) fn table<const N: usize>(self, titles: [&str; N], rows: Vec<[Text; N]>) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if self.is_terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(titles.map(|title| Cell::new(title.to_uppercase()).fg(Color::DarkGrey)));
        for row in rows {
            table.add_row(row.map(|Text(text, tone)| match tone.colour() {
                Some(colour) => Cell::new(text).fg(colour),
                None => Cell::new(text),
            }));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if index + 1 < N {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let text = table.to_string();
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

/// How far something long has come: a bar on standard error, on a terminal only.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(what: &'static str) -> Self {
        let template = "{bar:30} {human_pos} of {human_len} {msg}, {elapsed}";
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::new(0).with_style(style).with_message(what))
    }

    pub(crate) fn at(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Writes to standard output. Whoever read it may have gone (`| head`): that is no mistake of ours.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(colour: bool) -> Screen {
        Screen {
            is_terminal: false,
            colour,
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let rows = vec![
            ["database".into(), Text("healthy".into(), Tone::Good)],
            ["s3".into(), Text("down".into(), Tone::Bad)],
        ];
        let text = screen(false).table(["component", "status"], rows);
        assert_eq!(
            text,
            "COMPONENT  STATUS\ndatabase   healthy\ns3         down"
        );
    }

    #[test]
    fn colour_comes_only_where_it_is_wanted() {
        assert_eq!(screen(false).paint("down", Tone::Bad), "down");
        assert_eq!(
            screen(true).paint("down", Tone::Bad),
            "\u{1b}[31mdown\u{1b}[0m"
        );
    }
}
