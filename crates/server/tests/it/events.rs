//! `/events`: a list, and a stream that goes on where a reader left off.

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::World;

/// Reads a stream of server-sent events.
struct Reader {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Sent {
    id: Option<u64>,
    kind: String,
    data: Value,
}

impl Reader {
    async fn open(world: &World, last: Option<&str>) -> Self {
        let mut request = world
            .request(Method::GET, "/events")
            .header(header::ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = world.app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    async fn next(&mut self) -> Option<Sent> {
        while !self.text.contains("\n\n") {
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let line = event.lines().find_map(|l| l.strip_prefix(name));
            line.map(|l| l.trim_start_matches(": ").to_owned())
        };
        let sent = Sent {
            id: field("id").map(|id| id.parse().unwrap()),
            kind: field("event").unwrap_or_default(),
            data: serde_json::from_str(&field("data").unwrap_or_default()).unwrap_or_default(),
        };
        self.text = rest.to_owned();
        Some(sent)
    }
}

async fn pin(world: &World, level: &str) {
    let body = json!({"level": level, "reason": "a rehearsal"});
    let reply = world.post("/admin/level/pin", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

#[tokio::test]
async fn the_list_is_the_newest_events_oldest_first() {
    let world = World::healthy().await;
    pin(&world, "LIMITED").await;
    let request = |limit: u32| {
        world
            .request(Method::GET, &format!("/events?limit={limit}"))
            .header(header::ACCEPT, "application/json")
            .body(Body::empty())
            .unwrap()
    };
    let all = world.send(request(1000)).await.body;
    let all = all.as_array().unwrap();
    let ids: Vec<_> = all.iter().map(|e| e["id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    let kinds: Vec<_> = all.iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert!(
        kinds.contains(&"operator") && kinds.contains(&"level_pinned"),
        "{kinds:?}"
    );
    assert!(
        all.iter()
            .all(|e| e["message"].is_string() && e["at"].is_string())
    );
    let newest = world.send(request(1)).await.body;
    assert_eq!(newest[0]["id"].as_u64(), ids.last().copied());
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_every_event_after_its_last_once() {
    let world = World::healthy().await;
    let mut live = Reader::open(&world, None).await;
    pin(&world, "LIMITED").await;
    let first = live.next().await.unwrap();
    assert_eq!(
        first.kind, "operator",
        "what happened before it came is not sent: {first:?}"
    );
    assert!(
        first.data["message"]
            .as_str()
            .is_some_and(|m| m.contains("root"))
    );
    drop(live);

    pin(&world, "DEGRADED").await;
    let last = first.id.unwrap();
    let mut back = Reader::open(&world, Some(&last.to_string())).await;
    let kept = world.core.handle.events().recent(1000);
    let missed = kept.iter().filter(|event| event.id > last);
    for expected in missed {
        let sent = back.next().await.unwrap();
        assert_eq!(
            (sent.id, sent.kind.as_str()),
            (Some(expected.id), expected.kind)
        );
        assert_eq!(sent.data["message"], expected.message.as_str());
    }
    pin(&world, "MINIMAL").await;
    let next = back.next().await.unwrap();
    assert!(next.id.unwrap() > kept.last().unwrap().id, "{next:?}");
}

#[tokio::test]
async fn an_id_of_an_earlier_process_replays_what_is_kept_and_nonsense_is_no_id() {
    let world = World::healthy().await;
    let mut replay = Reader::open(&world, Some("999999")).await;
    assert_eq!(replay.next().await.unwrap().id, Some(1));
    let mut live = Reader::open(&world, Some("nonsense")).await;
    pin(&world, "LIMITED").await;
    assert_eq!(live.next().await.unwrap().kind, "operator");
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let world = World::healthy().await;
    let mut reader = Reader::open(&world, None).await;
    world.core.handle.stopping().cancel();
    assert_eq!(reader.next().await, None);
}
