//! Versions are made a few at a time, in the order in which they were asked for.

use std::collections::BTreeSet;

use innkeep_types::RuntimeStatus;
use serde_json::json;

use crate::plane::{Plane, request};

/// Creates so many runtimes and returns their ids in order; none is awaited.
async fn create(plane: &Plane, n_runtimes: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..n_runtimes {
        let mut body = request();
        body["agentRuntimeName"] = json!(format!("agent_{n}"));
        let created = plane.call("PUT", "/runtimes/", &body).await.is(202);
        ids.push(created["agentRuntimeId"].as_str().unwrap().to_owned());
    }
    ids
}

fn made(ids: &[String]) -> Vec<String> {
    ids.iter().map(|id| format!("make {id} 1")).collect()
}

#[tokio::test]
async fn a_thousand_creates_are_made_two_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::open_with(dir.path(), 2).await;
    plane.maker.open.send_replace(false);
    let ids = create(&plane, 1000).await;
    plane.wait_for(|| async { (plane.calls().len() == 2).then_some(()) }).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // Each is read from the store when its turn comes, so that neighbours may overtake each other.
    assert_eq!(BTreeSet::from_iter(plane.calls()), BTreeSet::from_iter(made(&ids[..2])));

    plane.maker.open.send_replace(true);
    plane.wait_for(|| async { plane.store.unfinished().await.unwrap().is_empty().then_some(()) }).await;
    assert_eq!(BTreeSet::from_iter(plane.calls()), BTreeSet::from_iter(made(&ids)));
    assert_eq!((plane.calls().len(), *plane.maker.most_at_once.lock()), (1000, 2));
}

#[tokio::test]
async fn creates_are_made_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::open_with(dir.path(), 1).await;
    let ids = create(&plane, 100).await;
    plane.settled(&ids[99]).await;
    assert_eq!(plane.calls(), made(&ids));
}

#[tokio::test]
async fn moves_of_endpoints_wait_their_turn_too() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::open_with(dir.path(), 1).await;
    let id = plane.create("hello").await;
    plane.maker.open.send_replace(false);
    plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
    plane.wait_for(|| async { (plane.calls().len() == 2).then_some(()) }).await;
    for n in 0..3 {
        let endpoint = json!({"name": format!("e{n}"), "agentRuntimeVersion": "1"});
        plane.call("PUT", &format!("/runtimes/{id}/runtime-endpoints/"), &endpoint).await.is(202);
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut want = vec![format!("make {id} 1"), format!("make {id} 2")];
    assert_eq!(plane.calls(), want);

    plane.maker.open.send_replace(true);
    plane.settled(&id).await;
    plane.wait_for(|| async { plane.store.unfinished_endpoints(None).await.unwrap().is_empty().then_some(()) }).await;
    want.extend(vec![format!("check {id} 1"); 3]);
    assert_eq!(plane.calls(), want);
    assert_eq!(*plane.maker.most_at_once.lock(), 1);
}

#[tokio::test]
async fn what_waits_behind_a_check_that_panics_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::open_with(dir.path(), 1).await;
    plane.maker.open.send_replace(false);
    let ids = create(&plane, 3).await;
    *plane.maker.panics.lock() = true;
    plane.maker.open.send_replace(true);
    for id in &ids[1..] {
        assert_eq!(plane.settled(id).await.is(200)["status"], "READY");
    }
    assert_eq!(plane.get(&format!("/runtimes/{}/", ids[0])).await.is(200)["status"], "CREATING");
}

#[tokio::test]
async fn without_checks_all_stays_creating_until_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::open_with(dir.path(), 0).await;
    let ids = create(&plane, 3).await;
    plane.tasks.finish().await;
    assert_eq!(plane.calls(), Vec::<String>::new());
    for id in &ids {
        assert_eq!(plane.get(&format!("/runtimes/{id}/")).await.is(200)["status"], "CREATING");
    }
    plane.store.close().await.unwrap();
    drop(plane);

    let plane = Plane::open_with(dir.path(), 1).await;
    plane.control.resume().await.unwrap();
    for id in &ids {
        assert_eq!(plane.settled(id).await.is(200)["status"], "READY");
    }
}

#[tokio::test]
async fn what_waits_at_shutdown_is_left_to_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::open_with(dir.path(), 1).await;
    plane.maker.open.send_replace(false);
    let ids = create(&plane, 5).await;
    plane.wait_for(|| async { (plane.calls().len() == 1).then_some(()) }).await;
    plane.tasks.stopping().cancel();
    plane.maker.open.send_replace(true);
    plane.tasks.finish().await;
    assert_eq!(plane.calls(), made(&ids[..1]));
    let left = plane.store.unfinished().await.unwrap();
    assert!(left.len() == 4 && left.iter().all(|version| version.status == RuntimeStatus::Creating));
    plane.store.close().await.unwrap();
    drop(plane);

    let plane = Plane::open_with(dir.path(), 1).await;
    plane.control.resume().await.unwrap();
    for id in &ids {
        assert_eq!(plane.settled(id).await.is(200)["status"], "READY");
    }
    assert_eq!(plane.calls().len(), 4);
}
