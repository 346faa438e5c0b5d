//! Webhooks, told over a real connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use mainstay_runtime::Secret;
use mainstay_runtime::degradation::Level;
use mainstay_server::{Webhook, WebhookSettings};
use mainstay_testkit::{eventually, free_port};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::world::{Log, Plan, SOON, World};

const SECRET: &str = "a secret of the receiver's";

/// A receiver that notes what it got and answers as it is told, 200 when it is told nothing.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Inbox>>);

#[derive(Default)]
struct Inbox {
    got: Vec<(HeaderMap, String)>,
    answers: VecDeque<StatusCode>,
}

impl Receiver {
    async fn listen(self, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let routes = Router::new()
            .route("/hook", post(take))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        self
    }

    fn got(&self) -> Vec<(HeaderMap, String)> {
        self.0.lock().unwrap().got.clone()
    }

    fn bodies(&self) -> Vec<Value> {
        let got = self.got();
        let bodies = got.iter().map(|(_, b)| serde_json::from_str(b).unwrap());
        bodies.collect()
    }

    fn will_answer(&self, answers: &[StatusCode]) {
        self.0.lock().unwrap().answers.extend(answers);
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let mut inbox = receiver.0.lock().unwrap();
    inbox.got.push((headers, body));
    inbox.answers.pop_front().unwrap_or(StatusCode::OK)
}

/// Quick to try again, and few may wait.
fn settings(port: u16) -> WebhookSettings {
    WebhookSettings {
        webhooks: vec![Webhook {
            name: "on-call".to_owned(),
            url: format!("http://127.0.0.1:{port}/hook?token=hidden"),
            secret: Secret::new(SECRET),
        }],
        queue: 2,
        attempts: 4,
        deadline: Duration::from_secs(5),
        first_wait: Duration::from_millis(10),
        longest_wait: Duration::from_millis(100),
    }
}

async fn world(webhooks: WebhookSettings) -> World {
    let mut plan = Plan {
        webhooks,
        ..Plan::default()
    };
    plan.rules.alerts.degraded_for = Duration::from_millis(300);
    World::planned(plan).await
}

async fn pin(world: &World, level: &str) {
    let reply = world
        .post("/admin/level/pin", json!({"level": level}))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

/// As a receiver checks it.
fn assert_signed(headers: &HeaderMap, body: &str) {
    let sent = headers["mainstay-signature"].to_str().unwrap();
    let (time, tag) = sent.split_once(",v1=").unwrap();
    let seconds = time.strip_prefix("t=").unwrap();
    let bytes = (0..tag.len()).step_by(2);
    let bytes: Vec<u8> = bytes
        .map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap())
        .collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{seconds}.{body}").as_bytes());
    mac.verify_slice(&bytes).expect("the signature is right");
    let happened: Value = serde_json::from_str(body).unwrap();
    let happened: jiff::Timestamp = happened["at"].as_str().unwrap().parse().unwrap();
    let age = seconds.parse::<i64>().unwrap() - happened.as_second();
    assert!((0..=60).contains(&age), "{age}");
}

#[tokio::test]
async fn alerts_and_changes_of_level_arrive_signed_and_in_order() {
    let (log, _guard) = Log::start();
    let port = free_port();
    let receiver = Receiver::default().listen(port).await;
    let world = world(settings(port)).await;
    pin(&world, "LIMITED").await;
    eventually(SOON, "the alert arrives", async || {
        receiver
            .bodies()
            .iter()
            .any(|b| b["event"] == "alert_raised")
    })
    .await;
    world.post("/admin/level/unpin", json!({})).await;
    world.level(Level::Optimal).await;
    eventually(SOON, "the end of the alert arrives", async || {
        receiver.bodies().iter().any(|b| b["event"] == "alert_over")
    })
    .await;
    for (headers, body) in receiver.got() {
        assert_signed(&headers, &body);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(headers["mainstay-event"], body["event"].as_str().unwrap());
        assert_eq!(
            headers["mainstay-delivery"],
            body["delivery"].as_str().unwrap()
        );
        assert!(
            body["message"].is_string() && body["at"].is_string(),
            "{body}"
        );
    }
    let bodies = receiver.bodies();
    let changes = || bodies.iter().filter(|b| b["event"] == "level_changed");
    assert!(
        changes().all(|b| b["level"] == b["data"]["to"]),
        "{bodies:?}"
    );
    let to: Vec<_> = changes().map(|b| b["data"]["to"].clone()).collect();
    assert!(
        to.contains(&json!("LIMITED")) && to.contains(&json!("OPTIMAL")),
        "{to:?}"
    );
    let alert = bodies
        .iter()
        .find(|b| b["event"] == "alert_raised")
        .unwrap();
    assert_eq!(alert["data"]["alert"], "degraded");

    let figures = &world.get("/status").await.body["webhooks"][0];
    assert_eq!(
        (&figures["name"], &figures["dropped"]),
        (&json!("on-call"), &json!(0))
    );
    let delivered = figures["delivered"].as_u64().unwrap();
    assert!(delivered >= bodies.len() as u64 - 1, "{figures}");
    let line = r#"webhook_deliveries_total{webhook="on-call",status="delivered"}"#;
    assert!(
        world
            .metric(line)
            .await
            .is_some_and(|n| n >= delivered as f64)
    );
    for secret in [SECRET, "token=hidden"] {
        assert!(!log.text().contains(secret), "{}", log.text());
    }
}

#[tokio::test]
async fn a_delivery_that_failed_is_repeated_with_its_id_and_a_new_signature() {
    let port = free_port();
    let receiver = Receiver::default().listen(port).await;
    let world = world(settings(port)).await;
    let refused = StatusCode::INTERNAL_SERVER_ERROR;
    let settled = async || {
        eventually(SOON, "all is delivered", async || {
            world.core.webhooks.figures()[0].queued == 0
        })
        .await;
    };
    settled().await;
    let before = receiver.got().len();
    receiver.will_answer(&[refused, StatusCode::FOUND]);
    pin(&world, "DEGRADED").await;
    eventually(SOON, "the third attempt", async || {
        receiver.got().len() >= before + 3
    })
    .await;
    settled().await;
    let got = receiver.got();
    let tries = &got[before..before + 3];
    for (headers, body) in tries {
        assert_eq!(
            headers["mainstay-delivery"],
            tries[0].0["mainstay-delivery"]
        );
        assert_eq!(body, &tries[0].1);
        assert_signed(headers, body);
    }
    let figures = &world.core.webhooks.figures()[0];
    assert_eq!(
        (figures.failed_attempts, figures.given_up),
        (2, 0),
        "{figures:?}"
    );
}

#[tokio::test]
async fn while_nobody_listens_the_oldest_are_dropped_and_counted_and_the_newest_arrive_later() {
    let port = free_port();
    let world = world(WebhookSettings {
        attempts: 1000,
        ..settings(port)
    })
    .await;
    for level in [
        "DEGRADED",
        "LIMITED",
        "MINIMAL",
        "EMERGENCY",
        "LIMITED",
        "MINIMAL",
    ] {
        pin(&world, level).await;
    }
    eventually(SOON, "the queue is full", async || {
        let figures = &world.core.webhooks.figures()[0];
        figures.queued == 3 && figures.dropped >= 3 && figures.failed_attempts > 0
    })
    .await;
    let dropped = r#"webhook_deliveries_total{webhook="on-call",status="dropped"}"#;
    assert!(world.metric(dropped).await.is_some_and(|n| n >= 3.0));

    let receiver = Receiver::default().listen(port).await;
    eventually(SOON, "what waited arrives", async || {
        world.core.webhooks.figures()[0].queued == 0
    })
    .await;
    let bodies = receiver.bodies();
    let newest = bodies.iter().rfind(|b| b["event"] == "level_changed");
    assert_eq!(newest.unwrap()["data"]["to"], "MINIMAL", "{bodies:?}");
}

#[tokio::test]
async fn a_receiver_that_refuses_for_ever_is_given_up_for_that_delivery_and_stops_nothing() {
    let port = free_port();
    let receiver = Receiver::default().listen(port).await;
    receiver.will_answer(&[StatusCode::GONE; 4]);
    let world = world(settings(port)).await;
    pin(&world, "LIMITED").await;
    eventually(SOON, "the first is given up", async || {
        world.core.webhooks.figures()[0].given_up == 1
    })
    .await;
    pin(&world, "DEGRADED").await;
    eventually(SOON, "a later one arrives", async || {
        world.core.webhooks.figures()[0].delivered >= 1
    })
    .await;
    assert_eq!(world.get("/status").await.status, StatusCode::OK);
}
