//! `mainstay check`.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use mainstay_runtime::{Clock, Error, NoObserver};
use mainstay_server::KeyRing;

use super::{Failure, Surroundings};
use crate::cli::CheckArguments;
use crate::config::Loaded;
use crate::output::{Screen, Text, Tone, print};
use crate::wiring::{self, Adapters, data_dir};

/// How an endpoint is, or what is wrong with it and what helps.
type Verdict = Result<String, (String, String)>;

/// What was found out about the endpoints of one dependency, and how long that took.
struct Findings {
    endpoints: Vec<(String, Verdict)>,
    took: Duration,
}

pub(super) async fn run(
    around: &Surroundings,
    arguments: &CheckArguments,
) -> Result<ExitCode, Failure> {
    let Loaded { config, file, .. } = around.load()?;
    if let Some(key) = &config.admin_key {
        KeyRing::check_preset(key)
            .map_err(|error| Failure::Usage(format!("admin_key: {error}")))?;
    }
    let source = file.map_or("embedded defaults".to_owned(), |file| {
        file.display().to_string()
    });
    print(&format!("configuration  {source}: valid"))?;
    data_dir::prepare(&config.data_dir)?;
    print(&format!(
        "data directory {}: writable\n",
        config.data_dir.display()
    ))?;
    // A journal of its own: a running server has the real one.
    let scratch = tempfile::tempdir()?;
    let journal = wiring::journal_in(scratch.path(), &config).await?;
    let (_engine, adapters) = wiring::connect(&config, journal, Arc::new(NoObserver))?;
    let findings = try_all(&adapters, arguments.deadline).await;
    print(&table(around.screen, &findings))?;
    let healthy = findings
        .iter()
        .flat_map(|one| &one.endpoints)
        .all(|(_, verdict)| verdict.is_ok());
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Tries everything side by side, each within the deadline.
async fn try_all(adapters: &Adapters, deadline: Duration) -> [Findings; 4] {
    // Draws on a terminal only.
    let waiting = ProgressBar::new_spinner().with_message("asking every dependency");
    waiting.enable_steady_tick(Duration::from_millis(100));
    let (database, redis, s3, openai) = tokio::join!(
        within("database", deadline, database(adapters)),
        within("redis", deadline, redis(adapters)),
        within("s3", deadline, s3(adapters)),
        within("openai", deadline, openai(adapters)),
    );
    waiting.finish_and_clear();
    [database, redis, s3, openai]
}

async fn within(
    name: &str,
    deadline: Duration,
    asked: impl Future<Output = Vec<(String, Verdict)>>,
) -> Findings {
    let clock = Clock::start();
    let started = clock.now();
    let endpoints = clock
        .until(started + deadline, asked)
        .await
        .unwrap_or_else(|_| {
            let what = format!("no answer within {deadline:?}");
            vec![(
                name.to_owned(),
                Err((
                    what,
                    "see whether it hangs, or whether a firewall drops packets".to_owned(),
                )),
            )]
        });
    Findings {
        endpoints,
        took: clock.now().saturating_since(started),
    }
}

async fn database(adapters: &Adapters) -> Vec<(String, Verdict)> {
    let checked = adapters.database.check().await;
    checked
        .into_iter()
        .map(|one| (one.endpoint, judged(one.result)))
        .collect()
}

async fn redis(adapters: &Adapters) -> Vec<(String, Verdict)> {
    vec![("redis".to_owned(), judged(adapters.redis.check().await))]
}

async fn s3(adapters: &Adapters) -> Vec<(String, Verdict)> {
    vec![("s3".to_owned(), judged(adapters.objects.check().await))]
}

async fn openai(adapters: &Adapters) -> Vec<(String, Verdict)> {
    if !adapters.models.is_configured() {
        let words = "absent: no provider configured, the AI routes answer not-configured";
        return vec![("openai".to_owned(), Ok(words.to_owned()))];
    }
    let checked = adapters.models.check().await.into_iter();
    checked
        .map(|one| {
            (
                one.endpoint,
                one.result.map_err(|problem| (problem.what, problem.remedy)),
            )
        })
        .collect()
}

/// An adapter's sentence is `what is wrong: what helps`.
fn judged(result: Result<String, Error>) -> Verdict {
    result.map_err(|error| match error.detail.split_once(": ") {
        Some((what, remedy)) => (what.to_owned(), remedy.to_owned()),
        None => (error.detail, String::new()),
    })
}

fn table(screen: Screen, findings: &[Findings]) -> String {
    let rows = findings.iter().flat_map(|one| {
        let took = format!("{} ms", one.took.as_millis());
        one.endpoints.iter().map(move |(endpoint, verdict)| {
            let (word, what, remedy) = match verdict {
                Ok(how) => (Text("ok".to_owned(), Tone::Good), how.as_str(), ""),
                Err((what, remedy)) => (
                    Text("FAILED".to_owned(), Tone::Bad),
                    what.as_str(),
                    remedy.as_str(),
                ),
            };
            [
                endpoint.as_str().into(),
                word,
                took.clone().into(),
                what.into(),
                remedy.into(),
            ]
        })
    });
    screen.table(
        ["endpoint", "result", "took", "found", "remedy"],
        rows.collect(),
    )
}
