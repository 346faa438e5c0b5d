//! OpenAI-compatible model providers behind circuit breakers, in order of preference.
