//! What the breaker promises, with time passed in.

mod footprint;
mod hammer;
mod lanes;
mod model;
mod modes;
mod opening;
mod probing;
mod rules;
mod sensible_settings;
mod support;
mod windows;
mod words;
