use mainstay_s3::contract;
use mainstay_testkit::S3;

use crate::world::World;

#[tokio::test]
async fn the_folder_keeps_the_contract() {
    let world = World::embedded().await;
    contract::all(&world.objects).await;
}

#[tokio::test]
async fn an_s3_server_keeps_the_contract() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    contract::all(&world.objects).await;
}

#[tokio::test]
async fn the_folder_survives_its_process() {
    let world = World::embedded().await;
    contract::put(&world.objects, "a/b", &contract::content(7))
        .await
        .unwrap();
    let world = world.reopen().await;
    assert_eq!(
        contract::get(&world.objects, "a/b", None)
            .await
            .unwrap()
            .value,
        contract::content(7)
    );
}

#[tokio::test]
async fn the_folder_refuses_keys_that_files_cannot_have() {
    use mainstay_runtime::ErrorKind;
    let world = World::embedded().await;
    let objects = &world.objects;
    contract::put(objects, "a", &contract::content(1))
        .await
        .unwrap();
    contract::put(objects, "b/c", &contract::content(1))
        .await
        .unwrap();
    let long = "x".repeat(250);
    for name in ["a/b", "b", "a#1", &long] {
        let refused = contract::put(objects, name, &contract::content(1))
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidInput, "{name}");
    }
    for name in ["a/b", "b", "a/b/c", &long] {
        let missing = contract::get(objects, name, None).await.unwrap_err();
        assert_eq!(missing.kind, ErrorKind::NotFound, "{name}");
        objects
            .delete(&contract::context(objects), &contract::key(name), None)
            .await
            .unwrap();
    }
    objects
        .delete(&contract::context(objects), &contract::key("b/c"), None)
        .await
        .unwrap();
    contract::put(objects, "b", &contract::content(1))
        .await
        .unwrap();
    assert_eq!(objects.guard().snapshot().failures_in_row, 0);
}
