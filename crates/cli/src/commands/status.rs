//! `mainstay status`.

mod reply;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use mainstay_runtime::Clock;

use super::client::Client;
use super::{Failure, Surroundings};
use crate::cli::StatusArguments;
use crate::output::print;
use reply::{Status, Why};

const EVERY: Duration = Duration::from_secs(1);
/// Cursor to the upper left, everything below it cleared.
const REDRAW: &str = "\x1b[H\x1b[J";
const CLEAR: &str = "\x1b[2J";

pub(super) async fn run(
    around: &Surroundings,
    arguments: &StatusArguments,
) -> Result<ExitCode, Failure> {
    let client = Client::new(around, &arguments.server, "status")?;
    if !arguments.watch {
        print(&picture(around, &client).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::start();
    if around.screen.is_terminal {
        print(CLEAR)?;
    }
    loop {
        let next = clock.now() + EVERY;
        // A server that restarts is what one watches for.
        let picture = match picture(around, &client).await {
            Ok(picture) => picture,
            Err(failure @ Failure::Usage(_)) => return Err(failure),
            Err(failure) => failure.to_string(),
        };
        let start = if around.screen.is_terminal {
            REDRAW
        } else {
            ""
        };
        print(&format!("{start}{picture}"))?;
        tokio::select! {
            () = clock.sleep_until(next) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn picture(around: &Surroundings, client: &Client) -> Result<String, Failure> {
    let (status, why) = tokio::try_join!(
        client.get::<Status>("status"),
        client.get::<Why>("status/why")
    )?;
    Ok(view::draw(around.screen, &status, &why))
}
