//! API keys: `mk_<id>_<secret>`, kept as hashes in the data directory, looked up by id, compared in constant time.
//!
//! The secret is 256 random bits, so a plain BLAKE3 hash is enough: there is nothing to guess that a slow hash would protect.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use mainstay_runtime::{CallerId, Secret};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Reading statements.
    #[serde(rename = "db:read")]
    DbRead,
    /// Writing statements and transactions.
    #[serde(rename = "db:write")]
    DbWrite,
    /// Cache operations.
    #[serde(rename = "cache")]
    Cache,
    /// Objects and the journal's view of them.
    #[serde(rename = "objects")]
    Objects,
    /// Model operations.
    #[serde(rename = "ai")]
    Ai,
    /// Status, features and events.
    #[serde(rename = "status")]
    Status,
    /// Metrics.
    #[serde(rename = "metrics")]
    Metrics,
    /// The retail back office.
    #[serde(rename = "retail")]
    Retail,
    /// Everything, operator commands included.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// All scopes, in the order they are shown.
    pub const ALL: [Self; 9] = [
        Self::DbRead,
        Self::DbWrite,
        Self::Cache,
        Self::Objects,
        Self::Ai,
        Self::Status,
        Self::Metrics,
        Self::Retail,
        Self::Admin,
    ];

    /// The scope's name, e.g. `db:read`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DbRead => "db:read",
            Self::DbWrite => "db:write",
            Self::Cache => "cache",
            Self::Objects => "objects",
            Self::Ai => "ai",
            Self::Status => "status",
            Self::Metrics => "metrics",
            Self::Retail => "retail",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|s| s.as_str()).collect();
                format!("`{text}` is no scope; known are {}", known.join(", "))
            })
    }
}

/// A key as it is kept: its hash, never the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public part, which logs may show.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// BLAKE3 of the whole key, hexadecimal.
    pub hash: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Timestamp,
}

impl KeyRecord {
    /// Whether the key may do what `scope` names.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&Scope::Admin) || self.scopes.contains(&scope)
    }

    /// The key's owner as adapters see it.
    pub fn caller(&self) -> CallerId {
        let hash = blake3::hash(self.id.as_bytes());
        let first: [u8; 8] = hash.as_bytes()[..8].try_into().unwrap_or_default();
        CallerId(u64::from_le_bytes(first))
    }
}

/// Why a key can't be taken over.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not of the form `mk_<id>_<secret>`.
    #[error(
        "a key has the form mk_<id>_<secret>: id of 8 to 32 letters or digits, secret of at least 43 letters, digits, '-' or '_' (256 bits); make one with `mainstay key new`"
    )]
    Malformed,
    /// The key file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The keys of one data directory.
#[derive(Debug)]
pub struct KeyRing {
    path: PathBuf,
    keys: ArcSwap<BTreeMap<String, KeyRecord>>,
    preset: ArcSwap<Option<KeyRecord>>,
    seen: Mutex<Seen>,
}

/// What is known of the key file.
#[derive(Debug, Default)]
struct Seen {
    /// The version whose keys are in force.
    loaded: Option<Version>,
    /// The version that could not be taken up.
    failed: Option<Failure>,
}

/// A version of the key file that could not be taken up, as the log knows already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure {
    version: Option<Version>,
    /// It was read and holds no keys, so only another version can help.
    is_final: bool,
}

