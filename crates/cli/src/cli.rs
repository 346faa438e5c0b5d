//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mainstay_server::Scope;

use crate::commands::ScenarioName;

const LONG_ABOUT: &str = "\
Keeps a service serving when what it depends on fails.

Mainstay guards a database, a cache, an object store and model APIs with circuit breakers and honest fallbacks, scores \
their health, derives a degradation level, and brings everything back by itself. Without any configuration it serves \
with embedded stores on 127.0.0.1:8080.";

const AFTER: &str = "\
Examples:
  mainstay serve                                   start, with ./mainstay.toml if it is there
  mainstay config default > mainstay.toml          write the whole commented configuration
  MAINSTAY_REDIS_URL=redis://cache:6379 mainstay check
                                                   try every dependency, with one setting overridden
  mainstay status --watch                          watch a running server
  mainstay journal ls                              what was accepted and waits for its dependency
  mainstay replay                                  the recordings of what happened
  mainstay simulate --scenario hang                what would happen

Configuration: --config FILE, else ./mainstay.toml, else the embedded defaults; every setting can be overridden by the
environment, server.listen by MAINSTAY_SERVER_LISTEN.

Exit codes: 0 done, 1 failed (a dependency, a port, a file, the server asked), 2 wrong usage or configuration.";

/// Keeps a service serving when what it depends on fails.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, long_about = LONG_ABOUT, after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// The configuration file; without it ./mainstay.toml, if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server.
    #[command(after_long_help = SERVE)]
    Serve,
    /// Validate the configuration and try every dependency.
    #[command(after_long_help = CHECK)]
    Check(CheckArguments),
    /// Show how a running server is.
    #[command(after_long_help = STATUS)]
    Status(StatusArguments),
    /// Look after accepted work that has not reached its dependency yet.
    #[command(after_long_help = JOURNAL)]
    Journal(JournalArguments),
    /// Remove what is kept for bad times, or what was recorded.
    #[command(after_long_help = PURGE)]
    Purge(PurgeArguments),
    /// Tell what happened in a recording, and what another policy would have done.
    #[command(after_long_help = REPLAY)]
    Replay(ReplayArguments),
    /// Play a made-up outage, and tell what would happen.
    #[command(after_long_help = SIMULATE)]
    Simulate(SimulateArguments),
    /// Make, list and revoke API keys.
    #[command(subcommand, after_long_help = KEY)]
    Key(KeyCommand),
    /// Print the default configuration, or the one in force.
    #[command(subcommand, after_long_help = CONFIG)]
    Config(ConfigCommand),
}

const SERVE: &str = "\
On the first start an admin key is made and shown once, on standard error; its hash is kept in the data directory. \
MAINSTAY_ADMIN_KEY presets one instead. The server starts whatever is down, and takes up each dependency that appears.

Standard output has one line that says where it listens; logs go to standard error, one JSON object a line (text on a \
terminal; see log.format). SIGTERM or SIGINT: accepts nothing more, lets running requests finish for up to \
server.shutdown_grace, flushes the journal and exits 0. A second signal exits at once. SIGHUP: reads the configuration \
again; a file with a mistake changes nothing, and what needs a restart (addresses, data_dir, keys) is named in the log.

Examples:
  mainstay serve
  mainstay serve --config /etc/mainstay.toml
  MAINSTAY_SERVER_LISTEN=0.0.0.0:8080 MAINSTAY_DATABASE_URL=postgres://... mainstay serve";

const CHECK: &str = "\
Connects to every dependency, side by side, and prints what works and what helps where it doesn't. A running server is \
not disturbed. Exits 1 if anything fails.

Examples:
  mainstay check
  mainstay check --deadline 2s && mainstay serve";

const STATUS: &str = "\
Asks the server for its score, level, components, breakers and features. The key needs the scope status; it is taken \
from --key-file or the variable MAINSTAY_KEY, never from the command line, where others could read it. The address is \
--url, else where the configuration says that the server listens.

Examples:
  MAINSTAY_KEY=mk_... mainstay status
  mainstay status --url https://mainstay.example --key-file ~/.mainstay-key --watch";

const JOURNAL: &str = "\
What was accepted while a dependency was down waits in the journal until it has been carried out. An entry that its \
dependency refuses for its own sake is set aside: it waits for a person, and so do later entries of its key.

With a server running, the commands ask it (the key needs the scope objects to look, admin for the rest; see \
`mainstay status --help`). Without one they work on the data directory itself; only flush needs a server.

Examples:
  mainstay journal ls --state set-aside            what needs a person
  mainstay journal show 17
  mainstay journal retry 17                        try it again
  mainstay journal discard 17 18                   give it up for good, and its body
  mainstay journal flush                           carry everything out now
  mainstay journal verify                          compare every body with its checksum";

const PURGE: &str = "\
Caches are earlier results of the database, local copies of objects and earlier answers of models: what answers while a \
dependency can't. Recordings are what `mainstay replay` reads. Accepted work stays (see `mainstay journal --help`), and \
so do stored objects and what is held in place of Redis.

With a server running, the command asks it (the key needs the scope admin; see `mainstay status --help`), and another \
recording begins. Without one it works on the data directory itself.

Examples:
  mainstay purge caches                            nobody gets an old answer any more
  mainstay purge recordings
  mainstay purge caches --url https://mainstay.example --key-file ~/.mainstay-key";

const REPLAY: &str = "\
A recording holds what a server's controller was told: counts, times and states, no addresses and no contents. Recordings \
lie in recordings/ of the data directory; without FILE they are listed.

