//! A range of a stream of bytes.

use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::BoxStream;
use mainstay_runtime::Error;

/// The bytes of `range`. What lies before it is read and dropped; what lies after it isn't read.
pub(crate) fn slice(
    body: BoxStream<'static, Result<Bytes, Error>>,
    range: Range<u64>,
) -> BoxStream<'static, Result<Bytes, Error>> {
    let Range { start, end } = range;
    body.scan(0, move |at, chunk| {
        let from = *at;
        let cut = chunk.map(|chunk| {
            *at += chunk.len() as u64;
            let within = |offset: u64| offset.clamp(from, from + chunk.len() as u64) - from;
            chunk.slice(within(start) as usize..within(end) as usize)
        });
        // The chunk that holds the last byte ends the range; an object's own end ends it too.
        ready((from < end).then_some(cut))
    })
    .filter(|chunk| ready(!matches!(chunk, Ok(chunk) if chunk.is_empty())))
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{TryStreamExt, stream};

    #[tokio::test]
    async fn a_range_is_cut_out_of_the_chunks_it_touches() {
        for (range, expected) in [
            (0..9, "abcdefghi"),
            (2..4, "cd"),
            (3..6, "def"),
            (8..9, "i"),
            (0..1, "a"),
        ] {
            let chunks = ["abc", "def", "ghi"].map(|c| Ok(Bytes::from(c)));
            let cut = slice(stream::iter(chunks).boxed(), range.clone());
            let bytes: Vec<Bytes> = cut.try_collect().await.unwrap();
            assert_eq!(bytes.concat(), expected.as_bytes(), "{range:?}");
        }
    }
}