impl KeyRing {
    /// Opens the key file of a data directory; a missing one is empty.
    ///
    /// # Errors
    /// When the file can't be read or isn't a key file.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let ring = Self {
            path: data_dir.join("keys.json"),
            keys: ArcSwap::default(),
            preset: ArcSwap::default(),
            seen: Mutex::default(),
        };
        ring.reload()?;
        Ok(ring)
    }

    /// Whether any key exists.
    pub fn is_empty(&self) -> bool {
        self.keys.load().is_empty() && self.preset.load().is_none()
    }

    /// All kept keys, by id.
    pub fn list(&self) -> Vec<KeyRecord> {
        self.keys.load().values().cloned().collect()
    }

    /// Takes over an admin key that was set from outside; it is not written to the file.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn preset_admin(&self, key: &Secret, now: Timestamp) -> Result<(), KeyError> {
        let id = well_formed(key.expose()).ok_or(KeyError::Malformed)?;
        let record = record(id, "preset admin", key.expose(), vec![Scope::Admin], now);
        self.preset.store(std::sync::Arc::new(Some(record)));
        Ok(())
    }

    /// Whether a key could be preset.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn check_preset(key: &Secret) -> Result<(), KeyError> {
        well_formed(key.expose())
            .map(drop)
            .ok_or(KeyError::Malformed)
    }

    /// Makes a key and keeps its hash. The key itself is returned this once.
    ///
    /// # Errors
    /// When the file can't be written; no key was made then.
    pub fn create(
        &self,
        name: &str,
        scopes: Vec<Scope>,
        now: Timestamp,
    ) -> Result<(Secret, KeyRecord), KeyError> {
        self.reload()?;
        let (id, key) = generate().map_err(|source| self.file_error(source))?;
        let record = record(&id, name, &key, scopes, now);
        let mut keys = (**self.keys.load()).clone();
        keys.insert(id, record.clone());
        self.save(&keys).map_err(|source| self.file_error(source))?;
        self.keys.store(std::sync::Arc::new(keys));
        Ok((Secret::new(key), record))
    }

    /// Takes a key back. False when there is none of this id.
    ///
    /// # Errors
    /// When the file can't be written; the key works on then.
    pub fn revoke(&self, id: &str) -> Result<bool, KeyError> {
        self.reload()?;
        let mut keys = (**self.keys.load()).clone();
        if keys.remove(id).is_none() {
            return Ok(false);
        }
        self.save(&keys).map_err(|source| self.file_error(source))?;
        self.keys.store(std::sync::Arc::new(keys));
        Ok(true)
    }

    /// The record of a key that a request brings, if the key is right.
    pub fn authenticate(&self, presented: &str) -> Option<KeyRecord> {
        let id = well_formed(presented)?;
        self.pick_up_changes();
        let preset = self.preset.load();
        let keys = self.keys.load();
        let known = preset
            .as_ref()
            .as_ref()
            .filter(|r| r.id == id)
            .or_else(|| keys.get(id))?;
        let hash = hash_of(presented);
        let same = hash.as_bytes().ct_eq(known.hash.as_bytes());
        bool::from(same).then(|| known.clone())
    }

    /// A key made or revoked by another process is taken up when the file has changed: one `stat` a request. A version
    /// that can't be taken up is logged once; it is tried again only if reading it failed, as without free handles.
    fn pick_up_changes(&self) {
        let version = version(&self.path);
        let known = {
            let seen = self.lock();
            if seen.loaded == version {
                return;
            }
            seen.failed.filter(|failure| failure.version == version)
        };
        if known.is_some_and(|failure| failure.is_final) {
            return;
        }
        if let Err(error) = self.reload()
            && known.is_none()
        {
            tracing::error!(%error, "the key file has changed and can't be read; the earlier keys stay in force");
        }
    }

    fn reload(&self) -> Result<(), KeyError> {
        let mut seen = self.lock();
        let version = version(&self.path);
        let fail = |seen: &mut Seen, is_final, source| {
            seen.failed = Some(Failure { version, is_final });
            Err(self.file_error(source))
        };
        let keys = match std::fs::read(&self.path) {
            Ok(bytes) => match parse(&bytes) {
                Ok(keys) => keys,
                Err(source) => return fail(&mut seen, true, source),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return fail(&mut seen, false, source),
        };
        self.keys.store(std::sync::Arc::new(keys));
        *seen = Seen {
            loaded: version,
            failed: None,
        };
        Ok(())
    }

    fn save(&self, keys: &BTreeMap<String, KeyRecord>) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let beside = self.path.with_extension("json.new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        let list: Vec<_> = keys.values().collect();
        serde_json::to_writer_pretty(&mut file, &list)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        *self.lock() = Seen {
            loaded: version(&self.path),
            failed: None,
        };
        Ok(())
    }

    fn file_error(&self, source: io::Error) -> KeyError {
        KeyError::File {
            path: self.path.clone(),
            source,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Nothing panics while the lock is held.
        self.seen.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn parse(bytes: &[u8]) -> io::Result<BTreeMap<String, KeyRecord>> {
    let list: Vec<KeyRecord> = serde_json::from_slice(bytes)?;
    Ok(list.into_iter().map(|r| (r.id.clone(), r)).collect())
}

/// What tells one state of the key file from another. Its time alone doesn't: the kernel's clock for files moves in
/// steps of milliseconds, and a key revoked within one step of being made would work on. Every save is a new inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

fn version(path: &Path) -> Option<Version> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some(Version {
        inode: found.ino(),
        bytes: found.len(),
        modified: found.modified().ok(),
    })
}

fn record(id: &str, name: &str, key: &str, scopes: Vec<Scope>, created: Timestamp) -> KeyRecord {
    KeyRecord {
        id: id.to_owned(),
        name: name.to_owned(),
        hash: hash_of(key),
        scopes,
        created,
    }
}

fn hash_of(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

/// The id of a key of the right form.
fn well_formed(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix("mk_")?.split_once('_')?;
    let id_fits = (8..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let url_safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let secret_fits = (43..=128).contains(&secret.len()) && secret.bytes().all(url_safe);
    (id_fits && secret_fits).then_some(id)
}

fn generate() -> io::Result<(String, String)> {
    use base64::Engine;
    let mut bytes = [0u8; 40];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    let id: String = bytes[..8].iter().map(|b| format!("{b:02x}")).collect();
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes[8..]);
    let key = format!("mk_{id}_{secret}");
    Ok((id, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (tempfile::TempDir, KeyRing) {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(dir.path()).unwrap();
        (dir, ring)
    }

    #[test]
    fn a_new_key_authenticates_and_its_text_is_nowhere_on_disk() {
        let (dir, ring) = ring();
        let (key, record) = ring
            .create("ana", vec![Scope::Cache], Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(ring.authenticate(key.expose()), Some(record.clone()));
        let file = std::fs::read_to_string(dir.path().join("keys.json")).unwrap();
        assert!(!file.contains(key.expose()));
        assert!(record.may(Scope::Cache) && !record.may(Scope::DbRead));
    }

    #[test]
    fn a_key_with_a_right_id_and_a_wrong_secret_is_refused() {
        let (_dir, ring) = ring();
        let (key, _) = ring
            .create("ana", vec![Scope::Admin], Timestamp::UNIX_EPOCH)
            .unwrap();
        let mut wrong = key.expose().to_owned();
        let last = if wrong.ends_with('A') { "B" } else { "A" };
        wrong.replace_range(wrong.len() - 1.., last);
        assert_eq!(ring.authenticate(&wrong), None);
        for odd in ["", "mk_", "mk_x_y", "mk_0123456789abcdef_", "\u{0}"] {
            assert_eq!(ring.authenticate(odd), None);
        }
    }

    #[test]
    fn a_key_made_or_revoked_by_another_process_is_taken_up() {
        let (dir, ring) = ring();
        let other = KeyRing::open(dir.path()).unwrap();
        let (key, record) = other
            .create("ci", vec![Scope::Status], Timestamp::UNIX_EPOCH)
            .unwrap();
        assert!(ring.authenticate(key.expose()).is_some());
        assert!(other.revoke(&record.id).unwrap());
        assert!(ring.authenticate(key.expose()).is_none());
    }

    #[test]
    fn a_preset_key_must_be_of_the_form() {
        let (_dir, ring) = ring();
        let short = Secret::new("mk_admin123_short");
        assert!(ring.preset_admin(&short, Timestamp::UNIX_EPOCH).is_err());
        let good = Secret::new(format!("mk_admin123_{}", "x".repeat(43)));
        ring.preset_admin(&good, Timestamp::UNIX_EPOCH).unwrap();
        assert!(
            ring.authenticate(good.expose())
                .is_some_and(|r| r.may(Scope::DbWrite))
        );
    }
}
