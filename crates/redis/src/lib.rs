//! Redis behind a circuit breaker, with an in-memory store as fallback.
