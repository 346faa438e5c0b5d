//! The caller's trace, so that a log line here is found from the trace it belongs to: the W3C `traceparent` header.

use http::HeaderMap;

/// The trace id of a request: 32 hexadecimal digits, not all zero. `None` without a well-formed `traceparent`; a
/// malformed one is ignored, as the recommendation asks.
///
/// Source: W3C Trace Context, "traceparent header" (version 00; later versions begin the same way).
pub(crate) fn id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = version == "00" && parts.next().is_none() || is_id(version, 2) && version > "00";
    let sound = is_id(trace, 32) && is_id(parent, 16) && is_id(flags, 2);
    let set = |id: &str| id.bytes().any(|digit| digit != b'0');
    (whole && version != "ff" && sound && set(trace) && set(parent)).then_some(trace)
}

fn is_id(text: &str, digits: usize) -> bool {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &'static str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", http::HeaderValue::from_static(header));
        assert_eq!(id(&headers), expected, "{header}");
    }

    #[test]
    fn a_trace_is_taken_over_only_when_it_is_well_formed() {
        let trace = Some("4bf92f3577b34da6a3ce929d0e0e4736");
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            trace,
        );
        check(
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            trace,
        );
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            None,
        );
        check(
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            None,
        );
        check(
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            None,
        );
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            None,
        );
        check(
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            None,
        );
        check("00-4bf92f-00f067aa0ba902b7-01", None);
        check("\" or 1=1", None);
        assert_eq!(id(&HeaderMap::new()), None);
    }
}
