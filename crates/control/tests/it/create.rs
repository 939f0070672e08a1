//! CreateAgentRuntime and what becomes of it.

use std::time::Duration;

use http::Request;
use innkeep_protocol::control::{AgentRuntimeRequest, GetAgentRuntimeResponse};
use serde_json::{Value, json};

use crate::documents::{configuration, largest_create, largest_update};
use crate::plane::{NOW, plane, request, request_with};

const TOKEN: &str = "0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40";

#[tokio::test]
async fn a_created_runtime_is_creating_and_then_ready() {
    let (plane, _dir) = plane().await;
    plane.maker.open.send_replace(false);
    let created = plane.call("PUT", "/runtimes/", &request()).await.is(202);
    let id = created["agentRuntimeId"].as_str().unwrap();
    assert!(id.starts_with("hello-") && id.len() == 16, "{id}");
    let arn = format!("arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/{id}");
    let identity = format!(
        "arn:aws:bedrock-agentcore:us-west-2:000000000000:workload-identity-directory/default/workload-identity/{id}"
    );
    let want = json!({
        "agentRuntimeArn": arn,
        "agentRuntimeId": id,
        "agentRuntimeVersion": "1",
        "workloadIdentityDetails": {"workloadIdentityArn": identity},
        "createdAt": NOW,
        "status": "CREATING",
    });
    assert_eq!(created, want);

    let endpoint = plane.get(&format!("/runtimes/{id}/runtime-endpoints/DEFAULT/")).await.is(200);
    assert_eq!((&endpoint["status"], &endpoint["liveVersion"]), (&json!("CREATING"), &Value::Null));

    plane.maker.open.send_replace(true);
    let ready = plane.settled(id).await.is(200);
    let want = json!({
        "agentRuntimeArn": arn,
        "agentRuntimeName": "hello",
        "agentRuntimeId": id,
        "agentRuntimeVersion": "1",
        "createdAt": NOW,
        "lastUpdatedAt": NOW,
        "roleArn": "arn:aws:iam::000000000000:role/agent",
        "status": "READY",
        "lifecycleConfiguration": {"idleRuntimeSessionTimeout": 900, "maxLifetime": 28800},
        "workloadIdentityDetails": {"workloadIdentityArn": identity},
        "agentRuntimeArtifact": request()["agentRuntimeArtifact"],
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "metadataConfiguration": {"requireMMDSV2": true},
        "platformVersion": "V1",
    });
    assert_eq!(ready, want);

    let endpoint = plane.get(&format!("/runtimes/{id}/runtime-endpoints/DEFAULT")).await.is(200);
    let want = json!({
        "name": "DEFAULT",
        "id": format!("DEFAULT-{}", &id[6..]),
        "liveVersion": "1",
        "targetVersion": "1",
        "agentRuntimeEndpointArn": format!("{arn}/runtime-endpoint/DEFAULT"),
        "agentRuntimeArn": arn,
        "status": "READY",
        "createdAt": NOW,
        "lastUpdatedAt": NOW,
    });
    assert_eq!(endpoint, want);
}

