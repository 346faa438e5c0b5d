//! A statement's text as words, names and punctuation, by the rules of PostgreSQL or SQLite.

use super::Dialect;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    /// What stands between the quotes of a string literal.
    Literal(&'a str),
    /// `U&"…"`, whose name only the database can read.
    Escaped,
    Semicolon,
    Other(char),
}

/// Tokens without white space, comments, literals and numbers.
pub(super) struct Lexer<'a> {
    pub(super) rest: &'a str,
    pub(super) dialect: Dialect,
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = self.rest.chars().next()?;
        let postgres = self.dialect == Dialect::Postgres;
        Some(match first {
            ';' => {
                self.take(1);
                Token::Semicolon
            }
            '\'' => self.literal(1, false),
            'e' | 'E' if postgres && self.rest[1..].starts_with('\'') => self.literal(2, true),
            'u' | 'U' if postgres && self.rest[1..].starts_with("&\"") => {
                self.take(2);
                Token::Escaped
            }
            '"' => self.quoted('"'),
            '`' if !postgres => self.quoted('`'),
            '[' if !postgres => self.quoted(']'),
            '$' if postgres => self.dollar(),
            c if c.is_alphabetic() || c == '_' || !c.is_ascii() => {
                Token::Word(self.take(self.word_length()))
            }
            c if c.is_ascii_digit() => {
                self.take(self.word_length());
                Token::Other('0')
            }
            c => {
                self.take(c.len_utf8());
                Token::Other(c)
            }
        })
    }
}

impl<'a> Lexer<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn word_length(&self) -> usize {
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        self.rest.find(|c| !part(c)).unwrap_or(self.rest.len())
    }

    fn skip_blank(&mut self) {
        loop {
            self.rest = self
                .rest
                .trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
            if self.rest.starts_with("--") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.take(comment_length(self.rest, self.dialect == Dialect::Postgres));
            } else {
                return;
            }
        }
    }

    /// A string literal that opens after `prefix` bytes. An unclosed one reaches to the end: the database refuses it.
    fn literal(&mut self, prefix: usize, backslashes: bool) -> Token<'a> {
        let bytes = self.rest.as_bytes();
        let mut at = prefix;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' if backslashes => at += 2,
                b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
                b'\'' => break,
                _ => at += 1,
            }
        }
        // An escape may end amid a character; the next boundary is the same literal's.
        let mut end = (at + 1).min(bytes.len());
        while !self.rest.is_char_boundary(end) {
            end += 1;
        }
        let literal = self.take(end);
        Token::Literal(literal[prefix..].trim_end_matches('\''))
    }

    fn quoted(&mut self, close: char) -> Token<'a> {
        let inner = &self.rest[1..];
        let length = inner.find(close).unwrap_or(inner.len());
        let name = &inner[..length];
        self.take((length + 2).min(self.rest.len()));
        Token::Quoted(name)
    }

    /// `$1`, or `$tag$ … $tag$`.
    fn dollar(&mut self) -> Token<'a> {
        let tag_end =
            self.rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_' || !c.is_ascii()));
        let opens = tag_end.filter(|end| {
            self.rest[1 + end..].starts_with('$')
                && !self.rest[1..].starts_with(|c: char| c.is_ascii_digit())
        });
        let length = match opens {
            None => 1,
            Some(end) => {
                let (tag, body) = self.rest.split_at(end + 2);
                body.find(tag)
                    .map_or(self.rest.len(), |at| at + 2 * tag.len())
            }
        };
        self.take(length);
        Token::Other('$')
    }
}

/// Length of the comment that `text` begins with. PostgreSQL's comments nest.
fn comment_length(text: &str, nests: bool) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (2, 1);
    while at < bytes.len() && depth > 0 {
        match &bytes[at..] {
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            [b'/', b'*', ..] if nests => (at, depth) = (at + 2, depth + 1),
            _ => at += 1,
        }
    }
    at
}
