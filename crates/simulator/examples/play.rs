//! Plays one drawn world and prints its trace: `cargo run -p mainstay-simulator --example play -- SEED [SECONDS]`.

use std::error::Error;
use std::time::Duration;

use mainstay_simulator::{Scenario, World};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seed: u64 = arguments.next().as_deref().unwrap_or("0").parse()?;
    let seconds: u64 = arguments.next().as_deref().unwrap_or("300").parse()?;
    let length = Duration::from_secs(seconds);
    let report = World::new(Scenario::drawn(seed, length), seed)?.run(length);
    print!("{}", report.trace.as_str());
    for outage in &report.outages {
        println!("{outage:?}");
    }
    for violation in &report.violations {
        println!("{violation}");
    }
    println!("{:?}\ntrace {:016x}", report.calls, report.trace.hash());
    Ok(())
}
