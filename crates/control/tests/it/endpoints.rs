//! Named endpoints.

use serde_json::{Value, json};

use crate::plane::{Answer, NOW, Plane, plane, request};

const TOKEN: &str = "0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40";

fn endpoints(id: &str) -> String {
    format!("/runtimes/{id}/runtime-endpoints/")
}

impl Plane {
    /// Adds a version and waits until it is made.
    async fn update(&self, id: &str) {
        self.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
        self.settled(id).await;
    }

    async fn create_endpoint(&self, id: &str, body: Value) -> Answer {
        self.call("PUT", &endpoints(id), &body).await
    }

    /// Returns the endpoint once nothing of it is in progress.
    async fn at_rest(&self, id: &str, name: &str) -> Answer {
        self.wait_for(|| async {
            let answer = self.get(&format!("{}{name}/", endpoints(id))).await;
            let in_progress = answer.body["status"].as_str().is_some_and(|status| status.ends_with("ING"));
            (!in_progress).then_some(answer)
        })
        .await
    }
}

#[tokio::test]
async fn an_endpoint_is_created_once_its_version_was_checked() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.update(&id).await;
    plane.maker.open.send_replace(false);
    let body = json!({"name": "prod", "agentRuntimeVersion": "1", "description": "for all", "tags": {"team": "a"}});
    let arn = format!("arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/{id}");
    let created = plane.create_endpoint(&id, body).await.is(202);
    let want = json!({
        "targetVersion": "1",
        "agentRuntimeEndpointArn": format!("{arn}/runtime-endpoint/prod"),
        "agentRuntimeArn": arn,
        "agentRuntimeId": id,
        "endpointName": "prod",
        "status": "CREATING",
        "createdAt": NOW,
    });
    assert_eq!(created, want);
    assert_eq!(plane.get(&format!("{}prod", endpoints(&id))).await.is(200)["liveVersion"], Value::Null);
    plane.maker.open.send_replace(true);
    let shown = plane.at_rest(&id, "prod").await.is(200);
    let want = json!({
        "name": "prod",
        "id": format!("prod-{}", id.rsplit_once('-').unwrap().1),
        "liveVersion": "1",
        "targetVersion": "1",
        "agentRuntimeEndpointArn": format!("{arn}/runtime-endpoint/prod"),
        "agentRuntimeArn": arn,
        "description": "for all",
        "status": "READY",
        "createdAt": NOW,
        "lastUpdatedAt": NOW,
    });
    assert_eq!(shown, want);
    assert_eq!(plane.calls().last(), Some(&format!("check {id} 1")), "checked though it was made before");
    let listed = plane.call("POST", &endpoints(&id), &Value::Null).await.is(200);
    assert_eq!(listed["runtimeEndpoints"][1], shown);
    assert_eq!(plane.get(&format!("/tags/{arn}/runtime-endpoint/prod")).await.is(200), json!({"tags": {"team": "a"}}));
}

#[tokio::test]
async fn a_move_goes_through_or_leaves_what_serves() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.create_endpoint(&id, json!({"name": "prod"})).await.is(202);
    plane.at_rest(&id, "prod").await;
    plane.update(&id).await;
    let path = format!("{}prod/", endpoints(&id));

    plane.maker.fail_next("nothing listens on port 8080");
    let moving = plane.call("PUT", &path, &json!({"agentRuntimeVersion": "2"})).await.is(202);
    let arn = format!("arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/{id}");
    let want = json!({
        "liveVersion": "1",
        "targetVersion": "2",
        "agentRuntimeEndpointArn": format!("{arn}/runtime-endpoint/prod"),
        "agentRuntimeArn": arn,
        "status": "UPDATING",
        "createdAt": NOW,
        "lastUpdatedAt": NOW,
    });
    assert_eq!(moving, want);
    let failed = plane.at_rest(&id, "prod").await.is(200);
    assert_eq!((&failed["status"], &failed["liveVersion"]), (&json!("UPDATE_FAILED"), &json!("1")));
    assert_eq!(failed["failureReason"], "nothing listens on port 8080");
    assert!(!failed.to_string().contains("secret line"));
    let listed = plane.call("POST", &endpoints(&id), &Value::Null).await.is(200);
    assert_eq!(listed["runtimeEndpoints"][1]["failureReason"], Value::Null, "a list has no place for it");

    plane.call("PUT", &path, &json!({"agentRuntimeVersion": "2", "description": "new"})).await.is(202);
    let moved = plane.at_rest(&id, "prod").await.is(200);
    assert_eq!([&moved["status"], &moved["liveVersion"], &moved["description"]], ["READY", "2", "new"]);
    assert_eq!(moved["failureReason"], Value::Null);
    // Words alone boot nothing.
    let n_calls = plane.calls().len();
    assert_eq!(plane.call("PUT", &path, &json!({"description": "newer"})).await.is(202)["status"], "READY");
    let described = plane.get(&path).await.is(200);
    assert_eq!([&described["liveVersion"], &described["description"]], ["2", "newer"]);
    plane.tasks.finish().await;
    assert_eq!(plane.calls().len(), n_calls);
}

