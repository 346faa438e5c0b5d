//! How the object store is reached, and what is kept beside it.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_runtime::breaker;
use mainstay_runtime::{EndpointSpec, Secret};

use crate::objects::DEPENDENCY;

use crate::conflict::Conflicts;

/// Where objects live.
#[derive(Clone, Debug)]
pub enum Target {
    /// A folder under the data directory: the embedded default.
    Local(PathBuf),
    /// An S3-compatible endpoint.
    S3(S3Target),
}

/// An S3-compatible endpoint.
#[derive(Clone, Debug)]
pub struct S3Target {
    /// `https://…`; `None` for AWS itself.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The region, `us-east-1` for most that aren't AWS.
    pub region: String,
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// Bucket in the host name instead of the path.
    pub virtual_hosted: bool,
}

/// Everything the adapter needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where objects live.
    pub target: Target,
    /// The breaker.
    pub breaker: breaker::Settings,
    /// Calls in flight.
    pub limit: usize,
    /// Until the first byte of an answer.
    pub first_byte: Duration,
    /// Without progress, and for one part of an upload.
    pub idle: Duration,
    /// Largest object in bytes.
    pub max_object: u64,
    /// Bytes of bodies on their way to the store that may be in memory, over all uploads.
    pub upload_memory: u64,
    /// Folder for local copies of what was read and written.
    pub copies_dir: PathBuf,
    /// Bytes of local copies in all; 0 keeps none.
    pub copies_bytes: u64,
    /// Largest object that is kept as a local copy, in bytes.
    pub copy_limit: u64,
    /// Uploads from the journal at once when the level allows the full rate.
    pub drain_parallel: usize,
    /// What happens to accepted work whose object somebody else has changed meanwhile.
    pub conflicts: Conflicts,
}

impl Settings {
    /// The defaults for this target under this data directory.
    pub fn new(target: Target, data_dir: &std::path::Path, breaker: breaker::Settings) -> Self {
        Self {
            target,
            breaker,
            limit: 32,
            first_byte: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            max_object: 5 << 30,
            upload_memory: 256 << 20,
            copies_dir: data_dir.join("object-copies"),
            copies_bytes: 256 << 20,
            copy_limit: 8 << 20,
            drain_parallel: 8,
            conflicts: Conflicts::default(),
        }
    }

    /// What the engine is told of its endpoint, at the start and whenever settings change.
    pub fn endpoint(&self) -> EndpointSpec {
        EndpointSpec {
            name: DEPENDENCY.into(),
            breaker: self.breaker,
            limit: self.limit,
            call_deadline: self.idle,
        }
    }
}
