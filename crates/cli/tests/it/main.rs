//! The real program, started as users start it.

mod architecture;
mod command_line;
mod serving;
mod support;
