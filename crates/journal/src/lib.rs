//! A durable queue of accepted work: fsync before acknowledging, ordered drain, quarantine.
