//! UpdateAgentRuntime: versions, and where DEFAULT points.

use http::Request;
use serde_json::{Value, json};

use crate::documents::{largest_create, largest_update};
use crate::plane::{NOW, Plane, plane, request, request_with};

async fn default_endpoint(plane: &Plane, id: &str) -> (Value, Value) {
    let mut endpoint = plane.get(&format!("/runtimes/{id}/runtime-endpoints/DEFAULT/")).await.is(200);
    (endpoint["liveVersion"].take(), endpoint["status"].take())
}

#[tokio::test]
async fn default_moves_when_the_new_version_is_ready() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.maker.open.send_replace(false);
    let update = plane.call("PUT", &format!("/runtimes/{id}/"), &request_with("description", json!("two"))).await;
    let update = update.is(202);
    assert_eq!(update["agentRuntimeVersion"], "2");
    assert_eq!((&update["status"], &update["lastUpdatedAt"]), (&json!("UPDATING"), &json!(NOW)));
    assert_eq!(default_endpoint(&plane, &id).await.0, "1");

    plane.maker.open.send_replace(true);
    let ready = plane.settled(&id).await.is(200);
    assert_eq!((&ready["agentRuntimeVersion"], &ready["status"]), (&json!("2"), &json!("READY")));
    assert_eq!(default_endpoint(&plane, &id).await, (json!("2"), json!("READY")));

    let first = plane.get(&format!("/runtimes/{id}/?version=1")).await.is(200);
    assert_eq!((&first["agentRuntimeVersion"], &first["description"]), (&json!("1"), &Value::Null));
}

#[tokio::test]
async fn default_stays_when_the_new_version_fails() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.maker.fail_next("nothing listens on port 8080");
    plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
    let failed = plane.settled(&id).await.is(200);
    assert_eq!((&failed["status"], &failed["agentRuntimeVersion"]), (&json!("UPDATE_FAILED"), &json!("2")));
    assert_eq!(failed["failureReason"], "nothing listens on port 8080");
    assert_eq!(default_endpoint(&plane, &id).await.0, "1");
    assert_eq!(plane.get(&format!("/runtimes/{id}/?version=1")).await.is(200)["status"], "READY");

    // The next good one takes over.
    plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
    plane.settled(&id).await;
    assert_eq!(default_endpoint(&plane, &id).await, (json!("3"), json!("READY")));
}

#[tokio::test]
async fn a_change_in_progress_makes_others_wait() {
    let (plane, _dir) = plane().await;
    plane.maker.open.send_replace(false);
    let created = plane.call("PUT", "/runtimes/", &request()).await.is(202);
    let path = format!("/runtimes/{}/", created["agentRuntimeId"].as_str().unwrap());
    for (method, body) in [("PUT", request()), ("DELETE", Value::Null)] {
        let answer = plane.call(method, &path, &body).await;
        assert_eq!((answer.status, answer.exception.as_deref()), (409, Some("ConflictException")), "{method}");
    }
    plane.maker.open.send_replace(true);
    plane.settled(created["agentRuntimeId"].as_str().unwrap()).await;
    plane.call("PUT", &path, &request()).await.is(202);
}

