//! Tests of the virtual world, and through it of the controller and the breakers.

mod checks;
mod scenarios;
mod seeds;
