//! Who may do what on the control plane.

use bytes::Bytes;
use http::Request;
use innkeep_auth::policy::ready;
use innkeep_control::Principal;
use serde_json::{Value, json};

use crate::plane::{Answer, Plane, plane, request_with, user};

const ACCOUNT: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000";

async fn call(plane: &Plane, who: &Principal, method: &str, target: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    plane.send_as(who, Request::builder().method(method).uri(target).body(body).unwrap()).await
}

fn allows(statement: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// Every route of the plane, on a runtime, and the ARN that its action is asked on.
fn routes(id: &str) -> Vec<(&'static str, String, &'static str, String)> {
    let runtime = format!("{ACCOUNT}:runtime/{id}");
    let endpoint = format!("{runtime}/runtime-endpoint/DEFAULT");
    let provider = format!("{ACCOUNT}:capacity-provider/pool-0123456789");
    let (own, endpoints) = (format!("/runtimes/{id}/"), format!("/runtimes/{id}/runtime-endpoints/"));
    let (one, pool) = (format!("{endpoints}DEFAULT/"), "/capacity-providers/pool-0123456789".to_owned());
    vec![
        ("PUT", "/runtimes/".to_owned(), "CreateAgentRuntime", "*".to_owned()),
        ("POST", "/runtimes/".to_owned(), "ListAgentRuntimes", "*".to_owned()),
        ("GET", own.clone(), "GetAgentRuntime", runtime.clone()),
        ("PUT", own.clone(), "UpdateAgentRuntime", runtime.clone()),
        ("DELETE", own.clone(), "DeleteAgentRuntime", runtime.clone()),
        ("POST", format!("{own}versions/"), "ListAgentRuntimeVersions", runtime.clone()),
        ("POST", endpoints.clone(), "ListAgentRuntimeEndpoints", runtime.clone()),
        ("PUT", endpoints, "CreateAgentRuntimeEndpoint", runtime.clone()),
        ("GET", one.clone(), "GetAgentRuntimeEndpoint", endpoint.clone()),
        ("PUT", one.clone(), "UpdateAgentRuntimeEndpoint", endpoint.clone()),
        ("DELETE", one, "DeleteAgentRuntimeEndpoint", endpoint.clone()),
        ("POST", format!("/tags/{runtime}"), "TagResource", runtime.clone()),
        ("DELETE", format!("/tags/{endpoint}"), "UntagResource", endpoint.clone()),
        ("GET", format!("/tags/{runtime}"), "ListTagsForResource", runtime.clone()),
        ("PUT", format!("/resourcepolicy/{endpoint}"), "PutResourcePolicy", endpoint),
        ("GET", format!("/resourcepolicy/{runtime}"), "GetResourcePolicy", runtime.clone()),
        ("DELETE", format!("/resourcepolicy/{runtime}"), "DeleteResourcePolicy", runtime),
        ("PUT", "/capacity-providers".to_owned(), "CreateCapacityProvider", "*".to_owned()),
        ("POST", "/capacity-providers".to_owned(), "ListCapacityProviders", "*".to_owned()),
        ("GET", pool.clone(), "GetCapacityProvider", provider.clone()),
        ("PUT", pool.clone(), "UpdateCapacityProvider", provider.clone()),
        ("DELETE", pool.clone(), "DeleteCapacityProvider", provider.clone()),
        ("POST", format!("{pool}/runtime-versions"), "ListAgentRuntimeVersionsByCapacityProvider", provider),
    ]
}

#[tokio::test]
async fn every_operation_is_its_action_on_its_resource() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let nobody = user("alice", &[], false);
    for (method, target, action, arn) in routes(&id) {
        let says = format!(
            "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: bedrock-agentcore:{action} on resource: {arn} \
             because no identity-based policy allows the bedrock-agentcore:{action} action"
        );
        call(&plane, &nobody, method, &target, &Value::Null).await.refuses(403, "AccessDeniedException", &says);

        let action = format!("bedrock-agentcore:{action}");
        let document = allows(&json!({"Effect": "Allow", "Action": &action, "Resource": &arn}));
        let other = allows(&json!({"Effect": "Allow", "NotAction": action, "Resource": "*"}));
        let wrong = call(&plane, &user("alice", &[&other], false), method, &target, &Value::Null).await;
        assert_eq!(wrong.status, 403, "{method} {target}: {wrong:?}");
        let may = user("alice", &[&document], false);
        // A body that the operation refuses, if it takes one: nothing is changed.
        let answer = call(&plane, &may, method, &target, &json!({"tags": 1, "description": 1})).await;
        assert_ne!(answer.status, 403, "{method} {target}: {answer:?}");
    }
}

