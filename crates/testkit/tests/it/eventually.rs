use std::time::Duration;

use mainstay_testkit::{eventually, eventually_some};

#[tokio::test(start_paused = true)]
async fn a_condition_is_asked_again_until_it_holds() {
    let mut asked = 0;
    eventually(Duration::from_secs(1), "the fifth time", async || {
        asked += 1;
        asked == 5
    })
    .await;
    assert_eq!(asked, 5);
}

#[tokio::test(start_paused = true)]
async fn the_value_of_the_first_some_is_returned() {
    let mut values = [None, None, Some("ready")].into_iter();
    let deadline = Duration::from_secs(1);
    assert_eq!(
        eventually_some(deadline, "a value", async || values.next()?).await,
        "ready"
    );
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "in vain for: rain")]
async fn a_condition_that_never_holds_panics_with_its_name() {
    eventually(Duration::from_secs(3), "rain", async || false).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "hung) for: an answer")]
async fn an_attempt_that_hangs_is_given_up_at_the_deadline() {
    eventually_some::<()>(Duration::from_secs(3), "an answer", async || {
        std::future::pending().await
    })
    .await;
}
