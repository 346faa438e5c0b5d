//! The real program, started as users start it.

mod architecture;
mod command_line;
mod crash;
mod end_to_end;
mod scale;
mod serving;
mod simulating;
mod soak;
mod stopping;
mod support;
