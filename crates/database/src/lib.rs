//! PostgreSQL and embedded SQLite behind circuit breakers, with cached reads and read-only mode.
