//! Going back to older versions, and comparing them.

use innkeep_protocol::diff::MASK;
use innkeep_protocol::operator::Rollback;
use innkeep_types::RuntimeVersion;
use serde_json::{Value, json};

use crate::plane::{Plane, plane, request_with};

async fn rollback(plane: &Plane, id: &str, asked: Value) -> (u16, Value) {
    let asked: Rollback = serde_json::from_value(asked).unwrap();
    Plane::answer(plane.control.rollback(id.parse().unwrap(), asked).await).await
}

async fn diff(plane: &Plane, id: &str, from: Option<u32>, to: Option<u32>) -> (u16, Value) {
    let version = |n: Option<u32>| n.and_then(RuntimeVersion::new);
    Plane::answer(plane.control.diff_versions(&id.parse().unwrap(), version(from), version(to)).await).await
}

/// Returns a runtime with versions 1, 2 and 3, of which 2 failed.
async fn three(plane: &Plane) -> String {
    let id = plane.create("hello").await;
    plane.maker.fail_next("nothing listens on port 8080");
    for colour in ["green", "red"] {
        let body = request_with("environmentVariables", json!({"COLOUR": colour}));
        plane.call("PUT", &format!("/runtimes/{id}/"), &body).await.is(202);
        plane.settled(&id).await;
    }
    id
}

#[tokio::test]
async fn of_default_a_copy_is_published_that_runs_the_same_bundle() {
    let (plane, _dir) = plane().await;
    let id = three(&plane).await;
    let (status, accepted) = rollback(&plane, &id, json!({})).await;
    assert_eq!((status, &accepted["agentRuntimeVersion"], &accepted["status"]), (202, &json!("4"), &json!("UPDATING")));
    let mut now = plane.settled(&id).await.is(200);
    assert_eq!(plane.calls().last().unwrap(), &format!("make {id} 4 of abab"));
    let mut old = plane.get(&format!("/runtimes/{id}/?version=1")).await.is(200);
    for version in [&mut now, &mut old] {
        version.as_object_mut().unwrap().remove("agentRuntimeVersion");
    }
    assert_eq!(now, old);

    let (_, accepted) = rollback(&plane, &id, json!({"version": 3})).await;
    assert_eq!(accepted["agentRuntimeVersion"], "5");
    plane.settled(&id).await;
    let (status, refused) = rollback(&plane, &id, json!({"version": 2})).await;
    assert!(status == 409 && refused["message"].as_str().unwrap().contains("UPDATE_FAILED"), "{refused}");
    assert_eq!(rollback(&plane, &id, json!({"version": 9})).await.0, 404);
    assert_eq!(rollback(&plane, "hello-0123456789", json!({})).await.0, 404);
}

#[tokio::test]
async fn a_named_endpoint_moves_and_nothing_is_published() {
    let (plane, _dir) = plane().await;
    let id = three(&plane).await;
    let endpoints = format!("/runtimes/{id}/runtime-endpoints/");
    plane.call("PUT", &endpoints, &json!({"name": "prod"})).await.is(202);
    let live = async |version: &str| {
        plane
            .wait_for(|| async {
                let endpoint = plane.get(&format!("{endpoints}prod/")).await.is(200);
                (endpoint["liveVersion"] == version && endpoint["status"] == "READY").then_some(())
            })
            .await;
    };
    live("3").await;
    let (status, accepted) = rollback(&plane, &id, json!({"endpoint": "prod"})).await;
    assert_eq!((status, &accepted["targetVersion"]), (202, &json!("1")));
    live("1").await;
    let (status, refused) = rollback(&plane, &id, json!({"endpoint": "prod"})).await;
    assert!(status == 404 && refused["message"].as_str().unwrap().contains("no READY version before"), "{refused}");
    rollback(&plane, &id, json!({"endpoint": "prod", "version": 3})).await;
    live("3").await;
    assert_eq!(rollback(&plane, &id, json!({"endpoint": "none"})).await.0, 404);
    assert_eq!(plane.settled(&id).await.is(200)["agentRuntimeVersion"], "3");
}

#[tokio::test]
async fn versions_are_compared_without_what_may_be_secret() {
    let (plane, _dir) = plane().await;
    let id = three(&plane).await;
    let changed = json!([{"path": "environmentVariables.COLOUR", "before": MASK, "after": MASK}]);
    assert_eq!(diff(&plane, &id, None, None).await, (200, json!({"from": 2, "to": 3, "differences": changed})));
    let added = json!([{"path": "environmentVariables.COLOUR", "after": MASK}]);
    assert_eq!(diff(&plane, &id, Some(1), Some(2)).await, (200, json!({"from": 1, "to": 2, "differences": added})));
    for (from, to) in [(None, Some(1)), (Some(9), None), (None, Some(9))] {
        assert_eq!(diff(&plane, &id, from, to).await.0, 404, "{from:?} {to:?}");
    }
    assert_eq!(diff(&plane, "hello-0123456789", None, None).await.0, 404);
}
