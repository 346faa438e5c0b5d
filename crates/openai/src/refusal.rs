//! Reads a status that isn't success, its headers and its error body.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use serde_json::Value;

use crate::fault::Refusal;

/// The error body of the OpenAI API. Others send an array, a bare text, HTML: then nothing is read from it.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Said,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    message: Value,
    r#type: Value,
    code: Value,
    param: Value,
}

/// What the provider said, as far as it is safe to repeat. `key` is left out even if the provider repeats it.
pub(crate) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    key: Option<&str>,
    now: Timestamp,
) -> Refusal {
    let said = serde_json::from_slice::<Body>(body)
        .unwrap_or_default()
        .error;
    Refusal {
        retry_after: retry_after(headers, now),
        ..said.refusal(status, key)
    }
}

/// An error object within a stream, or a bare text: it comes without a status, so its words stand for one.
pub(crate) fn in_stream(error: &Value, key: Option<&str>) -> Refusal {
    let said: Said = serde_json::from_value(error.clone()).unwrap_or_default();
    let status = said.status();
    said.refusal(status, key)
}

impl Said {
    fn refusal(&self, status: StatusCode, key: Option<&str>) -> Refusal {
        let word = |value: &Value| safe_word(value, key);
        let param = word(&self.param);
        Refusal {
            status,
            retry_after: None,
            out_of_quota: self.names("insufficient_quota"),
            response_format: is_about_response_format(
                param.as_deref(),
                self.message.as_str().unwrap_or_default(),
            ),
            code: word(&self.code).or_else(|| word(&self.r#type)),
            param,
        }
    }

    fn names(&self, word: &str) -> bool {
        [&self.code, &self.r#type]
            .iter()
            .any(|value| value.as_str() == Some(word))
    }

    /// The status of an error that has none. Some providers give it as the code; of the rest, what isn't known
    /// to be the request's fault or a limit is trouble of the provider's own.
    fn status(&self) -> StatusCode {
        let number = self.code.as_u64().and_then(|code| u16::try_from(code).ok());
        let given = number.filter(|code| (400..600).contains(code));
        let known = STATUS_OF.iter().find(|(word, _)| self.names(word));
        let status = given.or(known.map(|(_, status)| *status)).unwrap_or(500);
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The status that goes with an error's `code` or `type`; the first that fits counts.
const STATUS_OF: [(&str, u16); 10] = [
    ("insufficient_quota", 429),
    ("rate_limit_exceeded", 429),
    ("rate_limit_error", 429),
    ("overloaded_error", 529),
    ("invalid_api_key", 401),
    ("authentication_error", 401),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("timeout", 408),
    ("invalid_request_error", 400),
];

/// A word of an identifier's letters: an error's code or the path of a parameter. Anything else may be a
/// piece of the request.
fn safe_word(value: &Value, key: Option<&str>) -> Option<String> {
    let word = value.as_str()?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-[]".contains(&b);
    let plain = (1..=64).contains(&word.len()) && word.bytes().all(fits);
    let holds_key =
        key.is_some_and(|key| word.contains(key) || key.contains(word) && word.len() > 8);
    (plain && !holds_key).then(|| word.to_owned())
}

fn is_about_response_format(param: Option<&str>, message: &str) -> bool {
    let names = ["response_format", "json_schema", "json_object"];
    let in_param = param.is_some_and(|param| names.iter().any(|name| param.contains(name)));
    in_param || names.iter().any(|name| message.contains(name))
}

/// What the headers ask to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(wait) = text("retry-after-ms").and_then(|ms| seconds(ms, 0.001)) {
        return Some(wait);
    }
    let text = text(RETRY_AFTER.as_str())?;
    if let Some(wait) = seconds(text, 1.0) {
        return Some(wait);
    }
    let at = DateTimeParser::new().parse_timestamp(text).ok()?;
    // A date that has passed asks for nothing.
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let count: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(count * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    const NOW: &str = "1994-11-06T08:49:30Z";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn read_body(body: &str) -> Refusal {
        let none = HeaderMap::new();
        read(
            StatusCode::BAD_REQUEST,
            &none,
            body.as_bytes(),
            Some("sk-secret-0123456789"),
            NOW.parse().unwrap(),
        )
    }

    #[test]
    fn a_hint_is_read_in_seconds_milliseconds_and_as_a_date() {
        let check = |pairs: &[(&'static str, &'static str)], expected: Option<Duration>| {
            let found = retry_after(&headers(pairs), NOW.parse().unwrap());
            assert_eq!(found, expected, "{pairs:?}");
        };
        let seconds = |count| Some(Duration::from_secs(count));
        let millis = |count| Some(Duration::from_millis(count));
        check(&[], None);
        check(&[("retry-after", "7")], seconds(7));
        check(&[("retry-after", "1.5")], millis(1500));
        check(
            &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")],
            seconds(7),
        );
        check(
            &[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")],
            seconds(0),
        );
        check(
            &[("retry-after", "7"), ("retry-after-ms", "250")],
            millis(250),
        );
        check(&[("retry-after", "-3")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "inf")], None);
    }

    #[test]
    fn only_plain_words_of_an_error_are_kept() {
        let refusal = read_body(
            r#"{"error":{"message":"your prompt was: hello","type":"invalid_request_error",
                "param":"messages[0].content","code":"context_length_exceeded"}}"#,
        );
        assert_eq!(refusal.code.as_deref(), Some("context_length_exceeded"));
        assert_eq!(refusal.param.as_deref(), Some("messages[0].content"));
        assert_eq!(
            Fault::Refused(Box::new(refusal)).to_string(),
            "it answered 400 (context_length_exceeded)"
        );
    }

    #[test]
    fn a_key_or_a_sentence_in_an_error_is_left_out() {
        for code in [
            "sk-secret-0123456789",
            "secret-0123456789",
            "my own prompt",
            "",
        ] {
            let refusal = read_body(&format!(r#"{{"error":{{"code":"{code}"}}}}"#));
            assert_eq!(refusal.code, None, "{code}");
        }
    }

    #[test]
    fn bodies_of_other_shapes_are_no_trouble() {
        for body in [
            "",
            "<html>",
            "[]",
            "null",
            r#"{"error":"x"}"#,
            r#"{"error":null}"#,
        ] {
            assert_eq!(read_body(body).code, None, "{body}");
        }
    }

    #[test]
    fn an_empty_quota_is_told_from_a_rate_limit() {
        assert!(read_body(r#"{"error":{"code":"insufficient_quota"}}"#).out_of_quota);
        assert!(read_body(r#"{"error":{"type":"insufficient_quota"}}"#).out_of_quota);
        assert!(!read_body(r#"{"error":{"code":"rate_limit_exceeded"}}"#).out_of_quota);
    }

    #[test]
    fn an_error_within_a_stream_has_the_status_that_its_words_mean() {
        let table = [
            (r#"{"type":"server_error"}"#, 500),
            (r#"{"type":"rate_limit_error"}"#, 429),
            (r#"{"type":"overloaded_error"}"#, 529),
            (r#"{"type":"invalid_request_error"}"#, 400),
            (
                r#"{"type":"invalid_request_error","code":"invalid_api_key"}"#,
                401,
            ),
            (r#"{"code":502,"message":"upstream"}"#, 502),
            (r#"{"code":200}"#, 500),
            (r#""it went wrong""#, 500),
            ("{}", 500),
        ];
        for (error, expected) in table {
            let error: Value = serde_json::from_str(error).unwrap();
            assert_eq!(in_stream(&error, None).status.as_u16(), expected, "{error}");
        }
    }

    #[test]
    fn a_refused_response_format_is_recognised() {
        for body in [
            r#"{"error":{"param":"response_format","message":"Unknown parameter"}}"#,
            r#"{"error":{"param":"response_format.type","message":"x"}}"#,
            r#"{"error":{"message":"'response_format' of type json_schema is not supported"}}"#,
        ] {
            assert!(read_body(body).response_format, "{body}");
        }
        assert!(!read_body(r#"{"error":{"param":"messages","message":"x"}}"#).response_format);
    }
}
