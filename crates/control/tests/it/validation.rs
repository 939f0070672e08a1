//! Every rule on every member.

mod across;
mod members;

use http::Request;
use serde_json::{Value, json};

use crate::documents::{largest_create, largest_update, with};
use crate::plane::{Plane, plane, request, request_with};

/// A bad value, and what is said of it.
struct Case {
    /// Where it goes, as a JSON pointer into the largest body.
    pointer: String,
    value: Value,
    /// Where it is reported, if not there.
    at: Option<&'static str>,
    message: String,
}

impl Case {
    fn at(&self) -> String {
        self.at.map_or_else(|| dotted(&self.pointer), str::to_owned)
    }

    /// Returns the member of the body that it is in.
    fn root(&self) -> String {
        self.pointer.split('/').nth(1).unwrap().to_owned()
    }
}

/// Returns a case of a rule that is one member's.
fn case(pointer: &str, value: impl Into<Value>, rule: impl std::fmt::Display) -> Case {
    let message = format!("Member must {rule}");
    Case { pointer: pointer.to_owned(), value: value.into(), at: None, message }
}

/// Returns a case of a rule that takes a sentence.
fn sentence(pointer: &str, value: Value, at: &'static str, sentence: &str) -> Case {
    Case { pointer: pointer.to_owned(), value, at: Some(at), message: sentence.to_owned() }
}

/// Returns the pointer as the service writes paths: `a.b[0].c`.
fn dotted(pointer: &str) -> String {
    let step = |step: &str| match step.parse::<usize>() {
        Ok(idx) => format!("[{idx}]"),
        Err(_) => format!(".{step}"),
    };
    let path: String = pointer.split('/').skip(1).map(step).collect();
    path[1..].to_owned()
}

fn text(len: usize) -> String {
    "x".repeat(len)
}

/// Sends a largest body with the bad value in it.
async fn check(plane: &Plane, method: &str, target: &str, body: &Value, case: &Case) {
    let answer = plane.call(method, target, &with(body.clone(), &case.pointer, case.value.clone())).await;
    let what = format!("{} = {:.60}: {answer:?}", case.pointer, case.value);
    let (at, message) = (case.at(), &case.message);
    assert_eq!((answer.status, answer.exception.as_deref()), (400, Some("ValidationException")), "{what}");
    assert_eq!(answer.body["reason"], "FieldValidationFailed", "{what}");
    let fields = answer.body["fieldList"].as_array().unwrap();
    assert!(fields.contains(&json!({"name": at, "message": message})), "{at}: {message}\n{what}");
    // Some bad values break another rule too, always one of the same member.
    assert!(fields.iter().all(|field| field["name"].as_str().unwrap().starts_with(&case.root())), "{what}");
    if fields.len() == 1 {
        let whole = match message.starts_with("Member must") {
            true => format!("1 validation error detected: Value at '{at}' failed to satisfy constraint: {message}"),
            false => message.clone(),
        };
        assert_eq!(answer.body["message"], *whole, "{what}");
    }
}

