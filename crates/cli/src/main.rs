//! The `mainstay` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mainstay::main()
}
