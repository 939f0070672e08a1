//! DeleteAgentRuntime: whole runtimes and single versions.

use serde_json::{Value, json};

use crate::plane::{plane, request};

#[tokio::test]
async fn a_deleted_runtime_is_deleting_until_its_sandboxes_are_gone() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.maker.open.send_replace(false);
    let path = format!("/runtimes/{id}/");
    let want = json!({"status": "DELETING", "agentRuntimeId": id});
    assert_eq!(plane.call("DELETE", &path, &Value::Null).await.is(202), want);
    assert_eq!(plane.get(&path).await.is(200)["status"], "DELETING");
    assert_eq!(plane.call("PUT", &path, &request()).await.status, 409);
    // A client that saw no answer asks again.
    assert_eq!(plane.call("DELETE", &path, &Value::Null).await.is(202), want);

    plane.maker.open.send_replace(true);
    assert_eq!(plane.settled(&id).await.exception.as_deref(), Some("ResourceNotFoundException"));
    assert_eq!(plane.calls(), [format!("make {id} 1"), format!("unmake {id}")]);
    assert_ne!(plane.create("hello").await, id, "the name is free again");
}

#[tokio::test]
async fn a_failed_runtime_can_be_deleted() {
    let (plane, _dir) = plane().await;
    plane.maker.fail_next("no");
    let id = plane.create("hello").await;
    plane.call("DELETE", &format!("/runtimes/{id}"), &Value::Null).await.is(202);
    assert_eq!(plane.settled(&id).await.status, 404);
}

#[tokio::test]
async fn one_version_is_deleted_unless_it_serves() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let only = plane.call("DELETE", &format!("/runtimes/{id}/?version=1"), &Value::Null).await;
    assert_eq!((only.status, only.exception.as_deref()), (409, Some("ConflictException")));
    plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
    plane.settled(&id).await;

    let serving = plane.call("DELETE", &format!("/runtimes/{id}/?version=2"), &Value::Null).await;
    let message =
        format!("version 2 of agent runtime {id} is served by its endpoint DEFAULT: deploy or roll back first");
    serving.refuses(409, "ConflictException", &message);

    let target = format!("/runtimes/{id}/?clientToken=0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40&version=1");
    let want = json!({"status": "DELETING", "agentRuntimeId": id, "agentRuntimeVersion": "1"});
    assert_eq!(plane.call("DELETE", &target, &Value::Null).await.is(202), want);
    let gone = format!("/runtimes/{id}/?version=1");
    let gone = plane.wait_for(|| async { Some(plane.get(&gone).await).filter(|answer| answer.status == 404) }).await;
    gone.refuses(404, "ResourceNotFoundException", &format!("version 1 of agent runtime {id} does not exist"));
    assert_eq!(plane.get(&format!("/runtimes/{id}/")).await.is(200)["status"], "READY");
    assert_eq!(plane.calls().last(), Some(&format!("unmake {id} 1")));
}

#[tokio::test]
async fn a_repeated_token_is_accepted_when_all_is_gone() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let target = format!("/runtimes/{id}/?clientToken=0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40");
    let first = plane.call("DELETE", &target, &Value::Null).await.is(202);
    assert_eq!(plane.settled(&id).await.status, 404);
    assert_eq!(plane.call("DELETE", &target, &Value::Null).await.is(202), first);
    assert_eq!(plane.call("DELETE", &format!("/runtimes/{id}/"), &Value::Null).await.status, 404);
    let other = plane.call("DELETE", &format!("{target}&version=1"), &Value::Null).await;
    assert_eq!(other.body["reason"], "IdempotentParameterMismatchException");
}