#[tokio::test]
async fn every_member_given_is_returned() {
    let (plane, _dir) = plane().await;
    let mut body = largest_create();
    body["somethingNew"] = json!({"unknown": "members are ignored"});
    body["metadataConfiguration"] = json!("what only an Update has is unknown too");
    let created = plane.call("PUT", "/runtimes", &body).await.is(202);
    let id = created["agentRuntimeId"].as_str().unwrap();
    let ready = plane.settled(id).await.is(200);
    for (member, value) in configuration() {
        assert_eq!(ready[&member], value, "{member}");
    }
    assert_eq!(ready["metadataConfiguration"], json!({"requireMMDSV2": true}));
    assert_eq!(
        (&ready["somethingNew"], &ready["tags"], &ready["clientToken"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );

    let mut update = largest_update();
    update["agentRuntimeName"] = json!(["no name of any kind"]);
    update["tags"] = json!("nor tags");
    plane.call("PUT", &format!("/runtimes/{id}/"), &update).await.is(202);
    let ready = plane.settled(id).await.is(200);
    assert_eq!((&ready["agentRuntimeName"], &ready["agentRuntimeVersion"]), (&json!("hello"), &json!("2")));
    for member in configuration().keys().map(String::as_str).chain(["metadataConfiguration"]) {
        assert_eq!(ready[member], update[member], "{member}");
    }
}

#[tokio::test]
async fn what_was_shown_can_be_sent_back() {
    let (plane, _dir) = plane().await;
    let created = plane.call("PUT", "/runtimes/", &largest_create()).await.is(202);
    let id = created["agentRuntimeId"].as_str().unwrap();
    let path = format!("/runtimes/{id}/");
    plane.settled(id).await;
    plane.call("PUT", &path, &largest_update()).await.is(202);
    let mut shown = plane.settled(id).await.is(200);
    let read: GetAgentRuntimeResponse = serde_json::from_value(shown.clone()).unwrap();
    let again = serde_json::to_value(AgentRuntimeRequest::from(read)).unwrap();
    plane.call("PUT", &path, &again).await.is(202);
    shown["agentRuntimeVersion"] = json!("3");
    assert_eq!(plane.settled(id).await.is(200), shown);
}

#[tokio::test]
async fn a_container_is_shown_as_it_was_named() {
    let (plane, _dir) = plane().await;
    let artifact = json!({"containerConfiguration": {"containerUri": "localhost:5000/team/agent:v1"}});
    let created =
        plane.call("PUT", "/runtimes/", &request_with("agentRuntimeArtifact", artifact.clone())).await.is(202);
    let ready = plane.settled(created["agentRuntimeId"].as_str().unwrap()).await.is(200);
    assert_eq!(ready["agentRuntimeArtifact"], artifact);
}

#[tokio::test]
async fn only_the_protocol_members_given_are_returned() {
    let (plane, _dir) = plane().await;
    let body = request_with("protocolConfiguration", json!({"serverProtocol": "HTTP"}));
    let created = plane.call("PUT", "/runtimes/", &body).await.is(202);
    let ready = plane.settled(created["agentRuntimeId"].as_str().unwrap()).await.is(200);
    assert_eq!(ready["protocolConfiguration"], json!({"serverProtocol": "HTTP"}));
}

#[tokio::test]
async fn a_version_that_does_not_boot_says_why_without_its_log() {
    let (plane, _dir) = plane().await;
    plane.maker.fail_next("the agent exited with exit code 3 before it was ready");
    let id = plane.create("hello").await;
    let failed = plane.settled(&id).await.is(200);
    assert_eq!(failed["status"], "CREATE_FAILED");
    assert_eq!(failed["failureReason"], "the agent exited with exit code 3 before it was ready");
    assert!(!failed.to_string().contains("secret line"));
    let record = plane.store.list_runtimes(None, 1).await.unwrap().remove(0);
    assert_eq!(record.failure_log, ["secret line"]);
}

#[tokio::test]
async fn a_taken_name_is_a_conflict() {
    let (plane, _dir) = plane().await;
    plane.create("hello").await;
    let again = plane.call("PUT", "/runtimes/", &request()).await;
    again.refuses(409, "ConflictException", "an agent runtime named hello already exists");
}

#[tokio::test]
async fn a_repeated_token_gives_the_first_answer_and_makes_nothing() {
    let (plane, _dir) = plane().await;
    let body = request_with("clientToken", json!(TOKEN));
    let first = plane.call("PUT", "/runtimes/", &body).await.is(202);
    let id = first["agentRuntimeId"].as_str().unwrap();
    plane.settled(id).await;

    // The same request, its members written in another order.
    let reordered: Vec<String> = body.as_object().unwrap().iter().rev().map(|(k, v)| format!("{k:?}:{v}")).collect();
    let reordered = Request::put("/runtimes/").body(format!("{{{}}}", reordered.join(",")).into()).unwrap();
    let second = plane.send(reordered).await.is(202);
    assert_eq!(second["agentRuntimeId"], first["agentRuntimeId"]);
    assert_eq!(second["agentRuntimeVersion"], "1");
    plane.tasks.finish().await;
    assert_eq!(plane.calls(), [format!("make {id} 1")]);
}

#[tokio::test]
async fn a_repeated_token_with_other_parameters_is_refused() {
    let (plane, _dir) = plane().await;
    let mut body = request_with("clientToken", json!(TOKEN));
    plane.call("PUT", "/runtimes/", &body).await.is(202);
    body["description"] = json!("another");
    let other = plane.call("PUT", "/runtimes/", &body).await;
    assert_eq!(other.body["reason"], "IdempotentParameterMismatchException");
    other.refuses(400, "ValidationException", "client token was used before with other parameters: send another token");
}

#[tokio::test]
async fn two_creates_with_one_token_at_once_make_one_version() {
    let (plane, _dir) = plane().await;
    let body = request_with("clientToken", json!(TOKEN));
    let (one, two) = tokio::join!(plane.call("PUT", "/runtimes/", &body), plane.call("PUT", "/runtimes/", &body));
    assert_eq!(one.is(202)["agentRuntimeId"], two.is(202)["agentRuntimeId"]);
    plane.tasks.finish().await;
    assert_eq!(plane.calls().len(), 1, "{:?}", plane.calls());
}

#[tokio::test]
async fn settings_arrive_with_the_version() {
    let (plane, _dir) = plane().await;
    let create = |settings: &str| {
        let request = Request::put("/runtimes/").header("x-innkeep-settings", settings);
        request.body(crate::plane::request().to_string().into()).unwrap()
    };
    let unknown = plane.send(create(r#"{"helth":"tcp"}"#)).await;
    assert_eq!(unknown.body["fieldList"][0]["name"], "x-innkeep-settings.helth");
    unknown.refuses(400, "ValidationException", "there is no setting `helth`; the nearest one is `health`");
    for (bad, at) in [
        ("[]", "x-innkeep-settings"),
        (r#"{"health":"udp"}"#, "x-innkeep-settings.health"),
        (r#"{"start_timeout_secs":0}"#, "x-innkeep-settings.start_timeout_secs"),
        (r#"{"isolation":"vm"}"#, "x-innkeep-settings.isolation"),
        (r#"{"egress":"vpc"}"#, "x-innkeep-settings.egress"),
        (r#"{"memory_mib":0}"#, "x-innkeep-settings.memory_mib"),
        (r#"{"cpu_millis":1025000}"#, "x-innkeep-settings.cpu_millis"),
        (r#"{"processes":1}"#, "x-innkeep-settings.processes"),
        (r#"{"open_files":-1}"#, "x-innkeep-settings.open_files"),
        (r#"{"disk_mib":0}"#, "x-innkeep-settings.disk_mib"),
    ] {
        let answer = plane.send(create(bad)).await;
        assert_eq!((answer.status, &answer.body["fieldList"][0]["name"]), (400, &json!(at)), "{bad}");
    }
    let answer = plane.send(create(r#"{"memory_mib":0,"open_files":1}"#)).await;
    let at = |n: usize| answer.body["fieldList"][n]["message"].as_str().unwrap();
    assert_eq!(at(0), "Member must have value greater than or equal to 16");
    assert_eq!(at(1), "Member must have value greater than or equal to 64");
    plane.send(create(r#"{"health":"tcp"}"#)).await.is(202);
    let record = plane.store.list_runtimes(None, 1).await.unwrap().remove(0);
    assert_eq!(serde_json::to_value(record.settings).unwrap(), json!({"health": "tcp"}));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_half_done() {
    let (plane, _dir) = plane().await;
    let body = request();
    let call = plane.call("PUT", "/runtimes/", &body);
    assert!(tokio::time::timeout(Duration::ZERO, call).await.is_err(), "the answer takes a write to disk");
    let id = plane.wait_for(|| async { plane.store.list_runtimes(None, 1).await.unwrap().pop() }).await.runtime;
    assert_eq!(plane.settled(id.as_str()).await.is(200)["status"], "READY");
}

#[tokio::test]
async fn a_failure_of_ours_is_not_explained_to_callers() {
    let (plane, _dir) = plane().await;
    plane.store.close().await.unwrap();
    let answer = plane.call("PUT", "/runtimes/", &request()).await;
    answer.refuses(503, "ServiceUnavailableException", "an internal error occurred; the server's log has its cause");
}
