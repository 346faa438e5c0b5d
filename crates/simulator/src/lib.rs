//! A seeded virtual world that drives the real controller and breakers.