#[tokio::test]
async fn the_policy_of_a_resource_counts_and_operators_can_always_replace_it() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let arn = format!("{ACCOUNT}:runtime/{id}");
    let (own, policy) = (format!("/runtimes/{id}/"), format!("/resourcepolicy/{arn}"));
    let (alice, admin) = (user("alice", &[], false), user("admin", &[ready("admin").unwrap()], false));
    let operator = user("root", &[ready("admin").unwrap()], true);
    let put = |statement: Value| json!({"policy": json!({"Statement": statement}).to_string()});
    let alice_may = put(json!({
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:user/alice"},
        "Action": "bedrock-agentcore:GetAgentRuntime", "Resource": arn,
    }));
    assert_eq!(call(&plane, &alice, "GET", &own, &Value::Null).await.status, 403);
    call(&plane, &admin, "PUT", &policy, &alice_may).await.is(201);
    call(&plane, &alice, "GET", &own, &Value::Null).await.is(200);
    assert_eq!(call(&plane, &alice, "DELETE", &own, &Value::Null).await.status, 403);

    let shut = put(json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": arn}));
    call(&plane, &admin, "PUT", &policy, &shut).await.is(201);
    let says = format!(
        "User: arn:aws:iam::000000000000:user/admin is not authorized to perform: bedrock-agentcore:DeleteResourcePolicy on \
         resource: {arn} with an explicit deny in a resource-based policy"
    );
    call(&plane, &admin, "DELETE", &policy, &Value::Null).await.refuses(403, "AccessDeniedException", &says);
    assert_eq!(call(&plane, &operator, "GET", &own, &Value::Null).await.status, 403);
    call(&plane, &operator, "DELETE", &policy, &Value::Null).await.is(204);
    call(&plane, &admin, "GET", &own, &Value::Null).await.is(200);
}

#[tokio::test]
async fn a_stored_policy_that_cannot_be_read_denies() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let runtime = innkeep_types::RuntimeId::parse(id.as_str()).unwrap();
    let old = json!({"Statement": {"Effect": "Deny", "NotPrincipal": "*", "Action": "*", "Resource": "*"}}).to_string();
    plane.store.put_policy(&runtime, None, old, innkeep_types::UnixMillis(0)).await.unwrap();
    let admin = user("admin", &[ready("admin").unwrap()], false);
    assert_eq!(call(&plane, &admin, "GET", &format!("/runtimes/{id}/"), &Value::Null).await.status, 403);
    let path = format!("/resourcepolicy/{ACCOUNT}:runtime/{id}");
    let operator = user("root", &[ready("admin").unwrap()], true);
    call(&plane, &operator, "DELETE", &path, &Value::Null).await.is(204);
    call(&plane, &admin, "GET", &format!("/runtimes/{id}/"), &Value::Null).await.is(200);
}

#[tokio::test]
async fn tags_of_request_and_resource_are_held_against_conditions() {
    let (plane, _dir) = plane().await;
    let red = allows(&json!([
        {
            "Effect": "Allow", "Action": ["bedrock-agentcore:CreateAgentRuntime", "bedrock-agentcore:TagResource"],
            "Resource": "*", "Condition": {"StringEquals": {"aws:RequestTag/team": "red"}},
        },
        {
            "Effect": "Allow", "Action": ["bedrock-agentcore:GetAgentRuntime", "bedrock-agentcore:UntagResource"],
            "Resource": "*", "Condition": {
                "StringEquals": {"aws:ResourceTag/team": "red"},
                "ForAllValues:StringNotEquals": {"aws:TagKeys": "team"},
            },
        },
    ]));
    let red = user("red", &[&red], false);
    for tags in [Value::Null, json!({"team": "blue"}), json!({"Team ": "red"})] {
        let answer = call(&plane, &red, "PUT", "/runtimes/", &request_with("tags", tags.clone())).await;
        assert_eq!(answer.status, 403, "{tags}");
    }
    let created =
        call(&plane, &red, "PUT", "/runtimes/", &request_with("tags", json!({"team": "red", "a": "b"}))).await;
    let arn = created.is(202)["agentRuntimeArn"].as_str().unwrap().to_owned();
    let (_, id) = arn.rsplit_once('/').unwrap();
    call(&plane, &red, "GET", &format!("/runtimes/{id}/"), &Value::Null).await.is(200);
    call(&plane, &red, "DELETE", &format!("/tags/{arn}?tagKeys=a"), &Value::Null).await.is(204);
    assert_eq!(call(&plane, &red, "DELETE", &format!("/tags/{arn}?tagKeys=team"), &Value::Null).await.status, 403);
    plane.call("POST", &format!("/tags/{arn}"), &json!({"tags": {"team": "blue"}})).await.is(204);
    assert_eq!(call(&plane, &red, "GET", &format!("/runtimes/{id}/"), &Value::Null).await.status, 403);
}

#[tokio::test]
async fn who_may_not_is_not_told_what_there_is() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let nobody = user("alice", &[], false);
    for target in [format!("/runtimes/{id}/"), "/runtimes/none-0123456789/".to_owned(), "/runtimes/x/".to_owned()] {
        assert_eq!(call(&plane, &nobody, "GET", &target, &Value::Null).await.status, 403, "{target}");
    }
}
