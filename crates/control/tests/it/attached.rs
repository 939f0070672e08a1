//! Tags and resource policies.

use serde_json::{Value, json};

use crate::documents::largest_create;
use crate::plane::{Plane, plane};

const ACCOUNT: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000";

fn encoded(arn: &str) -> String {
    arn.replace(':', "%3A").replace('/', "%2F")
}

/// Returns the ARN of a runtime and of its endpoint DEFAULT.
async fn arns(plane: &Plane) -> (String, String) {
    let arn = format!("{ACCOUNT}:runtime/{}", plane.create("hello").await);
    let endpoint = format!("{arn}/runtime-endpoint/DEFAULT");
    (arn, endpoint)
}

fn policy(arn: &str) -> String {
    let statement = json!({
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": arn,
    });
    format!("{{ \"Version\":\"2012-10-17\",\n \"Statement\":{statement}}}")
}

#[tokio::test]
async fn tags_are_added_listed_and_removed() {
    let (plane, _dir) = plane().await;
    let (runtime, endpoint) = arns(&plane).await;
    for arn in [runtime, endpoint] {
        let (raw, path) = (format!("/tags/{arn}"), format!("/tags/{}", encoded(&arn)));
        assert_eq!(plane.get(&raw).await.is(200), json!({"tags": {}}));
        plane.call("POST", &path, &json!({"tags": {"team": "a", "a b": "", "aws:x": "y"}})).await.is(204);
        plane.call("POST", &path, &json!({"tags": {"team": "b"}})).await.is(204);
        assert_eq!(plane.get(&path).await.is(200), json!({"tags": {"a b": "", "aws:x": "y", "team": "b"}}));
        plane.call("DELETE", &format!("{path}?tagKeys=a%20b&tagKeys=none&tagKeys=aws%3Ax"), &Value::Null).await.is(204);
        assert_eq!(plane.get(&raw).await.is(200), json!({"tags": {"team": "b"}}));
    }
}

#[tokio::test]
async fn a_resource_has_fifty_tags_at_most() {
    let (plane, _dir) = plane().await;
    let (arn, _) = arns(&plane).await;
    let path = format!("/tags/{arn}");
    let tags = |names: std::ops::Range<u32>| {
        let tags: serde_json::Map<_, _> = names.map(|n| (n.to_string(), json!("x"))).collect();
        json!({"tags": tags})
    };
    let too_many = plane.call("POST", &path, &tags(0..51)).await;
    assert_eq!((too_many.status, &too_many.body["fieldList"][0]["name"]), (400, &json!("tags")));
    plane.call("POST", &path, &tags(0..50)).await.is(204);
    plane.call("POST", &path, &tags(0..50)).await.is(204);
    let over = plane.call("POST", &path, &tags(50..51)).await;
    over.refuses(402, "ServiceQuotaExceededException", "quota of tags of a resource is used up");
    assert_eq!(plane.get(&path).await.is(200), tags(0..50));
}

