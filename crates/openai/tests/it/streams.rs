//! Streamed chats: until the first content another provider can take over, after it an answer is whole or says
//! that it isn't.

use std::time::Duration;

use mainstay_breaker::State;
use mainstay_openai::{ProviderSettings, Settings};
use mainstay_runtime::{ErrorKind, Source};
use mainstay_testkit::{ModelApi, ModelApiMode, StreamFault, eventually};
use serde_json::json;

use crate::heard::Heard;
use crate::world::{LONG, World, chats, hello, provider, settings};

const TEXT: &str = "one two three";

fn error(kind: &str) -> StreamFault {
    StreamFault::Error { kind: kind.into() }
}

/// Providers that are soon given up.
fn impatient(apis: &[(&str, &ModelApi)]) -> Settings {
    let of = |(name, api): &(&str, &ModelApi)| ProviderSettings {
        deadline: Duration::from_secs(1),
        ..provider(name, api)
    };
    let mut settings = Settings {
        idle: Duration::from_secs(1),
        ..settings(apis.iter().map(of).collect())
    };
    // Here each fault is to meet the provider itself, not an open breaker.
    settings.breaker.consecutive = None;
    settings
}

async fn set(api: &ModelApi, tokens: usize, then: StreamFault) {
    api.set(ModelApiMode::Stream { tokens, then }).await;
}

#[tokio::test]
async fn a_stream_is_the_providers_own_chunks_to_a_good_end() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let heard = world.hear(TEXT).await.unwrap();
    assert_eq!(heard.source, Source::Provider("a".into()));
    assert_eq!(
        (heard.end.clone(), heard.text()),
        (Ok(()), format!("echo: {TEXT}"))
    );
    assert_eq!(heard.finish_reason(), Some("stop"));
    assert_eq!(heard.chunks.len(), 6, "the role, four tokens, the end");
    assert!(
        heard
            .chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
}

#[tokio::test]
async fn whatever_ails_a_stream_before_its_first_content_the_next_provider_takes_over_unseen() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::with(impatient(&[("a", &a), ("b", &b)])).await;
    let stream = |then| ModelApiMode::Stream { tokens: 0, then };
    let modes = [
        ModelApiMode::RateLimited { retry_after: 1 },
        ModelApiMode::Internal500,
        ModelApiMode::Hang,
        stream(StreamFault::Cut),
        stream(StreamFault::Stall),
        stream(StreamFault::BadJson),
        stream(error("server_error")),
        stream(error("overloaded_error")),
        stream(StreamFault::End),
        stream(StreamFault::DoneEarly),
        stream(StreamFault::KeepAlive { ms: 20 }),
    ];
    for (asked, mode) in (1..).zip(modes) {
        a.set(mode.clone()).await;
        let heard = world.hear(TEXT).await.unwrap();
        assert_eq!(heard.source, Source::Provider("b".into()), "{mode:?}");
        assert_eq!(
            (heard.end.clone(), heard.text()),
            (Ok(()), format!("echo: {TEXT}")),
            "{mode:?}"
        );
        assert_eq!(
            heard.chunks.len(),
            6,
            "nothing of the first provider: {mode:?}"
        );
        assert_eq!(chats(&a).await, asked, "{mode:?}");
    }
}

#[tokio::test]
async fn whatever_ails_a_stream_after_its_first_content_is_told_and_counts_as_failure() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::with(impatient(&[("a", &a), ("b", &b)])).await;
    let table = [
        (StreamFault::Cut, ErrorKind::Unavailable),
        (StreamFault::Stall, ErrorKind::Timeout),
        (StreamFault::BadJson, ErrorKind::BadAnswer),
        (error("server_error"), ErrorKind::Unavailable),
        (error("rate_limit_error"), ErrorKind::Unavailable),
        (StreamFault::End, ErrorKind::Unavailable),
        (StreamFault::DoneEarly, ErrorKind::Unavailable),
        (StreamFault::KeepAlive { ms: 20 }, ErrorKind::Timeout),
    ];
    for (failures, (then, kind)) in (1..).zip(table) {
        set(&a, 2, then.clone()).await;
        let heard = world.hear(TEXT).await.unwrap();
        assert_eq!(heard.text(), "echo: one ", "{then:?}");
        let end = heard.end.unwrap_err();
        assert_eq!(
            (end.kind, end.dependency),
            (kind, Some("openai")),
            "{then:?}: {end}"
        );
        assert!(
            end.retryable && end.detail.contains("`a`"),
            "{then:?}: {end}"
        );
        assert_eq!(world.totals("openai/a").failures, failures, "{then:?}");
    }
    assert_eq!(world.models.cache_bytes(), 0);
    assert_eq!(chats(&b).await, 0, "too late for another");
}

