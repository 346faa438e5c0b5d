//! Made-up outages by name. Trouble begins after a minute of peace and ends in time for everything to come back.

use std::time::Duration;

use mainstay_simulator::{Condition, Scenario};

use crate::cli::SimulateArguments;

/// Before the trouble.
const PEACE: Duration = Duration::from_secs(60);
/// Between calls of each patient caller.
const CALLS: Duration = Duration::from_millis(500);

/// A kind of outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Refuses every connection, and is back.
    Crash,
    /// Accepts and never answers.
    Hang,
    /// Comes and goes every eight seconds.
    Flapping,
    /// Slower and slower, then well.
    Slow,
    /// Asks for less load (429, 503), and says for how long.
    Overload,
    /// One call in three fails.
    Flaky,
    /// Its health check passes while real calls fail.
    Deceptive,
    /// Everything is down at once.
    Blackout,
    /// Drawn from the seed: several troubles, traffic, operators and reloads of other settings mixed.
    Drawn,
}

impl Name {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Flapping => "flapping",
            Self::Slow => "slow",
            Self::Overload => "overload",
            Self::Flaky => "flaky",
            Self::Deceptive => "deceptive",
            Self::Blackout => "blackout",
            Self::Drawn => "drawn",
        }
    }
}

/// The scenario that was asked for.
pub(super) fn scenario(arguments: &SimulateArguments) -> Scenario {
    let end = PEACE + arguments.length.saturating_sub(PEACE) / 2;
    let whose = arguments.dependency.as_str();
    let outage = |condition| busy().outage(whose, PEACE, end, condition);
    match arguments.scenario {
        Name::Crash => outage(Condition::Refuses),
        Name::Hang => outage(Condition::Hangs),
        Name::Flapping => {
            let period = Duration::from_secs(8);
            busy().square_wave(whose, PEACE, end, period, Condition::Refuses)
        }
        Name::Slow => slower_and_slower(whose, end),
        Name::Overload => outage(Condition::Overloaded {
            retry_after: Some(Duration::from_secs(20)),
        }),
        Name::Flaky => outage(Condition::Flaky { percent: 33 }),
        Name::Deceptive => outage(Condition::OnlyProbesPass),
        Name::Blackout => {
            let all = ["database", "openai", "redis", "s3"];
            all.iter().fold(busy(), |scenario, whose| {
                scenario.outage(whose, PEACE, end, Condition::Refuses)
            })
        }
        Name::Drawn => Scenario::drawn(arguments.seed, arguments.length),
    }
}

/// Two patient callers for each dependency.
fn busy() -> Scenario {
    let all = ["database", "openai", "redis", "s3"];
    all.iter().fold(Scenario::quiet(), |scenario, whose| {
        scenario.calls(whose, 1, CALLS).calls(whose, 2, CALLS)
    })
}

fn slower_and_slower(whose: &str, end: Duration) -> Scenario {
    let steps = [100, 400, 1_500, 6_000, 20_000].map(Duration::from_millis);
    let step = end.saturating_sub(PEACE) / 5;
    let slower = (0_u32..)
        .zip(steps)
        .fold(busy(), |scenario, (index, takes)| {
            scenario.phase(whose, PEACE + step * index, Condition::Slow(takes))
        });
    slower.phase(whose, end, Condition::Well)
}