#[tokio::test]
async fn what_is_not_here_is_not_found_and_what_is_no_arn_is_refused() {
    let (plane, _dir) = plane().await;
    let (arn, _) = arns(&plane).await;
    for absent in [
        format!("{ACCOUNT}:runtime/gone-0123456789"),
        format!("{arn}/runtime-endpoint/prod"),
        format!("{ACCOUNT}:capacity-provider/gone-0123456789"),
        format!("{ACCOUNT}:memory/mine-0123456789"),
        arn.replace("us-west-2", "us-east-1"),
        arn.replace("000000000000", "111122223333"),
        arn.replace("arn:aws:", "arn:aws-cn:"),
    ] {
        let path = format!("/tags/{}", encoded(&absent));
        let untag = format!("{path}?tagKeys=x");
        for (method, path, body) in
            [("GET", &path, Value::Null), ("POST", &path, json!({"tags": {"a": "b"}})), ("DELETE", &untag, Value::Null)]
        {
            let answer = plane.call(method, path, &body).await;
            let want = (404, Some("ResourceNotFoundException"));
            assert_eq!((answer.status, answer.exception.as_deref()), want, "{method} {absent}: {answer:?}");
        }
    }
    for (method, path, body, at) in [
        ("GET", "/tags/short".to_owned(), Value::Null, "resourceArn"),
        ("GET", "/tags/arn:aws:s3:::a-bucket-of-mine".to_owned(), Value::Null, "resourceArn"),
        ("POST", format!("/tags/{arn}"), json!({}), "tags"),
        ("POST", format!("/tags/{arn}"), json!({"tags": {"a*": "b"}}), "tags.a*"),
        ("DELETE", format!("/tags/{arn}"), Value::Null, "tagKeys"),
        ("DELETE", format!("/tags/{arn}?tagKeys=a&tagKeys="), Value::Null, "tagKeys[1]"),
        ("GET", "/resourcepolicy/short".to_owned(), Value::Null, "resourceArn"),
        ("PUT", format!("/resourcepolicy/{arn}"), json!({}), "policy"),
        ("PUT", format!("/resourcepolicy/{arn}"), json!({"policy": ""}), "policy"),
        ("PUT", format!("/resourcepolicy/{arn}"), json!({"policy": "x".repeat(20_481)}), "policy"),
    ] {
        let answer = plane.call(method, &path, &body).await;
        assert_eq!(
            (answer.status, &answer.body["fieldList"][0]["name"]),
            (400, &json!(at)),
            "{method} {path}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_policy_is_attached_shown_verbatim_and_removed() {
    let (plane, _dir) = plane().await;
    let (runtime, endpoint) = arns(&plane).await;
    for arn in [&runtime, &endpoint] {
        let path = format!("/resourcepolicy/{}", encoded(arn));
        assert_eq!(plane.get(&path).await.is(200), json!({}), "the resource is there, a policy is not");
        let body = json!({"policy": policy(arn)});
        assert_eq!(plane.call("PUT", &path, &body).await.is(201), body);
        assert_eq!(plane.get(&path).await.is(200), body);
    }
    let path = format!("/resourcepolicy/{runtime}");
    plane.call("DELETE", &path, &Value::Null).await.is(204);
    let says = format!("resource {runtime} has no policy");
    plane.call("DELETE", &path, &Value::Null).await.refuses(404, "ResourceNotFoundException", &says);
    assert_eq!(plane.get(&format!("/resourcepolicy/{endpoint}")).await.is(200), json!({"policy": policy(&endpoint)}));
    for absent in [format!("{ACCOUNT}:runtime/gone-0123456789"), format!("{runtime}/runtime-endpoint/prod")] {
        let path = format!("/resourcepolicy/{absent}");
        for (method, body) in
            [("GET", Value::Null), ("PUT", json!({"policy": policy(&absent)})), ("DELETE", Value::Null)]
        {
            assert_eq!(plane.call(method, &path, &body).await.status, 404, "{method} {absent}");
        }
    }
}

#[tokio::test]
async fn a_policy_is_about_its_own_resource_alone() {
    let (plane, _dir) = plane().await;
    let (runtime, endpoint) = arns(&plane).await;
    let path = format!("/resourcepolicy/{runtime}");
    for other in [&policy("*"), &policy(&endpoint)] {
        let answer = plane.call("PUT", &path, &json!({"policy": other})).await;
        assert_eq!((answer.status, &answer.body["fieldList"][0]["name"]), (400, &json!("policy.Statement.Resource")));
    }
    assert_eq!(plane.get(&path).await.is(200), json!({}));
    let provider = format!("/resourcepolicy/{ACCOUNT}:capacity-provider/pool-0123456789");
    assert_eq!(plane.get(&provider).await.body["fieldList"][0]["name"], "resourceArn");
}

#[tokio::test]
async fn where_tokens_are_asked_for_a_policy_is_for_everyone() {
    let (plane, _dir) = plane().await;
    let created = plane.call("PUT", "/runtimes/", &largest_create()).await.is(202);
    let arn = created["agentRuntimeArn"].as_str().unwrap();
    let path = format!("/resourcepolicy/{arn}");
    let answer = plane.call("PUT", &path, &json!({"policy": policy(arn)})).await;
    assert_eq!((answer.status, &answer.body["fieldList"][0]["name"]), (400, &json!("policy.Statement.Principal")));
    let open = policy(arn).replace(r#"{"AWS":"arn:aws:iam::111122223333:root"}"#, r#""*""#);
    plane.call("PUT", &path, &json!({"policy": open})).await.is(201);
}