#[tokio::test]
async fn an_error_within_a_stream_never_repeats_the_providers_words() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    set(&api, 1, error(api.api_key())).await;
    let told = world.hear(TEXT).await.unwrap().end.unwrap_err().to_string();
    assert!(
        !told.contains(api.api_key()) && !told.contains("The stream failed"),
        "{told}"
    );
}

#[tokio::test]
async fn a_request_that_is_refused_within_the_stream_is_a_correct_no() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::new(vec![provider("a", &a), provider("b", &b)]).await;
    set(&a, 0, error("invalid_request_error")).await;
    let error = world.hear(TEXT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert_eq!((world.failures_in_row("openai/a"), chats(&b).await), (0, 0));
}

#[tokio::test]
async fn an_answer_cut_at_its_length_without_done_or_without_a_stream_is_whole() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let mut short = hello(TEXT);
    short.options.insert("max_tokens".into(), json!(2));
    let heard = Heard::of(world.begin_for(&world.ctx(), short).await.unwrap()).await;
    assert_eq!(
        (heard.end.clone(), heard.finish_reason()),
        (Ok(()), Some("length"))
    );
    assert_eq!(heard.text(), "echo: one ");
    for then in [StreamFault::NoDone, StreamFault::Whole] {
        set(&api, 2, then.clone()).await;
        let heard = world.hear(TEXT).await.unwrap();
        assert_eq!(
            (heard.end.clone(), heard.text()),
            (Ok(()), format!("echo: {TEXT}")),
            "{then:?}"
        );
    }
    assert_eq!(world.totals("openai/a").successes, Some(3));
}

#[tokio::test]
async fn a_success_counts_at_the_end_and_not_before() {
    let api = ModelApi::start().await;
    let world = World::with(Settings {
        stream_deadline: Duration::from_secs(1),
        ..settings(vec![provider("a", &api)])
    })
    .await;
    set(&api, 1, StreamFault::Endless { ms: 50 }).await;
    let mut begun = world.begin(TEXT).await.unwrap();
    begun.value.next().await.unwrap().unwrap();
    let totals = world.totals("openai/a");
    assert_eq!((totals.successes, totals.failures), (Some(0), 0));
    let (heard, took) = world.time(Heard::of(begun)).await;
    let end = heard.end.unwrap_err();
    assert_eq!(end.kind, ErrorKind::Timeout, "the total bound: {end}");
    assert!(end.detail.contains("not done in time"), "{end}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.totals("openai/a").failures, 1);
    eventually(LONG, "the provider to be left", async || {
        api.streams().await.abandoned == 1
    })
    .await;
    api.set(ModelApiMode::Ok).await;
    world.hear(TEXT).await.unwrap().end.unwrap();
    assert_eq!(world.totals("openai/a").successes, Some(1));
}

#[tokio::test]
async fn half_open_the_first_content_is_the_verdict() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    // Probes of the provider's models may close the breaker before a stream gets its turn: then it's tried again.
    for _ in 0..10 {
        api.set(ModelApiMode::Internal500).await;
        eventually(LONG, "the breaker to open", async || {
            world.begin(TEXT).await.unwrap_err();
            world.state("openai/a") == State::Open
        })
        .await;
        set(&api, 1, StreamFault::Endless { ms: 50 }).await;
        let (mut running, mut verdicts) = (Vec::new(), 0);
        eventually(LONG, "the breaker to close", async || {
            let before = world.totals("openai/a").successes;
            if let Ok(begun) = world.begin(TEXT).await {
                verdicts += usize::from(world.totals("openai/a").successes > before);
                running.push(begun);
            }
            world.state("openai/a") == State::Closed
        })
        .await;
        if verdicts > 0 {
            let open = api.streams().await.open;
            assert!(open >= running.len() as u64, "none has ended: {open}");
            return;
        }
    }
    panic!("no stream's first content was a verdict");
}

#[tokio::test]
async fn a_caller_who_leaves_cancels_the_providers_call_and_counts_as_neutral() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    for (gone, tokens) in [(1, 0), (2, 1)] {
        set(&api, tokens, StreamFault::Endless { ms: 20 }).await;
        let mut begun = world.begin(TEXT).await.unwrap();
        begun.value.next().await.unwrap().unwrap();
        assert_eq!(api.streams().await.open, 1);
        drop(begun);
        eventually(LONG, "the connection to close", async || {
            let streams = api.streams().await;
            (streams.open, streams.abandoned) == (0, gone)
        })
        .await;
        let totals = world.totals("openai/a");
        assert_eq!(
            (totals.neutral, totals.successes, totals.failures),
            (gone, Some(0), 0)
        );
    }
}

