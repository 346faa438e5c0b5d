//! A circuit breaker with sliding windows, leased half-open probes and permits.
