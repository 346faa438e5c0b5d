//! What every store behind [`Objects`](crate::Objects) must do.
