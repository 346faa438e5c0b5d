//! A driver's error in the two forms that matter: the verdict for the breaker and the words for the caller.

use mainstay_runtime::{Error, ErrorKind, Verdict};

/// The name of this dependency.
pub(crate) const DATABASE: &str = "database";

/// An attempt that didn't give what was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// For the breaker.
    pub(crate) verdict: Verdict,
    /// For the caller.
    pub(crate) error: Error,
    /// The statement went out and no answer to it came back.
    pub(crate) unanswered: bool,
    /// The server says that it takes no writes at all.
    pub(crate) read_only: bool,
    /// The connection's state is unknown: it can't be used again.
    pub(crate) abandon: bool,
}

impl Fault {
    pub(crate) fn new(verdict: Verdict, error: Error) -> Self {
        Self {
            verdict,
            error,
            unanswered: false,
            read_only: false,
            abandon: false,
        }
    }

    /// A mistake in the request: the database is fine.
    pub(crate) fn request(error: Error) -> Self {
        Self::new(Verdict::SUCCESS, error)
    }

    /// The same, found while rows were still coming.
    pub(crate) fn midway(error: Error) -> Self {
        Self {
            abandon: true,
            ..Self::request(error)
        }
    }

    /// A result over its bound.
    pub(crate) fn too_large(limit: impl std::fmt::Display) -> Self {
        let detail = format!(
            "the result has more than {limit}: ask for less, or page through it with LIMIT"
        );
        Self::midway(Error::new(ErrorKind::TooLarge, detail).dependency(DATABASE))
    }

    /// Names the field as a part of `operations[index]`.
    pub(crate) fn in_operation(mut self, index: usize) -> Self {
        self.error.field = self
            .error
            .field
            .map(|field| format!("operations[{index}].{field}"));
        self
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::request(error)
    }
}

/// The write was sent and not answered.
pub(crate) fn outcome_unknown() -> Error {
    let detail = "the statement was sent but its answer did not come: it may have been carried out, or may still be";
    Error::new(ErrorKind::OutcomeUnknown, detail).dependency(DATABASE)
}
