//! The outages that dependencies have had, and since when each works or is down, in a file of the data directory: what is
//! predicted must outlive the process, and an outage that outlives it is one and not two.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use mainstay_degradation::{Outage, OutageHistory, Standing};
use serde::{Deserialize, Serialize};

use crate::kept;

/// Grows with every change of what is written.
const VERSION: u32 = 2;
/// Of the versions before, those that are read.
const OLDEST: u32 = 1;

/// As written. Times are whole milliseconds.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    /// By dependency, oldest first.
    outages: BTreeMap<String, Vec<WrittenOutage>>,
    /// By dependency. Since version 2.
    #[serde(default)]
    standing: BTreeMap<String, WrittenStanding>,
}

/// Since when it is so: milliseconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenStanding {
    Works {
        since: i64,
    },
    Down {
        since: i64,
        seen_ms: u64,
        worked_ms: Option<u64>,
        begun: bool,
    },
}

/// What was known at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) at: Timestamp,
    pub(crate) history: OutageHistory,
}

#[derive(Serialize, Deserialize)]
struct WrittenOutage {
    lasted_ms: u64,
    complete: bool,
    #[serde(default)]
    worked_ms: Option<u64>,
}

/// The file that keeps an [`OutageHistory`].
#[derive(Clone, Debug)]
pub(crate) struct HistoryFile {
    path: PathBuf,
}

impl HistoryFile {
    /// The file in this data directory.
    pub(crate) fn in_dir(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("outages.json"),
        }
    }

    /// What the file holds, as it stands `now`; nothing when there is none or it can't be used.
    pub(crate) fn load(&self, now: Timestamp) -> OutageHistory {
        kept::read_or_set_aside(&self.path, |bytes| decode(bytes, now)).unwrap_or_default()
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// As the file system says; the earlier file is whole then.
    pub(crate) fn save(&self, known: &Remembered) -> io::Result<()> {
        let mut text = serde_json::to_vec(&written(known))?;
        text.push(b'\n');
        kept::replace(&self.path, &text)
    }
}

fn decode(bytes: &[u8], now: Timestamp) -> Result<OutageHistory, String> {
    let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !(OLDEST..=VERSION).contains(&written.version) {
        let found = written.version;
        return Err(format!(
            "it has format {found}, and this program reads {OLDEST} to {VERSION}"
        ));
    }
    let mut history = OutageHistory::default();
    for (name, outages) in &written.outages {
        for one in outages {
            let outage = Outage {
                lasted: Duration::from_millis(one.lasted_ms),
                complete: one.complete,
                worked: one.worked_ms.map(Duration::from_millis),
            };
            history.push(name, outage);
        }
    }
    let standing = written.standing.into_iter();
    history.standing = standing
        .map(|(name, one)| (name, one.stands(now)))
        .collect();
    Ok(history)
}

impl WrittenStanding {
    /// A wall clock that was set back meanwhile makes it begin now.
    fn stands(self, now: Timestamp) -> Standing {
        let lasts = |since: i64| {
            let millis = now.as_millisecond().saturating_sub(since);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        };
        match self {
            Self::Works { since } => Standing::Works {
                lasts: lasts(since),
            },
            Self::Down {
                since,
                seen_ms,
                worked_ms,
                begun,
            } => Standing::Down {
                lasts: lasts(since),
                seen: Duration::from_millis(seen_ms),
                worked: worked_ms.map(Duration::from_millis),
                begun,
            },
        }
    }

    fn of(standing: Standing, at: Timestamp) -> Self {
        let since = |lasts: Duration| {
            let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
            at.as_millisecond().saturating_sub(lasts)
        };
        match standing {
            Standing::Works { lasts } => Self::Works {
                since: since(lasts),
            },
            Standing::Down {
                lasts,
                seen,
                worked,
                begun,
            } => Self::Down {
                since: since(lasts),
                seen_ms: millis(seen),
                worked_ms: worked.map(millis),
                begun,
            },
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn written(known: &Remembered) -> Written {
    let Remembered { at, history } = known;
    let one = |outage: &Outage| WrittenOutage {
        lasted_ms: millis(outage.lasted),
        complete: outage.complete,
        worked_ms: outage.worked.map(millis),
    };
    let names = history.dependencies.keys();
    Written {
        version: VERSION,
        outages: names
            .map(|name| (name.clone(), history.of(name).map(one).collect()))
            .collect(),
        standing: history
            .standing
            .iter()
            .map(|(name, one)| (name.clone(), WrittenStanding::of(*one, *at)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Remembered {
        let mut history = OutageHistory::default();
        for n in 1..=3 {
            let outage = Outage {
                lasted: Duration::from_millis(n * 1_500),
                complete: n != 2,
                worked: (n == 3).then(|| Duration::from_secs(86_400)),
            };
            history.push("redis", outage);
        }
        Remembered { at: at(0), history }
    }

    /// That many seconds after the outages were written down.
    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = HistoryFile::in_dir(dir.path());
        assert_eq!(file.load(at(0)), OutageHistory::default());
        file.save(&some()).unwrap();
        assert_eq!(file.load(at(0)), some().history);
    }

    #[test]
    fn while_nobody_runs_what_works_goes_on_working_and_what_is_down_is_down_for_longer() {
        let seconds = Duration::from_secs;
        let down = |lasts| Standing::Down {
            lasts,
            seen: seconds(7),
            worked: Some(seconds(900)),
            begun: true,
        };
        let works = |lasts| Standing::Works { lasts };
        let all = |s3, redis| BTreeMap::from([("s3".to_owned(), s3), ("redis".to_owned(), redis)]);
        let mut known = some();
        known.history.standing = all(works(seconds(50)), down(seconds(9)));
        let dir = tempfile::tempdir().unwrap();
        let file = HistoryFile::in_dir(dir.path());
        file.save(&known).unwrap();
        for passed in [0, 100, -20] {
            let left = |lasted: i64| seconds(u64::try_from((lasted + passed).max(0)).unwrap());
            let found = file.load(at(passed)).standing;
            assert_eq!(found, all(works(left(50)), down(left(9))), "{passed}");
        }
    }

    #[test]
    fn a_file_of_the_first_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let first =
            r#"{"version":1,"outages":{"s3":[{"lasted_ms":1500,"complete":false,"worked_ms":9}]}}"#;
        std::fs::write(dir.path().join("outages.json"), first).unwrap();
        let history = HistoryFile::in_dir(dir.path()).load(at(0));
        let outage = Outage {
            lasted: Duration::from_millis(1_500),
            complete: false,
            worked: Some(Duration::from_millis(9)),
        };
        assert_eq!(history.of("s3").collect::<Vec<_>>(), [&outage]);
        assert_eq!(history.standing, BTreeMap::new());
    }

    #[test]
    fn what_is_broken_or_of_another_version_is_set_aside() {
        for text in [
            "{",
            r#"{"version":3,"outages":{}}"#,
            r#"{"version":0,"outages":{}}"#,
            r#"{"version":1}"#,
            "\u{0}\u{0}",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = HistoryFile::in_dir(dir.path());
            std::fs::write(dir.path().join("outages.json"), text).unwrap();
            assert_eq!(file.load(at(0)), OutageHistory::default(), "{text}");
            assert!(
                dir.path().join("outages.json.unreadable").exists(),
                "{text}"
            );
            file.save(&some()).unwrap();
            assert_eq!(file.load(at(0)), some().history);
        }
    }
}