#[tokio::test]
async fn omitted_members_are_reset_but_for_platform_and_settings() {
    let (plane, _dir) = plane().await;
    let create = Request::put("/runtimes/").header("x-innkeep-settings", r#"{"header_aliases":false}"#);
    let created = plane.send(create.body(largest_create().to_string().into()).unwrap()).await.is(202);
    let id = created["agentRuntimeId"].as_str().unwrap();
    let path = format!("/runtimes/{id}");
    plane.settled(id).await;
    plane.call("PUT", &path, &largest_update()).await.is(202);
    plane.settled(id).await;

    plane.call("PUT", &path, &request()).await.is(202);
    let mut bare = plane.settled(id).await.is(200);
    let bare = bare.as_object_mut().unwrap();
    for member in ["agentRuntimeArn", "agentRuntimeId", "workloadIdentityDetails", "createdAt", "lastUpdatedAt"] {
        bare.remove(member).unwrap();
    }
    let want = json!({
        "agentRuntimeName": "hello",
        "agentRuntimeVersion": "3",
        "agentRuntimeArtifact": request()["agentRuntimeArtifact"],
        "roleArn": request()["roleArn"],
        "status": "READY",
        "lifecycleConfiguration": {"idleRuntimeSessionTimeout": 900, "maxLifetime": 28800},
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "metadataConfiguration": {"requireMMDSV2": true},
        "platformVersion": "V2",
    });
    assert_eq!(Value::Object(bare.clone()), want);
    let record = plane.store.list_runtimes(None, 1).await.unwrap().remove(0);
    assert_eq!(record.settings.header_aliases, Some(false));
}

#[tokio::test]
async fn a_minimum_of_memory_is_kept_and_shown_and_reset_when_omitted() {
    let (plane, _dir) = plane().await;
    let asked = json!([{"minimumMemoryInMiB": 16_384}]);
    let mut body = request_with("resourceConfigurations", asked.clone());
    body["networkConfiguration"] = json!({"networkMode": "PUBLIC"});
    let create = Request::put("/runtimes/").header("x-innkeep-settings", r#"{"egress":"none"}"#);
    let created = plane.send(create.body(body.to_string().into()).unwrap()).await.is(202);
    let id = created["agentRuntimeId"].as_str().unwrap();
    assert_eq!(plane.settled(id).await.is(200)["resourceConfigurations"], asked);
    let record = plane.store.list_runtimes(None, 1).await.unwrap().remove(0);
    assert_eq!(record.config.minimum_memory_mib, Some(16_384));

    let update = request_with("resourceConfigurations", json!([{"minimumMemoryInMiB": 32_768}]));
    plane.call("PUT", &format!("/runtimes/{id}"), &update).await.is(202);
    let shown = plane.settled(id).await.is(200);
    assert_eq!(shown["resourceConfigurations"], json!([{"minimumMemoryInMiB": 32_768}]));
    plane.call("PUT", &format!("/runtimes/{id}"), &request()).await.is(202);
    assert_eq!(plane.settled(id).await.is(200)["resourceConfigurations"], Value::Null);
    assert_eq!(plane.get(&format!("/runtimes/{id}/?version=1")).await.is(200)["resourceConfigurations"], asked);
}

#[tokio::test]
async fn a_repeated_token_makes_no_third_version() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let body = request_with("clientToken", json!("0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40"));
    for _ in 0..2 {
        let update = plane.call("PUT", &format!("/runtimes/{id}/"), &body).await.is(202);
        assert_eq!(update["agentRuntimeVersion"], "2");
        plane.settled(&id).await;
    }
    plane.tasks.finish().await;
    assert_eq!(plane.calls(), [format!("make {id} 1"), format!("make {id} 2")]);
}

#[tokio::test]
async fn a_runtime_that_is_not_there_is_not_found() {
    let (plane, _dir) = plane().await;
    let gone = "hello-0123456789";
    let not_found = format!("agent runtime {gone} does not exist");
    for (method, path, body) in [
        ("GET", format!("/runtimes/{gone}/"), Value::Null),
        ("PUT", format!("/runtimes/{gone}/"), request()),
        ("DELETE", format!("/runtimes/{gone}/"), Value::Null),
        ("POST", format!("/runtimes/{gone}/versions/"), Value::Null),
        ("POST", format!("/runtimes/{gone}/runtime-endpoints/"), Value::Null),
        ("GET", format!("/runtimes/{gone}/runtime-endpoints/DEFAULT/"), Value::Null),
    ] {
        plane.call(method, &path, &body).await.refuses(404, "ResourceNotFoundException", &not_found);
    }
    let id = plane.create("hello").await;
    let version = plane.get(&format!("/runtimes/{id}/?version=2")).await;
    let message = format!("version 2 of agent runtime {id} does not exist");
    version.refuses(404, "ResourceNotFoundException", &message);
    let endpoint = plane.get(&format!("/runtimes/{id}/runtime-endpoints/prod/")).await;
    let message = format!("endpoint prod of agent runtime {id} does not exist");
    endpoint.refuses(404, "ResourceNotFoundException", &message);
}

#[tokio::test]
async fn a_repeated_token_gets_its_answer_though_the_platform_has_another_limit_by_now() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let path = format!("/runtimes/{id}/");
    let mut body = request_with("clientToken", json!("0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40"));
    body["environmentVariables"] = json!({"A": "x".repeat(4000)});
    let first = plane.call("PUT", &path, &body).await.is(202);
    plane.settled(&id).await;
    plane.call("PUT", &path, &request_with("platformVersion", json!("V2"))).await.is(202);
    plane.settled(&id).await;
    assert_eq!(plane.call("PUT", &path, &body).await.is(202), first);
    body["clientToken"] = json!("0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f41");
    assert_eq!(plane.call("PUT", &path, &body).await.body["fieldList"][0]["name"], "environmentVariables");
}