#[tokio::test]
async fn each_rule_is_reported_at_its_member() {
    let (plane, _dir) = plane().await;
    let (create, update) = (largest_create(), largest_update());
    let id = plane.create("other").await;
    for case in members::common().into_iter().chain(across::common()) {
        check(&plane, "PUT", "/runtimes/", &create, &case).await;
        check(&plane, "PUT", &format!("/runtimes/{id}/"), &update, &case).await;
    }
    for case in members::of_create() {
        check(&plane, "PUT", "/runtimes/", &create, &case).await;
    }
    for case in members::of_update() {
        check(&plane, "PUT", &format!("/runtimes/{id}/"), &update, &case).await;
    }
    let listed = plane.call("POST", "/runtimes/", &Value::Null).await.is(200);
    assert_eq!(listed["agentRuntimes"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(plane.get(&format!("/runtimes/{id}/")).await.is(200)["agentRuntimeVersion"], "1");
}

#[test]
fn every_member_has_a_bad_value() {
    let cases: Vec<_> = members::common().into_iter().chain(members::of_create()).map(|case| case.at()).collect();
    let mut leaves = Vec::new();
    leaves_of(&largest_create(), "", &mut leaves);
    let missing: Vec<_> = leaves.iter().filter(|leaf| !cases.iter().any(|at| at.starts_with(*leaf))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Notes the paths of texts, numbers and booleans; of maps their own, of lists those in their first item.
fn leaves_of(value: &Value, at: &str, leaves: &mut Vec<String>) {
    match value {
        Value::Object(_) if at.ends_with(".tags") || at.ends_with("Variables") || at.ends_with("Mapping") => {
            leaves.push(at[1..].to_owned());
        }
        Value::Object(members) => {
            for (name, member) in members {
                leaves_of(member, &format!("{at}.{name}"), leaves);
            }
        }
        Value::Array(items) if at.ends_with("filesystemConfigurations") => {
            for (idx, item) in items.iter().enumerate() {
                leaves_of(item, &format!("{at}[{idx}]"), leaves);
            }
        }
        Value::Array(items) => leaves_of(&items[0], &format!("{at}[0]"), leaves),
        _ => leaves.push(at[1..].to_owned()),
    }
}

#[tokio::test]
async fn all_broken_rules_are_reported_at_once() {
    let (plane, _dir) = plane().await;
    let body = json!({
        "agentRuntimeName": "my-agent",
        "lifecycleConfiguration": {"maxLifetime": 1},
        "hooksConfiguration": {"build": {"warmup": {}}},
        "networkConfiguration": {"networkMode": "VPC"},
    });
    let answer = plane.call("PUT", "/runtimes/", &body).await;
    let message = "6 validation errors detected: \
        Value at 'agentRuntimeName' failed to satisfy constraint: \
        Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,47}; \
        Value at 'agentRuntimeArtifact' failed to satisfy constraint: Member must not be null; \
        Value at 'roleArn' failed to satisfy constraint: Member must not be null; \
        Value at 'lifecycleConfiguration.maxLifetime' failed to satisfy constraint: \
        Member must have value greater than or equal to 60; \
        Value at 'hooksConfiguration.build.warmup.action' failed to satisfy constraint: Member must not be null; \
        networkMode VPC needs networkModeConfig, with subnets and securityGroups";
    assert_eq!(answer.body["fieldList"].as_array().unwrap().len(), 6);
    answer.refuses(400, "ValidationException", message);
}

#[tokio::test]
async fn null_and_empty_members_ask_for_nothing() {
    let (plane, _dir) = plane().await;
    let mut body = request();
    body["authorizerConfiguration"] = Value::Null;
    body["requestHeaderConfiguration"] = Value::Null;
    body["hooksConfiguration"] = json!({"build": {}});
    body["lifecycleConfiguration"] = json!({});
    body["filesystemConfigurations"] = json!([]);
    body["resourceConfigurations"] = json!([]);
    body["environmentVariables"] = json!({});
    body["tags"] = json!({});
    plane.call("PUT", "/runtimes/", &body).await.is(202);
}

#[tokio::test]
async fn a_member_of_the_wrong_type_is_named() {
    let (plane, _dir) = plane().await;
    for (path, value) in [
        ("roleArn", json!(1)),
        ("agentRuntimeArtifact", json!("main.py")),
        ("lifecycleConfiguration.maxLifetime", json!("900")),
        ("lifecycleConfiguration.maxLifetime", json!(900.5)),
        ("resourceConfigurations", json!({"minimumMemoryInMiB": 512})),
        ("environmentVariables.DEBUG", json!(true)),
        ("agentRuntimeArtifact.codeConfiguration.entryPoint", json!("main.py")),
        ("agentRuntimeArtifact", json!([null, null])),
        ("agentRuntimeArtifact.codeConfiguration.code.s3", json!(["innkeep", "abc", null])),
        ("lifecycleConfiguration", json!([900, 900])),
    ] {
        let answer = plane.call("PUT", "/runtimes/", &request_with(path, value)).await;
        let (reason, field) = (&answer.body["reason"], &answer.body["fieldList"][0]["name"]);
        assert_eq!((answer.status, reason, field), (400, &json!("FieldValidationFailed"), &json!(path)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_cannot_be_parsed() {
    let (plane, _dir) = plane().await;
    let bodies = ["", "{", "null", "7", "\"text\"", "{} {}", "{\"roleArn\": \"\u{0}\"}"].map(str::to_owned);
    // One of these has as many values as the request has members.
    let arrays = (0..40).map(|n| json!(vec![Value::Null; n]).to_string());
    for body in bodies.into_iter().chain(arrays) {
        let request = Request::put("/runtimes/").body(body.clone().into()).unwrap();
        let answer = plane.send(request).await;
        assert_eq!((answer.status, &answer.body["reason"]), (400, &json!("CannotParse")), "{body}");
    }
}

#[tokio::test]
async fn path_and_query_members_are_checked() {
    let (plane, _dir) = plane().await;
    let id = "Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}";
    let arn = "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A000000000000%3Aruntime%2Fhello-0123456789";
    let not_an_arn = "Member must be the agent runtime's id, not an ARN: hello-0123456789";
    let good = "/runtimes/hello-0123456789";
    for (method, target, at, message) in [
        ("GET", "/runtimes/hello/".to_owned(), "agentRuntimeId", id),
        ("PUT", "/runtimes/hello/".to_owned(), "agentRuntimeId", id),
        ("DELETE", "/runtimes/hello/".to_owned(), "agentRuntimeId", id),
        ("POST", "/runtimes/hello/versions/".to_owned(), "agentRuntimeId", id),
        ("POST", "/runtimes/hello/runtime-endpoints/".to_owned(), "agentRuntimeId", id),
        ("GET", "/runtimes/hello/runtime-endpoints/DEFAULT/".to_owned(), "agentRuntimeId", id),
        ("GET", format!("/runtimes/{arn}/"), "agentRuntimeId", not_an_arn),
        ("GET", format!("/runtimes/{arn}%2Fruntime-endpoint%2FDEFAULT/"), "agentRuntimeId", not_an_arn),
        (
            "GET",
            format!("{good}/?version=0"),
            "agentRuntimeVersion",
            "Member must satisfy regular expression pattern: [1-9][0-9]{0,4}",
        ),
        (
            "GET",
            format!("{good}/runtime-endpoints/a-b/"),
            "endpointName",
            "Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,47}",
        ),
        (
            "DELETE",
            format!("{good}/?clientToken=short"),
            "clientToken",
            "Member must have length greater than or equal to 33",
        ),
    ] {
        let body = if method == "PUT" { request() } else { Value::Null };
        let answer = plane.call(method, &target, &body).await;
        let fields = json!([{"name": at, "message": message}]);
        assert_eq!((answer.status, &answer.body["fieldList"]), (400, &fields), "{method} {target}");
    }
}

#[tokio::test]
async fn other_operations_are_known_to_be_missing() {
    let (plane, _dir) = plane().await;
    let answer = plane.call("POST", "/identities/CreateWorkloadIdentity", &json!({"name": "mine"})).await;
    let message = "this version of Innkeep does not have the operation POST /identities/CreateWorkloadIdentity yet";
    answer.refuses(404, "UnknownOperationException", message);
}
