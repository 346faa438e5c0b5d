//! `[alerts]`: who is told.

use std::time::Duration;

use mainstay_server::{Webhook, WebhookSettings};

use super::load::{HOUR, SHORTEST};
use super::read::Reader;

pub(super) fn webhooks(r: &mut Reader) -> WebhookSettings {
    let base = WebhookSettings::default();
    let count = r.tables("alerts.webhooks");
    WebhookSettings {
        queue: r.within("alerts.queue", base.queue, 1..=100_000),
        attempts: r.within("alerts.attempts", base.attempts, 1..=1_000),
        deadline: r.within("alerts.deadline", base.deadline, SHORTEST..=HOUR),
        first_wait: span(r, "first_wait", base.first_wait),
        longest_wait: span(r, "longest_wait", base.longest_wait),
        webhooks: (0..count).filter_map(|at| webhook(r, at)).collect(),
    }
}

fn span(r: &mut Reader, name: &str, base: Duration) -> Duration {
    r.within(&format!("alerts.{name}"), base, SHORTEST..=24 * HOUR)
}

fn webhook(r: &mut Reader, at: usize) -> Option<Webhook> {
    let key = |name: &str| format!("alerts.webhooks[{at}].{name}");
    let before = r.mistakes.len();
    let name = r.maybe(&key("name"));
    let url = r.secret_text(&key("url"), "", masked).map(|(url, _)| url);
    let secret = r.secret(&key("secret"));
    if r.mistakes.len() > before {
        return None;
    }
    for (field, missing) in [("url", url.is_none()), ("secret", secret.is_none())] {
        if missing {
            r.reject(&key(field), "is missing: a webhook needs url and secret");
        }
    }
    let webhook = Webhook {
        name: name.unwrap_or_else(|| format!("webhook-{}", at + 1)),
        url: url?,
        secret: secret?,
    };
    if let Err(error) = webhook.validate() {
        r.reject(&key(&error.field.unwrap_or_default()), error.detail);
    }
    Some(webhook)
}

/// The URL up to its host: a path or a query may hold a token.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let more = if host.len() < rest.len() { "/***" } else { "" };
    format!("{scheme}://{host}{more}")
}

#[cfg(test)]
mod tests {
    use super::super::load::from_text;

    fn mistakes(text: &str) -> Vec<(String, String)> {
        let mistakes = from_text(text, []).expect_err("it is wrong");
        let pair = |one: super::super::errors::Mistake| (one.key, one.message);
        mistakes.into_iter().map(pair).collect()
    }

    #[test]
    fn webhooks_come_in_their_order_with_a_name_and_nothing_secret_is_shown() {
        let text = r#"
            [[alerts.webhooks]]
            url = "https://user:pass@example.com/T0KEN"
            secret = "0123456789abcdef"
            [[alerts.webhooks]]
            name = "second"
            url = "http://127.0.0.1:9"
            secret = "0123456789abcdef"
        "#;
        let (config, entries) = from_text(text, []).expect("it is right");
        let names: Vec<_> = config.webhooks.webhooks.iter().map(|w| &w.name).collect();
        assert_eq!(names, ["webhook-1", "second"]);
        let url = &config.webhooks.webhooks[0].url;
        assert_eq!(url, "https://user:pass@example.com/T0KEN");
        let shown: Vec<_> = entries.iter().filter_map(|e| e.shown.as_deref()).collect();
        assert!(
            shown
                .iter()
                .any(|text| text.contains("https://example.com/***"))
        );
        for secret in ["T0KEN", "pass", "0123456789abcdef"] {
            assert!(!shown.iter().any(|text| text.contains(secret)), "{secret}");
        }
    }

    #[test]
    fn a_webhook_without_an_address_or_with_a_guessable_secret_is_a_mistake() {
        let missing = mistakes("[[alerts.webhooks]]\nurl = \"https://example.com\"\n");
        assert_eq!(missing[0].0, "alerts.webhooks[0].secret");
        let short = "[[alerts.webhooks]]\nurl = \"https://example.com\"\nsecret = \"short\"\n";
        let (key, message) = &mistakes(short)[0];
        assert_eq!(key, "alerts.webhooks[0].secret");
        assert!(
            message.contains("16 bytes") && !message.contains("short"),
            "{message}"
        );
        let odd =
            "[[alerts.webhooks]]\nurl = \"ftp://example.com\"\nsecret = \"0123456789abcdef\"\n";
        assert_eq!(mistakes(odd)[0].0, "alerts.webhooks[0].url");
    }
}
