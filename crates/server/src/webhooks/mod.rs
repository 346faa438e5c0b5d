//! Webhooks: alerts and changes of level are told to other systems, signed, retried, from bounded queues.
//!
//! A receiver verifies `Mainstay-Signature: t=<seconds>,v1=<hex>`: the hexadecimal HMAC-SHA256, keyed with the shared
//! secret, of the text `<seconds>.<body>`. `Mainstay-Delivery` is the same for every attempt of one delivery, so that
//! one which arrived twice can be told apart. Any 2xx is taken as received.

mod queue;
mod send;
mod sign;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_runtime::{Delivery, Error, EventRecord, Handle, Secret};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use queue::{Payload, Queue};

/// Shortest secret in bytes: what can be guessed signs nothing.
pub const SHORTEST_SECRET: usize = 16;
/// Kinds of events that are told.
pub const TOLD: [&str; 3] = ["alert_raised", "alert_over", "level_changed"];

/// One receiver.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What status and metrics call it: the URL may hold a secret of its own.
    pub name: String,
    /// `http://…` or `https://…`.
    pub url: String,
    /// Signs what is sent.
    pub secret: Secret,
}

/// Receivers, and how patiently they are told.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// The receivers.
    pub webhooks: Vec<Webhook>,
    /// Deliveries that may wait for one receiver; beyond that the oldest is dropped and counted.
    pub queue: usize,
    /// How often one delivery is tried before it is given up.
    pub attempts: u32,
    /// Longest time for one attempt.
    pub deadline: Duration,
    /// Time before the second attempt; doubled before each further one, with jitter.
    pub first_wait: Duration,
    /// Longest time between two attempts.
    pub longest_wait: Duration,
}

impl Default for WebhookSettings {
    /// Nobody is told. Twelve attempts spread over about twenty minutes.
    fn default() -> Self {
        Self {
            webhooks: Vec::new(),
            queue: 256,
            attempts: 12,
            deadline: Duration::from_secs(10),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(300),
        }
    }
}

impl Webhook {
    /// Checks the address and the secret.
    ///
    /// # Errors
    /// `InvalidInput` naming the field: `url` or `secret`.
    pub fn validate(&self) -> Result<(), Error> {
        let url = reqwest::Url::parse(&self.url);
        if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(Error::invalid("url", "must be an http or https URL"));
        }
        if self.secret.expose().len() < SHORTEST_SECRET {
            let detail = format!("must have at least {SHORTEST_SECRET} bytes");
            return Err(Error::invalid("secret", detail));
        }
        Ok(())
    }
}

/// What became of the deliveries to one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookFigures {
    /// The receiver's name.
    pub name: String,
    /// Deliveries that wait or are being tried.
    pub queued: u64,
    /// Deliveries that it took.
    pub delivered: u64,
    /// Attempts that failed; each but the last of a delivery is repeated.
    pub failed_attempts: u64,
    /// Deliveries that were given up after their last attempt.
    pub given_up: u64,
    /// Deliveries that were dropped because too many waited.
    pub dropped: u64,
}

/// The running webhooks. Cheap to clone.
#[derive(Clone, Default)]
pub struct Webhooks(Arc<[Arc<Hook>]>);

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Webhooks").field(&self.0.len()).finish()
    }
}

/// One receiver with what waits for it.
struct Hook {
    webhook: Webhook,
    queue: Queue,
    /// 1 while a delivery is being tried.
    under_way: AtomicU64,
    delivered: AtomicU64,
    failed_attempts: AtomicU64,
    given_up: AtomicU64,
}

impl Webhooks {
    /// Tells the receivers of everything that happens from the engine's start on, until it stops.
    ///
    /// # Errors
    /// A receiver that can't be, or an HTTP client that can't be set up.
    pub fn start(handle: &Handle, settings: &WebhookSettings) -> Result<Self, Error> {
        if settings.webhooks.is_empty() {
            return Ok(Self::default());
        }
        let mut hooks = Vec::new();
        for webhook in &settings.webhooks {
            webhook.validate()?;
            hooks.push(Arc::new(Hook {
                webhook: webhook.clone(),
                queue: Queue::new(settings.queue),
                under_way: AtomicU64::default(),
                delivered: AtomicU64::default(),
                failed_attempts: AtomicU64::default(),
                given_up: AtomicU64::default(),
            }));
        }
        let sender = send::Sender::new(handle, settings)?;
        for hook in &hooks {
            handle.spawn(sender.clone().run(Arc::clone(hook)));
        }
        let all = Self(hooks.into());
        handle.spawn(tell(handle.clone(), all.clone()));
        Ok(all)
    }

    /// What became of the deliveries so far.
    pub fn figures(&self) -> Vec<WebhookFigures> {
        self.0.iter().map(|hook| hook.figures()).collect()
    }
}

impl Hook {
    fn queued(&self) -> u64 {
        self.queue.len() as u64 + self.under_way.load(Ordering::Relaxed)
    }

    fn figures(&self) -> WebhookFigures {
        WebhookFigures {
            name: self.webhook.name.clone(),
            queued: self.queued(),
            delivered: self.delivered.load(Ordering::Relaxed),
            failed_attempts: self.failed_attempts.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
            dropped: self.queue.dropped(),
        }
    }
}

/// Hands what happens to every receiver's queue, until the engine stops. Waits for none of them.
async fn tell(handle: Handle, webhooks: Webhooks) {
    let run = run_id();
    let stop = handle.stopping();
    // From the beginning: what happened while the server was put together is told too.
    let mut subscription = handle.events().subscribe(Some(0));
    loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => return,
            delivery = handle.events().next(&mut subscription) => delivery,
        };
        match delivery {
            Some(Delivery::Event(event)) if TOLD.contains(&event.kind) => {
                let payload = Arc::new(payload(&handle, &run, &event));
                webhooks.0.iter().for_each(|h| h.queue.push(&payload));
            }
            Some(Delivery::Event(_)) => {}
            Some(Delivery::Lost(count)) => {
                tracing::warn!(count, "events went by too fast for the webhooks");
            }
            None => return,
        }
    }
}

fn payload(handle: &Handle, run: &str, event: &EventRecord) -> Payload {
    let delivery = format!("{run}-{}", event.id);
    // A change of level is told before everybody sees it.
    let level = match event.data["to"].as_str() {
        Some(to) if event.kind == "level_changed" => to.to_owned(),
        _ => handle.level().as_str().to_owned(),
    };
    let body = json!({
        "delivery": delivery,
        "event": event.kind,
        "at": event.at,
        "message": event.message,
        "data": event.data,
        "level": level,
    });
    Payload {
        delivery,
        kind: event.kind,
        body: body.to_string(),
    }
}

/// Tells one process's events from another's, since both count from 1.
fn run_id() -> String {
    let mut bytes = [0u8; 8];
    // Without randomness an id repeats, and a receiver may take a delivery for one that it has.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
