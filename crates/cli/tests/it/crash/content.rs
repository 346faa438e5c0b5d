//! What clients write: bytes that tell by whom and when they were written, and that they are whole.

/// The content of one upload, named by its key and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    pub(crate) key: String,
    pub(crate) version: u64,
    pub(crate) len: usize,
}

impl Content {
    /// Its name, and the same bytes again and again up to its length.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\n", self.key, self.version, self.len).into_bytes();
        let head = bytes.len();
        assert!(self.len >= head, "room for the name");
        let fill = (0..self.len - head).map(|at| (at as u64 ^ self.version) as u8);
        bytes.extend(fill);
        bytes
    }

    /// Whose bytes these are.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let line = bytes.split(|byte| *byte == b'\n').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let content = Self {
            key: word(),
            version: word().parse().unwrap_or(0),
            len: word().parse().unwrap_or(0),
        };
        assert!(
            content.len == bytes.len() && content.bytes() == bytes,
            "{} bytes that nobody has written, beginning with {line:?}",
            bytes.len()
        );
        content
    }
}
