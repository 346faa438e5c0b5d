//! Conditional reads of objects (RFC 9110 §13): what the caller has already isn't sent again.

use axum::http::{HeaderMap, header};
use mainstay_s3::ObjectInfo;

/// Whether the caller has this object already by `If-None-Match`. An object without an ETag is never known: it has
/// not reached its store yet.
pub(super) fn is_known(headers: &HeaderMap, info: &ObjectInfo) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH);
    let mut sent = lists.iter().filter_map(|v| v.to_str().ok());
    sent.any(|list| {
        list.trim() == "*"
            || info
                .etag
                .as_deref()
                .is_some_and(|etag| tags(list).any(|tag| tag == opaque(etag)))
    })
}

/// Whether a range may be answered by `If-Range`: it isn't sent, or the object still is the one it names. Dates and weak
/// ETags never fit, since neither tells one object from another.
pub(super) fn range_still_fits(headers: &HeaderMap, info: &ObjectInfo) -> bool {
    let Some(sent) = headers.get(header::IF_RANGE) else {
        return true;
    };
    let strong = |etag: &str| !etag.starts_with("W/");
    let present = info.etag.as_deref().filter(|etag| strong(etag));
    present.is_some_and(|etag| sent.as_bytes() == etag.as_bytes())
}

/// The ETags of a list, without their weakness. A comma inside of one is legal, so the list is read by its quotes.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    list.split('"').skip(1).step_by(2)
}

/// What stands between the quotes.
fn opaque(etag: &str) -> &str {
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    etag.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn info(etag: Option<&str>) -> ObjectInfo {
        ObjectInfo {
            key: "k".to_owned(),
            size: 1,
            etag: etag.map(str::to_owned),
            content_type: None,
            last_modified: None,
        }
    }

    fn sent(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn an_object_is_known_by_any_of_the_etags_sent_weak_or_not() {
        let known = |list, etag| is_known(&sent(header::IF_NONE_MATCH, list), &info(etag));
        for list in [r#""a""#, r#""x", "a""#, r#"W/"a""#, r#""x,y","a""#, "*"] {
            assert!(known(list, Some(r#""a""#)), "{list}");
        }
        for list in [r#""b""#, "a", "", r#""x","#] {
            assert!(!known(list, Some(r#""a""#)), "{list}");
        }
        assert!(!known(r#""a""#, None), "without an ETag nothing is known");
        assert!(!is_known(&HeaderMap::new(), &info(Some(r#""a""#))));
    }

    #[test]
    fn a_range_is_answered_only_of_the_object_that_the_caller_began() {
        let fits = |value, etag| range_still_fits(&sent(header::IF_RANGE, value), &info(etag));
        assert!(fits(r#""a""#, Some(r#""a""#)));
        assert!(!fits(r#""b""#, Some(r#""a""#)));
        assert!(!fits(r#"W/"a""#, Some(r#"W/"a""#)));
        assert!(!fits("Sat, 01 Jan 2000 00:00:00 GMT", Some(r#""a""#)));
        assert!(!fits(r#""a""#, None));
        assert!(range_still_fits(&HeaderMap::new(), &info(None)));
    }
}
