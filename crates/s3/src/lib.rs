//! Objects behind a circuit breaker, with a durable journal for writes.
