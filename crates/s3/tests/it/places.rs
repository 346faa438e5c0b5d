//! Work that comes in another dependency's place, when the few places for it are taken.

use mainstay_runtime::degradation::DependencyId;
use mainstay_runtime::{Answer, Call, Context, Error, ErrorKind, Running, Source, Status};
use mainstay_s3::{PART, Receipt, Upload, contract};
use mainstay_testkit::S3;

use crate::world::{World, patient};

/// No dependency of this world: whose place it is, is all the same.
const ANOTHER: Option<DependencyId> = Some(DependencyId(9));

fn instead(world: &World) -> Context {
    contract::context(&world.objects).instead_of(ANOTHER)
}

/// As many calls in another's place as the store takes at once.
async fn fill(world: &World) -> Vec<Running> {
    let mut running = Vec::new();
    let begin = || Call::new("test", &instead(world));
    while let Ok(one) = world.objects.guard().begin(begin()).await {
        running.push(one);
        assert!(running.len() <= 32, "there is an end to them");
    }
    running
}

async fn put(world: &World, ctx: &Context, bytes: usize) -> Result<Answer<Receipt>, Error> {
    let (key, body) = (contract::key("new"), contract::content(bytes));
    let body = contract::body(&body);
    world.objects.put(ctx, &key, body, &Upload::default()).await
}

#[tokio::test]
async fn a_write_in_anothers_place_that_finds_none_is_refused_and_not_kept_for_later() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| patient(settings)).await;
    world.until_closed().await;
    world.stored("old", "x").await;
    let running = fill(&world).await;
    assert_eq!(running.len(), 16);
    let (old, new) = (contract::key("old"), contract::key("new"));
    let ctx = instead(&world);
    let objects = &world.objects;
    for (what, ended) in [
        ("whole", put(&world, &ctx, 1).await),
        ("parts", put(&world, &ctx, PART + 1).await),
        ("delete", objects.delete(&ctx, &old, None).await),
        ("copy", objects.copy(&ctx, &old, &new, None).await),
    ] {
        let refused = ended.expect_err(what);
        assert_eq!(refused.kind, ErrorKind::Busy, "{what}");
        assert!(refused.retry_after.is_some(), "{what}");
    }
    let rejected = |report: &mainstay_runtime::Report| report.status == Status::Rejected;
    assert_eq!(
        world.reports().iter().filter(|one| rejected(one)).count(),
        4
    );
    assert_eq!(objects.journal().stats().entries, 0, "nothing waits");

    let own = put(&world, &contract::context(objects), 1).await;
    assert_eq!(own.expect("its own work").source, Source::Primary);
    drop(running);
    let again = objects.delete(&ctx, &old, None).await;
    assert_eq!(again.expect("there is room").source, Source::Primary);
}

#[tokio::test]
async fn a_write_in_anothers_place_is_accepted_while_the_store_is_down_itself() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    let _running = fill(&world).await;
    server.kill().await;
    world.until_open().await;
    let accepted = put(&world, &instead(&world), 1).await.expect("accepted");
    assert!(matches!(accepted.value, Receipt::Accepted { .. }));
    let gone = (world.objects)
        .delete(&instead(&world), &contract::key("old"), None)
        .await;
    let gone = gone.expect("accepted");
    assert!(matches!(gone.value, Receipt::Accepted { .. }));
}
