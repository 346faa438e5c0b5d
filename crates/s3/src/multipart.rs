//! One multipart upload, for both stores.

use std::sync::Arc;

use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{
    MultipartId, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Mutex;

use crate::key::Key;
use crate::store::{About, Store, attributes};

/// A multipart upload that was begun.
#[derive(Clone, Debug)]
pub(crate) enum Multipart {
    S3 {
        store: Arc<AmazonS3>,
        key: Key,
        id: MultipartId,
    },
    Local(Arc<Mutex<Box<dyn MultipartUpload>>>),
}

/// A part that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Part(Option<PartId>);

impl Multipart {
    pub(crate) async fn start(store: &Store, key: &Key, about: &About) -> Result<Self> {
        match store {
            Store::Local(local) => {
                let upload = local
                    .start_multipart(key, about.content_type.as_deref())
                    .await?;
                Ok(Self::Local(Arc::new(Mutex::new(upload))))
            }
            Store::S3(s3) => {
                let options = PutMultipartOptions {
                    attributes: attributes(about),
                    ..PutMultipartOptions::default()
                };
                Ok(Self::S3 {
                    id: s3.create_multipart_opts(key.path(), options).await?,
                    store: Arc::clone(s3),
                    key: key.clone(),
                })
            }
        }
    }

    /// Whether a part that failed may be sent again: a file's parts are appended.
    pub(crate) fn can_repeat(&self) -> bool {
        matches!(self, Self::S3 { .. })
    }

    pub(crate) async fn put_part(&self, index: usize, payload: PutPayload) -> Result<Part> {
        match self {
            Self::S3 { store, key, id } => Ok(Part(Some(
                store.put_part(key.path(), id, index, payload).await?,
            ))),
            Self::Local(upload) => {
                let part = upload.lock().await.put_part(payload);
                part.await?;
                Ok(Part(None))
            }
        }
    }

    pub(crate) async fn complete(&self, parts: &[Part]) -> Result<PutResult> {
        match self {
            Self::S3 { store, key, id } => {
                let parts = parts.iter().filter_map(|part| part.0.clone()).collect();
                store.complete_multipart(key.path(), id, parts).await
            }
            Self::Local(upload) => upload.lock().await.complete().await,
        }
    }

    pub(crate) async fn abort(&self) -> Result<()> {
        match self {
            Self::S3 { store, key, id } => store.abort_multipart(key.path(), id).await,
            Self::Local(upload) => upload.lock().await.abort().await,
        }
    }
}