#[tokio::test]
async fn a_version_that_is_being_made_is_waited_for() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    for (name, fails) in [("good", false), ("bad", true)] {
        plane.maker.open.send_replace(false);
        plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
        let created = plane.create_endpoint(&id, json!({"name": name})).await.is(202);
        assert_eq!(created["status"], "CREATING");
        if fails {
            plane.maker.fail_next("exit code 3");
        }
        plane.maker.open.send_replace(true);
        plane.settled(&id).await;
        let shown = plane.at_rest(&id, name).await.is(200);
        assert_eq!(shown["status"], if fails { "CREATE_FAILED" } else { "READY" });
        if fails {
            assert_eq!(shown["failureReason"], "version 3 could not be made: exit code 3");
        }
    }
}

#[tokio::test]
async fn changes_wait_for_each_other() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.maker.open.send_replace(false);
    plane.create_endpoint(&id, json!({"name": "prod"})).await.is(202);
    let path = format!("{}prod/", endpoints(&id));
    let says = format!("endpoint prod of agent runtime {id} is CREATING: wait until that has ended");
    plane.call("PUT", &path, &json!({})).await.refuses(409, "ConflictException", &says);
    plane.call("DELETE", &path, &Value::Null).await.refuses(409, "ConflictException", &says);
    plane.call("DELETE", &format!("/runtimes/{id}/"), &Value::Null).await.refuses(409, "ConflictException", &says);
    plane.maker.open.send_replace(true);
    plane.at_rest(&id, "prod").await;

    plane.maker.open.send_replace(false);
    let want = json!({"status": "DELETING", "agentRuntimeId": id, "endpointName": "prod"});
    assert_eq!(plane.call("DELETE", &path, &Value::Null).await.is(202), want);
    assert_eq!(plane.call("DELETE", &path, &Value::Null).await.is(202), want, "a client that saw no answer asks again");
    assert_eq!(plane.get(&path).await.is(200)["status"], "DELETING");
    assert_eq!(plane.call("DELETE", &format!("/runtimes/{id}/"), &Value::Null).await.status, 409);
    plane.maker.open.send_replace(true);
    let gone = plane.at_rest(&id, "prod").await;
    gone.refuses(404, "ResourceNotFoundException", &format!("endpoint prod of agent runtime {id} does not exist"));
    assert_eq!(plane.calls().last(), Some(&format!("unmake {id}/prod")));
    assert_eq!(plane.get(&format!("/runtimes/{id}/")).await.is(200)["status"], "READY", "nothing else went");
    plane.call("DELETE", &format!("/runtimes/{id}/"), &Value::Null).await.is(202);
    assert_eq!(plane.settled(&id).await.status, 404);
}

