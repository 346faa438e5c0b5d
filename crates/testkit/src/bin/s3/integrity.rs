//! Checks a body against the digests that came in its headers.
//!
//! A checksum in the trailer of a chunked upload isn't checked here: s3s-fs does that, after storing.

use axum::body::Bytes;
use axum::http::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum, Md5};

/// Whether every digest that the headers give is the body's.
pub(crate) fn holds(headers: &HeaderMap, body: &Bytes) -> bool {
    let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Chunk framing is part of these bytes and not of the object.
    if given("content-encoding").is_some_and(|encoding| encoding.contains("aws-chunked"))
        || given("x-amz-content-sha256").is_some_and(|digest| digest.starts_with("STREAMING-"))
    {
        return true;
    }
    let mut hasher = ChecksumHasher {
        crc32: given("x-amz-checksum-crc32").map(|_| Checksum::new()),
        crc32c: given("x-amz-checksum-crc32c").map(|_| Checksum::new()),
        sha1: given("x-amz-checksum-sha1").map(|_| Checksum::new()),
        sha256: given("x-amz-checksum-sha256").map(|_| Checksum::new()),
        crc64nvme: given("x-amz-checksum-crc64nvme").map(|_| Checksum::new()),
    };
    hasher.update(body);
    let made = hasher.finalize();
    let digests = [
        ("x-amz-checksum-crc32", made.checksum_crc32),
        ("x-amz-checksum-crc32c", made.checksum_crc32c),
        ("x-amz-checksum-sha1", made.checksum_sha1),
        ("x-amz-checksum-sha256", made.checksum_sha256),
        ("x-amz-checksum-crc64nvme", made.checksum_crc64nvme),
    ];
    let md5 = given("content-md5").is_none_or(|digest| digest == md5(body));
    md5 && digests
        .into_iter()
        .all(|(name, made)| made.is_none_or(|made| given(name) == Some(&made)))
}

fn md5(body: &[u8]) -> String {
    let mut hasher = Md5::new();
    hasher.update(body);
    BASE64_STANDARD.encode(hasher.finalize())
}
