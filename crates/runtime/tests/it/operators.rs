//! What operators set by hand.

use std::time::Duration;

use mainstay_runtime::breaker::{Mode, State};
use mainstay_runtime::degradation::{FeatureMode, Level};
use mainstay_runtime::{Action, ErrorKind};

use crate::world::{Setup, World, command};

fn mode(endpoint: &str, mode: Mode) -> Action {
    Action::Mode {
        endpoint: endpoint.to_owned(),
        mode,
    }
}

fn knob(mode: Option<FeatureMode>) -> Action {
    Action::Knob {
        feature: "s3_uploads".to_owned(),
        mode,
    }
}

fn all_three() -> [Action; 3] {
    [
        mode("redis", Mode::ForcedOpen),
        Action::Pin(Level::Limited),
        knob(Some(FeatureMode::Off)),
    ]
}

/// Breaker of redis, level, mode of s3_uploads.
fn seen(world: &World) -> (State, Level, FeatureMode) {
    let feature = world.handle.feature("s3_uploads").unwrap().mode;
    (world.state("redis"), world.level(), feature)
}

const IN_FORCE: (State, Level, FeatureMode) = (State::Open, Level::Limited, FeatureMode::Off);

fn file(world: &World) -> String {
    std::fs::read_to_string(world.data.path().join("operator.json")).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_command_is_kept_and_in_force_when_it_is_answered() {
    let world = World::new().await;
    let words = ["forced_open", "LIMITED", "off"];
    for (action, word) in all_three().into_iter().zip(words) {
        world.command(action).await.unwrap();
        assert!(file(&world).contains(word), "{}", file(&world));
    }
    assert_eq!(seen(&world), IN_FORCE);
    let state = world.handle.operator_state();
    assert_eq!(
        state.pin.as_ref().map(|held| held.actor.as_str()),
        Some("ana")
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_engine_on_the_same_folder_takes_everything_up() {
    let world = World::new().await;
    for action in all_three() {
        world.command(action).await.unwrap();
    }
    world.handle.shutdown(Duration::from_secs(1)).await;
    let (handle, probes) = Setup::default().start_in(world.data.path()).unwrap();
    let World { data, .. } = world;
    let again = World {
        handle,
        probes,
        data,
    };
    again.pass(1).await;
    assert_eq!(seen(&again), IN_FORCE);
}

#[tokio::test(start_paused = true)]
async fn what_has_an_end_ends() {
    let world = World::new().await;
    for action in all_three() {
        let command = command(action, Some(Duration::from_secs(60)));
        world.handle.command(command).await.unwrap();
    }
    world.pass(58_000).await;
    assert_eq!(seen(&world), IN_FORCE);
    world.pass(4_000).await;
    let (state, _, feature) = seen(&world);
    assert_eq!((state, feature), (State::Closed, FeatureMode::On));
    assert_eq!(world.handle.snapshot().pin, None);
    let kept = world.handle.operator_state();
    assert!(kept.modes.is_empty() && kept.pin.is_none() && kept.knobs.is_empty());
    assert!(!file(&world).contains("ana"), "{}", file(&world));
    let events = world.handle.events().recent(99);
    assert!(events.iter().any(|event| event.kind == "mode_expired"));
}

#[tokio::test(start_paused = true)]
async fn what_ran_out_while_the_process_was_down_is_not_taken_up() {
    let data = tempfile::tempdir().unwrap();
    let held = |value| {
        serde_json::json!({
            "value": value, "actor": "ana", "reason": "test",
            "since": "2020-01-01T00:00:00Z", "expires": "2020-01-01T01:00:00Z",
        })
    };
    let text = serde_json::json!({
        "modes": {"redis": held("forced_open")}, "pin": held("MINIMAL"), "knobs": {"s3_uploads": held("off")},
    });
    std::fs::write(data.path().join("operator.json"), text.to_string()).unwrap();
    let (handle, probes) = Setup::default().start_in(data.path()).unwrap();
    let world = World {
        handle,
        probes,
        data,
    };
    world.pass(1).await;
    assert_eq!(
        seen(&world),
        (State::Closed, Level::Optimal, FeatureMode::On)
    );
    assert!(
        world
            .handle
            .events()
            .recent(99)
            .iter()
            .all(|event| event.kind != "level_pinned")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_set_can_be_taken_back() {
    let world = World::new().await;
    let back = [mode("redis", Mode::Auto), Action::Unpin, knob(None)];
    for action in all_three().into_iter().chain(back) {
        world.command(action).await.unwrap();
    }
    let (state, _, feature) = seen(&world);
    assert_eq!((state, feature), (State::Closed, FeatureMode::On));
    assert!(!file(&world).contains("ana"));
}

#[tokio::test(start_paused = true)]
async fn a_command_with_an_end_gives_way_to_a_later_one_without() {
    let world = World::new().await;
    let short = command(Action::Pin(Level::Minimal), Some(Duration::from_secs(10)));
    world.handle.command(short).await.unwrap();
    world.command(Action::Pin(Level::Limited)).await.unwrap();
    world.pass(60_000).await;
    assert_eq!(world.level(), Level::Limited);
    assert!(world.handle.operator_state().pin.is_some());
}

#[tokio::test(start_paused = true)]
async fn unknown_names_are_errors_and_nothing_is_kept() {
    let world = World::new().await;
    let unknown = Action::Knob {
        feature: "teleport".to_owned(),
        mode: None,
    };
    let reset = Action::Reset {
        endpoint: "mysql".to_owned(),
    };
    for action in [mode("mysql", Mode::ForcedOpen), unknown, reset] {
        let error = world.command(action).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    }
    assert_eq!(file(&world), "");
}

#[tokio::test(start_paused = true)]
async fn reset_closes_a_breaker() {
    let world = World::new().await;
    world.open("database").await;
    let reset = Action::Reset {
        endpoint: "database".to_owned(),
    };
    world.command(reset).await.unwrap();
    assert_eq!(world.state("database"), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn every_command_is_audited() {
    let world = World::new().await;
    world.command(Action::Pin(Level::Limited)).await.unwrap();
    let events = world.handle.events().recent(99);
    let audit = events
        .iter()
        .find(|event| event.kind == "operator")
        .unwrap();
    assert_eq!(audit.message, "ana pinned the level to LIMITED");
    assert_eq!(audit.data["reason"], "maintenance");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_not_carried_out() {
    let world = World::new().await;
    std::fs::remove_dir_all(world.data.path()).unwrap();
    let error = world
        .command(mode("redis", Mode::ForcedOpen))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert_eq!(world.state("redis"), State::Closed);
    assert!(world.handle.operator_state().modes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_stops_the_start_with_its_name() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("operator.json"), "not json").unwrap();
    let error = Setup::default().start_in(data.path()).err().unwrap();
    assert!(error.detail.contains("operator.json"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_has_ended_is_told_and_hears_nothing() {
    let setup = Setup {
        prepare: Some(Box::new(|engine, guards| {
            engine.on_limit(&guards[2], |_| panic!("whoever is told of limits"));
        })),
        ..Setup::default()
    };
    let world = World::from(setup).await;
    assert!(!world.handle.has_failed());
    let mut settings = crate::reload::settings(&Setup::default());
    settings.endpoints[2].limit = 12;
    let pin = Action::Pin(Level::Limited);
    for unheard in [
        world.handle.reload(settings).await.unwrap_err(),
        world.command(pin).await.unwrap_err(),
    ] {
        assert_eq!(unheard.kind, ErrorKind::Unavailable, "{unheard}");
        assert!(unheard.detail.contains("started again"), "{unheard}");
    }
    world.handle.failed().await;
    assert!(world.handle.has_failed());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_asked_for_is_no_failure() {
    let world = World::new().await;
    world.handle.shutdown(Duration::from_secs(1)).await;
    assert!(!world.handle.has_failed());
}
