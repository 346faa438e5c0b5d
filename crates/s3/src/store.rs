//! The two stores behind one set of operations: an S3-compatible endpoint, or a folder.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::{
    Attribute, Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, Result, UpdateVersion,
};

use crate::classify::names_absence;
use crate::key::Key;
use crate::local::Local;
use crate::objects::ByteRange;
use crate::standing::MARK;

/// What must hold for a write to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// There is no object of this key (`If-None-Match: *`).
    Absent,
    /// The present object has this ETag (`If-Match`).
    Matches(String),
}

/// One listed object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Bytes; `None` for an accepted copy whose source can't be asked now.
    pub size: Option<u64>,
    /// As the store gives it.
    pub etag: Option<String>,
    /// Wall clock.
    pub last_modified: Option<jiff::Timestamp>,
}

/// What is stored beside an object's content.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) content_type: Option<String>,
    /// Says that we wrote it; a folder of ours needs none.
    pub(crate) mark: String,
}

/// Where objects are.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    S3(Arc<AmazonS3>),
    Local(Arc<Local>),
}

impl Store {
    pub(crate) async fn put(
        &self,
        key: &Key,
        payload: PutPayload,
        about: &About,
        condition: &Condition,
    ) -> Result<PutResult> {
        match self {
            Self::Local(local) => {
                let content_type = about.content_type.as_deref();
                local.put(key, payload, content_type, condition).await
            }
            Self::S3(s3) => {
                let mode = match condition {
                    Condition::None => PutMode::Overwrite,
                    Condition::Absent => PutMode::Create,
                    Condition::Matches(etag) => PutMode::Update(UpdateVersion {
                        e_tag: Some(etag.clone()),
                        version: None,
                    }),
                };
                let options = PutOptions {
                    mode,
                    attributes: attributes(about),
                    ..PutOptions::default()
                };
                s3.put_opts(key.path(), payload, options).await
            }
        }
    }

    /// An object, or the bytes of it that `range` names.
    pub(crate) async fn get(&self, key: &Key, range: Option<ByteRange>) -> Result<GetResult> {
        match self {
            Self::Local(local) => local.get(key, range).await,
            Self::S3(s3) => {
                let range = range.map(|range| match range {
                    ByteRange::From { first, last: None } => GetRange::Offset(first),
                    ByteRange::From {
                        first,
                        last: Some(last),
                    } => GetRange::Bounded(first..last.saturating_add(1)),
                    ByteRange::Last(count) => GetRange::Suffix(count),
                });
                let options = GetOptions {
                    range,
                    ..GetOptions::default()
                };
                s3.get_opts(key.path(), options).await
            }
        }
    }

    /// What is known of an object.
    pub(crate) async fn head(&self, key: &Key) -> Result<GetResult> {
        let Self::S3(s3) = self else {
            return self.get(key, None).await;
        };
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match s3.get_opts(key.path(), options).await {
            // A HEAD's 404 has no body to tell a missing object from a missing bucket or somebody else's 404; a GET's has.
            Err(Error::NotFound { .. }) => self.get(key, None).await,
            other => other,
        }
    }

    /// Deletes; deleting what isn't there is done already.
    pub(crate) async fn delete(&self, key: &Key) -> Result<()> {
        let (done, is_ours) = match self {
            Self::Local(local) => (local.delete(key).await, true),
            Self::S3(s3) => (s3.delete(key.path()).await, false),
        };
        match done {
            // S3 itself says 204; some stores say this.
            Err(error @ Error::NotFound { .. }) if is_ours || names_absence(&error) => Ok(()),
            other => other,
        }
    }

    pub(crate) async fn copy(&self, from: &Key, to: &Key) -> Result<()> {
        match self {
            Self::Local(local) => local.copy(from, to).await,
            Self::S3(s3) => {
                s3.copy_opts(from.path(), to.path(), CopyOptions::default())
                    .await
            }
        }
    }

    /// Up to `limit` objects whose keys begin with `prefix` and lie after `after`, in key order.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let found = match self {
            Self::Local(local) => local.list(prefix).await?,
            Self::S3(s3) => list_s3(s3, prefix, after, limit).await?,
        };
        let mut listed: Vec<_> = found
            .into_iter()
            .filter(|m| lies_in(m, prefix, after))
            .map(listed)
            .collect();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        listed.truncate(limit);
        Ok(listed)
    }
}

async fn list_s3(
    s3: &AmazonS3,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ObjectMeta>> {
    let asked = (!prefix.is_empty()).then_some(prefix);
    let mut found = Vec::new();
    let mut page_token = None;
    loop {
        let options = PaginatedListOptions {
            offset: after.map(str::to_owned),
            max_keys: Some((limit - found.len()).clamp(1, 1000)),
            page_token: page_token.take(),
            ..PaginatedListOptions::default()
        };
        let page = s3.list_paginated(asked, options).await?;
        // A folder's marker `a/` is given as `a`, which may lie outside of what was asked for.
        found.extend(
            page.result
                .objects
                .into_iter()
                .filter(|m| lies_in(m, prefix, after)),
        );
        page_token = page.page_token;
        if found.len() >= limit || page_token.is_none() {
            return Ok(found);
        }
    }
}

fn lies_in(meta: &ObjectMeta, prefix: &str, after: Option<&str>) -> bool {
    let key = meta.location.as_ref();
    key.starts_with(prefix) && after.is_none_or(|after| key > after)
}

fn listed(meta: ObjectMeta) -> Listed {
    let last_modified = timestamp(&meta);
    Listed {
        key: meta.location.to_string(),
        size: Some(meta.size),
        etag: meta.e_tag,
        last_modified,
    }
}

/// When the store says that an object was written, wall clock.
pub(crate) fn timestamp(meta: &ObjectMeta) -> Option<jiff::Timestamp> {
    jiff::Timestamp::try_from(SystemTime::from(meta.last_modified)).ok()
}

pub(crate) fn attributes(about: &About) -> Attributes {
    let mark = (Attribute::Metadata(MARK.into()), about.mark.clone());
    let kind = about.content_type.clone();
    let kind = kind.map(|kind| (Attribute::ContentType, kind));
    Attributes::from_iter(kind.into_iter().chain([mark]))
}

/// All of a folder's objects, for the local store.
pub(crate) async fn collect(
    store: &dyn ObjectStore,
    prefix: Option<&object_store::path::Path>,
) -> Result<Vec<ObjectMeta>> {
    store.list(prefix).boxed().try_collect().await
}