#[tokio::test]
async fn default_follows_the_newest_version_and_nobody() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let path = format!("{}DEFAULT/", endpoints(&id));
    for refused in [
        plane.create_endpoint(&id, json!({"name": "DEFAULT"})).await,
        plane.call("PUT", &path, &json!({"agentRuntimeVersion": "1"})).await,
        plane.call("DELETE", &path, &Value::Null).await,
    ] {
        assert_eq!((refused.status, refused.exception.as_deref()), (409, Some("ConflictException")));
        assert!(refused.body["message"].as_str().unwrap().contains("`innkeep rollback hello VERSION`"), "{refused:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_by_name() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.maker.fail_next("no");
    plane.update(&id).await;
    let says =
        format!("version 2 of agent runtime {id} is UPDATE_FAILED and cannot be served: name a version that is READY");
    plane.create_endpoint(&id, json!({"name": "prod"})).await.refuses(409, "ConflictException", &says);
    let says = format!("version 9 of agent runtime {id} does not exist");
    let absent = plane.create_endpoint(&id, json!({"name": "prod", "agentRuntimeVersion": "9"})).await;
    absent.refuses(404, "ResourceNotFoundException", &says);
    let says = "agent runtime gone-0123456789 does not exist";
    plane.create_endpoint("gone-0123456789", json!({"name": "prod"})).await.refuses(
        404,
        "ResourceNotFoundException",
        says,
    );
    plane.create_endpoint(&id, json!({"name": "prod", "agentRuntimeVersion": "1"})).await.is(202);
    let says = format!("endpoint prod of agent runtime {id} already exists");
    let twice = plane.create_endpoint(&id, json!({"name": "prod", "agentRuntimeVersion": "1"})).await;
    twice.refuses(409, "ConflictException", &says);
    plane.at_rest(&id, "prod").await;
    plane.update(&id).await;
    let held = plane.call("DELETE", &format!("/runtimes/{id}/?version=1"), &Value::Null).await;
    let says =
        format!("version 1 of agent runtime {id} is served by its endpoint prod: move or delete the endpoint first");
    held.refuses(409, "ConflictException", &says);
}

#[tokio::test]
async fn every_member_is_checked_and_all_at_once() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let bad = json!({
        "name": "a-b", "agentRuntimeVersion": "0", "description": "", "clientToken": "short", "tags": {"ä": 1}, "other": 1
    });
    let answer = plane.create_endpoint(&id, bad).await;
    let fields: Vec<_> =
        answer.body["fieldList"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "agentRuntimeVersion", "description", "clientToken", "tags.ä", "tags.ä"]);
    assert_eq!((answer.status, &answer.body["reason"]), (400, &json!("FieldValidationFailed")));
    for (method, path, body, at) in [
        ("PUT", endpoints("x"), json!({"name": "prod"}), "agentRuntimeId"),
        ("PUT", endpoints(&id), json!({}), "name"),
        ("PUT", format!("{}a-b/", endpoints(&id)), json!({}), "endpointName"),
        ("PUT", format!("{}prod/", endpoints(&id)), json!({"description": "x".repeat(257)}), "description"),
        ("DELETE", format!("{}prod/?clientToken=x", endpoints(&id)), Value::Null, "clientToken"),
        ("DELETE", format!("{}a-b/", endpoints(&id)), Value::Null, "endpointName"),
    ] {
        let answer = plane.call(method, &path, &body).await;
        assert_eq!(
            (answer.status, &answer.body["fieldList"][0]["name"]),
            (400, &json!(at)),
            "{method} {path}: {answer:?}"
        );
    }
    for body in [json!([]), json!("x")] {
        let answer = plane.create_endpoint(&id, body).await;
        assert_eq!((answer.status, &answer.body["reason"]), (400, &json!("CannotParse")));
    }
}

#[tokio::test]
async fn a_repeated_token_gives_the_first_answer_and_moves_nothing() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let body = json!({"name": "prod", "clientToken": TOKEN});
    let first = plane.create_endpoint(&id, body.clone()).await.is(202);
    plane.at_rest(&id, "prod").await;
    let n_calls = plane.calls().len();
    assert_eq!(plane.create_endpoint(&id, body).await.is(202), first, "CREATING still, as it was then");
    plane.tasks.finish().await;
    assert_eq!(plane.calls().len(), n_calls);
    let other = plane.create_endpoint(&id, json!({"name": "prod", "description": "x", "clientToken": TOKEN})).await;
    assert_eq!((other.status, &other.body["reason"]), (400, &json!("IdempotentParameterMismatchException")));
}

#[tokio::test]
async fn what_a_dead_server_left_of_endpoints_is_taken_up() {
    let (plane, dir) = plane().await;
    let id = plane.create("hello").await;
    for name in ["going", "failing"] {
        plane.create_endpoint(&id, json!({"name": name})).await.is(202);
        plane.at_rest(&id, name).await;
    }
    // The server ends while all of it is under way.
    plane.maker.open.send_replace(false);
    plane.maker.failures.lock().extend([const { innkeep_control::MakeFailed::ShuttingDown }; 3]);
    plane.create_endpoint(&id, json!({"name": "ready"})).await.is(202);
    plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
    plane.create_endpoint(&id, json!({"name": "waiting"})).await.is(202);
    plane.call("PUT", &format!("{}failing/", endpoints(&id)), &json!({"agentRuntimeVersion": "1"})).await.is(202);
    plane.maker.open.send_replace(true);
    plane.tasks.finish().await;
    let going = "going".parse().unwrap();
    plane.store.begin_delete_endpoint(&id.parse().unwrap(), &going, None, Default::default()).await.unwrap();
    plane.store.close().await.unwrap();
    drop(plane);

    let plane = Plane::open(dir.path()).await;
    plane.control.resume().await.unwrap();
    for (name, version) in [("ready", "1"), ("waiting", "2"), ("failing", "1")] {
        let shown = plane.at_rest(&id, name).await.is(200);
        assert_eq!([&shown["status"], &shown["liveVersion"]], ["READY", version], "{name}");
    }
    assert_eq!(plane.at_rest(&id, "going").await.status, 404);
    plane.tasks.finish().await;
    let mut calls = plane.calls();
    calls.sort();
    let checks = [1, 1, 2].map(|version| format!("check {id} {version}"));
    assert_eq!(calls[..3], checks);
    assert_eq!(calls[3..], [format!("make {id} 2"), format!("unmake {id}/going")]);
}
