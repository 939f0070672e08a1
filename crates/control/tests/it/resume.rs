//! What a server that died or shut down left unfinished.

use innkeep_control::MakeFailed;
use innkeep_types::{RuntimeVersion, UnixMillis};
use serde_json::{Value, json};

use crate::plane::{Plane, plane, request};

#[tokio::test]
async fn versions_left_unmade_are_made_at_the_next_start() {
    let (plane, dir) = plane().await;
    plane.maker.failures.lock().extend([MakeFailed::ShuttingDown]);
    let created = plane.call("PUT", "/runtimes/", &request()).await.is(202);
    let id = created["agentRuntimeId"].as_str().unwrap();
    plane.tasks.finish().await;
    assert_eq!(plane.get(&format!("/runtimes/{id}/")).await.is(200)["status"], "CREATING");
    plane.store.close().await.unwrap();
    drop(plane);

    let plane = Plane::open(dir.path()).await;
    plane.control.resume().await.unwrap();
    assert_eq!(plane.settled(id).await.is(200)["status"], "READY");
    assert_eq!(plane.calls(), [format!("make {id} 1")]);
}

#[tokio::test]
async fn deletes_left_unfinished_are_finished_at_the_next_start() {
    let (plane, dir) = plane().await;
    let whole = plane.create("whole").await;
    let part = plane.create("part").await;
    for id in [&whole, &part] {
        plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
        plane.settled(id).await;
    }
    // The store alone knows: as if the server had died right after.
    plane.store.begin_delete(&whole.parse().unwrap(), None, None, UnixMillis::default()).await.unwrap();
    plane
        .store
        .begin_delete(&part.parse().unwrap(), Some(RuntimeVersion::FIRST), None, UnixMillis::default())
        .await
        .unwrap();
    plane.store.close().await.unwrap();
    drop(plane);

    let plane = Plane::open(dir.path()).await;
    plane.control.resume().await.unwrap();
    plane.tasks.finish().await;
    let mut calls = plane.calls();
    calls.sort();
    let mut want = [format!("unmake {whole}"), format!("unmake {part} 1")];
    want.sort();
    assert_eq!(calls, want);
    assert_eq!(plane.get(&format!("/runtimes/{whole}/")).await.status, 404);
    assert_eq!(plane.get(&format!("/runtimes/{part}/?version=1")).await.status, 404);
    assert_eq!(plane.get(&format!("/runtimes/{part}/")).await.is(200)["status"], json!("READY"));
    assert_eq!(
        plane.call("POST", "/runtimes/", &Value::Null).await.is(200)["agentRuntimes"].as_array().unwrap().len(),
        1
    );
}