#[tokio::test]
async fn a_caller_who_leaves_a_provider_that_has_long_been_silent_has_seen_something_slow() {
    let api = ModelApi::start().await;
    let mut settings = settings(vec![provider("a", &api)]);
    if let Some(slow) = &mut settings.breaker.slow {
        slow.after = Duration::from_secs(1);
    }
    let world = World::with(settings).await;
    set(&api, 1, StreamFault::Stall).await;
    for (patience, slow) in [(0, 0), (1_500, 1)] {
        let begun = world.begin(TEXT).await.unwrap();
        world.pass::<()>(Duration::from_millis(patience)).await;
        drop(begun);
        eventually(LONG, "the call to be over", async || {
            api.streams().await.open == 0
        })
        .await;
        assert_eq!(world.totals("openai/a").slow, slow, "after {patience} ms");
    }
    assert_eq!(world.totals("openai/a").failures, 0);
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_first_content_cancels_the_call_too() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    set(&api, 0, StreamFault::KeepAlive { ms: 20 }).await;
    {
        let mut begun = Box::pin(world.begin(TEXT));
        eventually(LONG, "the provider to be asked", async || {
            assert!(futures_util::poll!(begun.as_mut()).is_pending());
            api.streams().await.open == 1
        })
        .await;
    }
    eventually(LONG, "the connection to close", async || {
        api.streams().await.abandoned == 1
    })
    .await;
    assert_eq!(
        (
            world.totals("openai/a").neutral,
            world.failures_in_row("openai/a")
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn a_caller_who_reads_slowly_holds_no_place_and_delays_no_verdict() {
    let api = ModelApi::start().await;
    let world = World::with(Settings {
        limit: 1,
        ..settings(vec![provider("a", &api)])
    })
    .await;
    let unread = world.begin(TEXT).await.unwrap();
    let ctx = world.ctx_for(2, LONG);
    world
        .models
        .chat(&ctx, hello("next, please"))
        .await
        .unwrap();
    assert_eq!(world.totals("openai/a").successes, Some(2));
    let heard = Heard::of(unread).await;
    assert_eq!(
        (heard.end.clone(), heard.text()),
        (Ok(()), format!("echo: {TEXT}"))
    );
}

#[tokio::test]
async fn what_a_caller_does_not_read_in_time_is_dropped_and_said_to_be() {
    let api = ModelApi::start().await;
    let world = World::with(Settings {
        stream_deadline: Duration::from_secs(2),
        ..settings(vec![provider("a", &api)])
    })
    .await;
    let mut unread = world.begin(TEXT).await.unwrap();
    let (error, took) = world
        .time(mainstay_testkit::eventually_some(
            LONG,
            "the answer to be dropped",
            async || {
                // One chunk at a time, and never to the end.
                match unread.value.next().await {
                    Some(Err(error)) => Some(error),
                    Some(Ok(_)) => world.pass(Duration::from_millis(500)).await,
                    None => panic!("read to the end"),
                }
            },
        ))
        .await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    assert_eq!(
        world.totals("openai/a").successes,
        Some(1),
        "the provider did its work"
    );
}

#[tokio::test]
async fn an_answer_that_grows_unread_is_given_up_within_its_bound() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    set(&api, 1, StreamFault::Flood).await;
    let unread = world.begin(TEXT).await.unwrap();
    eventually(LONG, "the provider to be left", async || {
        api.streams().await.abandoned == 1
    })
    .await;
    let heard = Heard::of(unread).await;
    assert_eq!(heard.end.unwrap_err().kind, ErrorKind::Timeout);
    let bytes: usize = heard
        .chunks
        .iter()
        .map(|chunk| chunk.to_string().len())
        .sum();
    assert!(bytes <= 4 << 20, "{bytes}");
    let totals = world.totals("openai/a");
    assert_eq!(
        (totals.neutral, totals.failures),
        (1, 0),
        "not the provider's fault"
    );
}

#[tokio::test]
async fn a_frozen_provider_gets_half_of_the_time_while_another_is_left() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::with(Settings {
        total_deadline: Duration::from_secs(4),
        ..settings(vec![provider("a", &a), provider("b", &b)])
    })
    .await;
    a.stop().await;
    let (heard, took) = world.time(world.hear(TEXT)).await;
    assert_eq!(heard.unwrap().source, Source::Provider("b".into()));
    assert!(
        took >= Duration::from_millis(1_900) && took < Duration::from_secs(4),
        "{took:?}"
    );
}
