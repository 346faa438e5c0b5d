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
