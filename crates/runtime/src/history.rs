//! The outages that dependencies have had, in a file of the data directory: what is predicted of the next one must
//! outlive the process.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_degradation::{Outage, OutageHistory};
use serde::{Deserialize, Serialize};

use crate::kept;

/// Grows with every change of what is written.
const VERSION: u32 = 1;

/// As written. Times are whole milliseconds.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    /// By dependency, oldest first.
    outages: BTreeMap<String, Vec<WrittenOutage>>,
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

    /// What the file holds; nothing when there is none or it can't be used.
    pub(crate) fn load(&self) -> OutageHistory {
        kept::read_or_set_aside(&self.path, decode).unwrap_or_default()
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// As the file system says; the earlier file is whole then.
    pub(crate) fn save(&self, history: &OutageHistory) -> io::Result<()> {
        let mut text = serde_json::to_vec(&written(history))?;
        text.push(b'\n');
        kept::replace(&self.path, &text)
    }
}

fn decode(bytes: &[u8]) -> Result<OutageHistory, String> {
    let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if written.version != VERSION {
        let found = written.version;
        return Err(format!(
            "it has format {found}, and this program reads {VERSION}"
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
    Ok(history)
}

fn written(history: &OutageHistory) -> Written {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> OutageHistory {
        let mut history = OutageHistory::default();
        for n in 1..=3 {
            let outage = Outage {
                lasted: Duration::from_millis(n * 1_500),
                complete: n != 2,
                worked: (n == 3).then(|| Duration::from_secs(86_400)),
            };
            history.push("redis", outage);
        }
        history
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = HistoryFile::in_dir(dir.path());
        assert_eq!(file.load(), OutageHistory::default());
        file.save(&some()).unwrap();
        assert_eq!(file.load(), some());
    }

    #[test]
    fn what_is_broken_or_of_another_version_is_set_aside() {
        for text in [
            "{",
            r#"{"version":2,"outages":{}}"#,
            r#"{"version":1}"#,
            "\u{0}\u{0}",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = HistoryFile::in_dir(dir.path());
            std::fs::write(dir.path().join("outages.json"), text).unwrap();
            assert_eq!(file.load(), OutageHistory::default(), "{text}");
            assert!(
                dir.path().join("outages.json.unreadable").exists(),
                "{text}"
            );
            file.save(&some()).unwrap();
            assert_eq!(file.load(), some());
        }
    }
}
