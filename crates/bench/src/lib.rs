//! Benchmarks against peers, load and fault runs.
