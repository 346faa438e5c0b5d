//! Server-sent events out of a body that arrives in pieces: the data of each event, in order.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>; names, ids and retry
//! times of events say nothing in this API and are passed over, comments too.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::fault::Fault;

/// Largest data of one event, in bytes.
const LARGEST_EVENT: usize = 1 << 20;

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The beginning of a line whose end hasn't come.
    line: BytesMut,
    /// The data of the event whose end hasn't come.
    data: Option<Vec<u8>>,
    begun: bool,
    after_cr: bool,
    ready: VecDeque<Vec<u8>>,
}

impl Decoder {
    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// `TooLarge` for an event beyond its bound.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), Fault> {
        while let Some(first) = piece.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.line
                .extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > LARGEST_EVENT {
                return Err(Fault::TooLarge {
                    limit: LARGEST_EVENT,
                });
            }
            let Some(end) = end else { break };
            self.after_cr = piece[end] == b'\r';
            self.end_line();
            piece = &piece[end + 1..];
        }
        Ok(())
    }

    /// The next whole event's data.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = self.line.split();
        let line = match std::mem::replace(&mut self.begun, true) {
            false => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line),
            true => &line,
        };
        if line.is_empty() {
            self.ready.extend(self.data.take());
            return;
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        if name != b"data" {
            return;
        }
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::default();
        for piece in pieces {
            decoder.push(piece).unwrap();
        }
        std::iter::from_fn(|| decoder.next())
            .map(|data| String::from_utf8(data).unwrap())
            .collect()
    }

    #[test]
    fn every_way_to_write_an_event_is_read() {
        let table: [(&str, &[&str]); 9] = [
            ("data: a\n\ndata: b\n\n", &["a", "b"]),
            ("data: a\r\n\r\ndata:b\r\rdata: c\n\n", &["a", "b", "c"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            (": hello\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", &["a"]),
            ("event: only\n\n", &[]),
            ("data\n\n", &[""]),
            ("data:  a\n\n", &[" a"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("data: a\n\ndata: not ended\n", &["a"]),
        ];
        for (text, expected) in table {
            assert_eq!(events(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut decoder = Decoder::default();
        let piece = [b'x'; 64 << 10];
        decoder.push(b"data: ").unwrap();
        let gave_up = (0..17).any(|_| decoder.push(&piece).is_err());
        assert!(gave_up);
    }

    proptest! {
        #[test]
        fn where_the_body_is_cut_into_pieces_does_not_matter(cuts in prop::collection::vec(0usize..64, 0..6)) {
            let text = "data: ä\r\n\r\n: c\ndata: b\ndata: c\r\rdata: {\"x\": 1}\n\nevent: y\ndata: z\n\n".as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            pieces.push(&text[from..]);
            prop_assert_eq!(events(&pieces), events(&[text]));
        }
    }
}
