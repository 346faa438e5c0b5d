//! Sends deliveries to one receiver, one after the other, each until it is taken or given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_runtime::{Clock, Error, ErrorKind, Handle};
use reqwest::Client;
use tokio_util::sync::CancellationToken;

use super::queue::Payload;
use super::sign::signature;
use super::{Hook, WebhookSettings};

const USER_AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

#[derive(Clone)]
pub(super) struct Sender {
    client: Client,
    clock: Clock,
    stop: CancellationToken,
    settings: Arc<WebhookSettings>,
}

impl Sender {
    /// # Errors
    /// `Internal` when TLS can't be set up, which no configuration causes.
    pub(super) fn new(handle: &Handle, settings: &WebhookSettings) -> Result<Self, Error> {
        Ok(Self {
            client: client(settings)?,
            clock: handle.clock(),
            stop: handle.stopping(),
            settings: Arc::new(settings.clone()),
        })
    }

    /// Runs until the engine stops.
    pub(super) async fn run(self, hook: Arc<Hook>) {
        let sending = async {
            loop {
                let payload = hook.queue.next().await;
                hook.under_way.store(1, Ordering::Relaxed);
                self.deliver(&hook, &payload).await;
                hook.under_way.store(0, Ordering::Relaxed);
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {
                let left = hook.queued();
                if left > 0 {
                    tracing::warn!(webhook = hook.webhook.name, left, "the server ends before these were delivered");
                }
            }
            () = sending => {}
        }
    }

    async fn deliver(&self, hook: &Hook, payload: &Payload) {
        let name = &hook.webhook.name;
        for attempt in 1..=self.settings.attempts {
            match self.attempt(hook, payload).await {
                Ok(()) => {
                    hook.delivered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(why) => {
                    hook.failed_attempts.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(webhook = name, attempt, why, "a webhook was not taken");
                }
            }
            if attempt < self.settings.attempts {
                self.clock.sleep(self.wait(attempt)).await;
            }
        }
        hook.given_up.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            webhook = name,
            delivery = payload.delivery,
            "a webhook is given up"
        );
    }

    async fn attempt(&self, hook: &Hook, payload: &Payload) -> Result<(), String> {
        // Signed anew each time: a receiver refuses what is old.
        let seconds = self.clock.wall().as_second();
        let request = self
            .client
            .post(&hook.webhook.url)
            .header("content-type", "application/json")
            .header("mainstay-event", payload.kind)
            .header("mainstay-delivery", &payload.delivery)
            .header(
                "mainstay-signature",
                signature(&hook.webhook.secret, seconds, &payload.body),
            )
            .body(payload.body.clone());
        let deadline = self.clock.now() + self.settings.deadline;
        match self.clock.until(deadline, request.send()).await {
            Ok(Ok(reply)) if reply.status().is_success() => Ok(()),
            Ok(Ok(reply)) => Err(format!("status {}", reply.status().as_u16())),
            // Without the URL, which may hold a secret.
            Ok(Err(error)) => Err(reason(&error.without_url())),
            Err(_elapsed) => Err("no answer in time".to_owned()),
        }
    }

    /// Between half and the whole of a time that doubles, so that receivers of many servers are not asked in step.
    fn wait(&self, attempt: u32) -> Duration {
        let doubled = self
            .settings
            .first_wait
            .saturating_mul(1u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        let most = doubled.min(self.settings.longest_wait);
        most.mul_f64(0.5 + 0.5 * share())
    }
}

/// 0 to 1. Without randomness it counts on, which spreads as well.
fn share() -> f64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0u8; 2];
    if getrandom::fill(&mut bytes).is_err() {
        let count = COUNT.fetch_add(9_973, Ordering::Relaxed);
        bytes = (count as u16).to_le_bytes();
    }
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}

fn reason(error: &reqwest::Error) -> String {
    let kind = if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    };
    kind.to_owned()
}

/// No redirects, which would carry signed content elsewhere; no proxies from the environment.
fn client(settings: &WebhookSettings) -> Result<Client, Error> {
    let secure = settings
        .webhooks
        .iter()
        .any(|hook| hook.url.starts_with("https:"));
    Client::builder()
        .tls_backend_preconfigured(tls(secure)?)
        .user_agent(USER_AGENT)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .build()
        .map_err(|_| no_client())
}

/// rustls with ring and the system's roots, which are read only when a receiver needs them.
fn tls(secure: bool) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    if secure {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!("the system has no root certificates: no https webhook can be told");
        }
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|_| no_client())?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn no_client() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the HTTP client of the webhooks can't be set up",
    )
}
