//! Whole stories and properties, told to the controller through its public interface.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod alerts;
mod causes;
mod facts;
mod features;
mod forecasts;
mod format;
mod health;
mod models;
mod operators;
mod outages;
mod patterns;
mod predictions;
mod predictor;
mod probes;
mod properties;
mod recordings;
mod recovery;
mod reload;
mod sentences;
mod settings;
mod start;
mod told;
mod words;
mod world;