The table tells the story: time, score, level, what happened and why; below it are the figures. With --config another \
configuration is put to the same course of events, side by side, and followed to the end whatever was reloaded meanwhile. \
The controller's decisions are computed exactly; other breaker settings would have let other calls pass, so their effect \
is an estimate, and labelled as one. The probes and calls are the recorded ones: what other degradation.probes, \
degradation.tuning, degradation.cascade, in-flight limits or deadlines would have changed in them is not replayed, and \
the story names those that differ, or that are set and that no recording tells. (In a made-up world `mainstay simulate` \
plays them.)

Examples:
  mainstay replay                                  list the recordings
  mainstay replay mainstay-data/recordings/2026-01-31T12-00-00Z-000.rec.gz --svg outage.svg
  mainstay replay outage.rec.gz --config stricter.toml";

const SIMULATE: &str = "\
The real controller and the real breakers run in a made-up world under a virtual clock: minutes take milliseconds, and \
the same scenario, seed and policy give the same course of events. Trouble begins after a minute and lasts for half of \
the rest.

The policy is the configuration in force: ./mainstay.toml, else the embedded defaults, and the environment. Its rules, \
breakers, limits and deadlines are played; what it connects is not, since the world has four dependencies of its own, \
whose calls are not retried. With --config another policy is played, too, in a world of its own made of the same \
scenario and seed, and both are shown side by side; the table tells of the other one.

Examples:
  mainstay simulate --scenario hang --dependency redis
  mainstay simulate --scenario flapping --dependency database --length 20m --svg flapping.svg
  mainstay simulate --scenario drawn --seed 42 --details
  mainstay simulate --scenario slow --dependency s3 --config stricter.toml     what another policy would do";

const KEY: &str = "\
Keys live as hashes in the data directory; a running server takes up changes by itself. Scopes: db:read, db:write, \
cache, objects, ai, status, metrics, retail, admin (everything).

Examples:
  mainstay key new --scopes db:read,cache --name shop
  mainstay key list
  mainstay key revoke 1f0c9a7be2d34410";

const CONFIG: &str = "\
Examples:
  mainstay config default > mainstay.toml          every setting with its default and what it means
  mainstay config show                             what is in force and where each value came from
  mainstay config show | grep -v ' default$'       only what you have set";

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Longest time for each dependency, as 500ms or 10s.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub(crate) deadline: Duration,
}

/// Which server to ask, and with which key.
#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// Where the server is; by default where the configuration says that it listens.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A file that holds the key; by default the variable MAINSTAY_KEY holds it.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Draw it again every second, until interrupted.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JournalArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    #[command(subcommand)]
    pub(crate) command: JournalCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// List entries, oldest first.
    Ls {
        /// Only entries in this state.
        #[arg(long, value_enum, value_name = "STATE")]
        state: Option<EntryState>,
        /// Most entries to list.
        #[arg(long, default_value = "100", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
    },
    /// Show all there is to know of an entry.
    Show {
        /// Its number, as `mainstay journal ls` shows it.
        id: u64,
    },
    /// Carry everything out now, and wait for it. Needs a running server.
    Flush,
    /// Put entries that were set aside back in their queue.
    Retry {
        /// Their numbers.
        #[arg(required_unless_present = "all", value_name = "ID")]
        ids: Vec<u64>,
        /// All that are set aside now.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Remove entries for good, with their bodies: what was accepted will not reach its dependency.
    Discard {
        /// Their numbers.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
    },
    /// Compare every body with its checksum. Exits 1 if one is damaged.
    Verify,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EntryState {
    /// Waits for its dependency.
    Queued,
    /// On its way to its dependency.
    InFlight,
    /// Waits for a person.
    SetAside,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArguments {
    /// What is to go.
    #[arg(value_enum)]
    pub(crate) what: Purged,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// What can be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Purged {
    /// Results of the database, copies of objects, answers of models.
    Caches,
    /// What the controller was told.
    Recordings,
}

impl Purged {
    /// As the command line and the API have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Caches => "caches",
            Self::Recordings => "recordings",
        }
    }
}

/// How a story is told.
#[derive(Debug, Args)]
pub(crate) struct StoryArguments {
    /// Also draw it: score, levels and breakers over time, as an SVG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Show changes of health and single probes, too.
    #[arg(long)]
    pub(crate) details: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// The recording; without it, all recordings of the data directory are listed.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) story: StoryArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// What kind of trouble.
    #[arg(long, value_enum, default_value = "crash", value_name = "SCENARIO")]
    pub(crate) scenario: ScenarioName,
    /// Whose: database, openai, redis or s3. All of them in a blackout; as drawn in a drawn one.
    #[arg(long, default_value = "database", value_name = "NAME")]
    pub(crate) dependency: String,
    /// What chance does: the same seed gives the same course of events.
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) seed: u64,
    /// How long it is, in the world's own time, as 10m or 1h.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = simulated)]
    pub(crate) length: Duration,
    #[command(flatten)]
    pub(crate) story: StoryArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key. It is printed on standard output, this once.
    New {
        /// What it may do, separated by commas.
        #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPES")]
        scopes: Vec<Scope>,
        /// What people call it.
        #[arg(long, default_value = "unnamed")]
        name: String,
    },
    /// List all keys, without the keys themselves.
    List,
    /// Take a key back.
    Revoke {
        /// The id, as `mainstay key list` shows it.
        id: String,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting with its default and what it means, as a file.
    Default,
    /// Print what is in force and where each value came from; secrets are masked.
    Show,
}

fn simulated(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    let allowed = Duration::from_secs(120)..=Duration::from_secs(7 * 86_400);
    if allowed.contains(&length) {
        Ok(length)
    } else {
        Err("must be 2m to 168h".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "must be a duration such as 500ms or 10s".to_owned())?;
    Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())
}
