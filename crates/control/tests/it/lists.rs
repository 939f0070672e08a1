//! The lists and their pages.

use serde_json::{Value, json};

use crate::plane::{NOW, Plane, plane, request, request_with};

/// Returns the pages of a list, as `member` of each item.
async fn pages(plane: &Plane, path: &str, list: &str, member: &str, max_results: u32) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let page = plane.call("POST", &format!("{path}?maxResults={max_results}{token}"), &Value::Null).await.is(200);
        let items = page[list].as_array().unwrap();
        pages.push(items.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect());
        match page.get("nextToken") {
            Some(next) => token = format!("&nextToken={}", next.as_str().unwrap()),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn runtimes_are_listed_in_pages_oldest_first() {
    let (plane, _dir) = plane().await;
    let empty = plane.call("POST", "/runtimes/", &Value::Null).await.is(200);
    assert_eq!(empty, json!({"agentRuntimes": []}));
    let mut want = Vec::new();
    for name in ["a", "b", "c", "d"] {
        want.push(plane.create(name).await);
    }
    // Created at the same millisecond: then by id.
    want.sort();
    for size in 1..=5 {
        let got = pages(&plane, "/runtimes/", "agentRuntimes", "agentRuntimeId", size).await;
        let want: Vec<_> = want.chunks(size.try_into().unwrap()).map(<[String]>::to_vec).collect();
        assert_eq!(got, want, "{size}");
    }
}

#[tokio::test]
async fn versions_are_listed_newest_first_with_every_member() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    plane.call("PUT", &format!("/runtimes/{id}/"), &request_with("description", json!("two"))).await.is(202);
    plane.settled(&id).await;
    let path = format!("/runtimes/{id}/versions/");
    let listed = plane.call("POST", &path, &Value::Null).await.is(200);
    let item = |version: &str, description: &str| {
        json!({
            "agentRuntimeArn": format!("arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/{id}"),
            "agentRuntimeId": id,
            "agentRuntimeVersion": version,
            "agentRuntimeName": "hello",
            "description": description,
            "lastUpdatedAt": NOW,
            "status": "READY",
        })
    };
    assert_eq!(listed, json!({"agentRuntimes": [item("2", "two"), item("1", "")]}));
    assert_eq!(pages(&plane, &path, "agentRuntimes", "agentRuntimeVersion", 1).await, [["2"], ["1"]]);
}

#[tokio::test]
async fn endpoints_are_listed() {
    let (plane, _dir) = plane().await;
    let id = plane.create("hello").await;
    let path = format!("/runtimes/{id}/runtime-endpoints/");
    assert_eq!(pages(&plane, &path, "runtimeEndpoints", "name", 1).await, [["DEFAULT"]]);
    let listed = plane.call("POST", &path, &Value::Null).await.is(200);
    assert_eq!(listed["runtimeEndpoints"][0], plane.get(&format!("{path}DEFAULT/")).await.is(200));
}

#[tokio::test]
async fn page_members_are_checked() {
    let (plane, _dir) = plane().await;
    let id = plane.create("a").await;
    plane.call("PUT", &format!("/runtimes/{id}/"), &request()).await.is(202);
    plane.settled(&id).await;
    let versions = format!("/runtimes/{id}/versions/");
    let page = plane.call("POST", &format!("{versions}?maxResults=1"), &Value::Null).await.is(200);
    let token = page["nextToken"].as_str().unwrap();
    for (target, at) in [
        ("/runtimes/?maxResults=0".to_owned(), "maxResults"),
        ("/runtimes/?maxResults=101".to_owned(), "maxResults"),
        ("/runtimes/?maxResults=ten".to_owned(), "maxResults"),
        ("/runtimes/?nextToken=".to_owned(), "nextToken"),
        ("/runtimes/?nextToken=x".to_owned(), "nextToken"),
        (format!("/runtimes/?nextToken={token}"), "nextToken"),
        (format!("{versions}?nextToken=1{token}"), "nextToken"),
    ] {
        let answer = plane.call("POST", &target, &Value::Null).await;
        assert_eq!((answer.status, &answer.body["fieldList"][0]["name"]), (400, &json!(at)), "{target}");
    }
}
