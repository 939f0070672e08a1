//! Invocations whose callers do not wait are kept for those who made them.

use http::Method;
use innkeep_testkit::{TestIssuer, wait_for};
use serde_json::json;

use super::{about, accepted, asking, ended};
use crate::agent::json as answer;
use crate::world::{OPERATOR_KEY, PLAIN_KEY, SOON, World};

#[tokio::test]
async fn one_is_for_its_principal_and_for_operators_and_for_nobody_else() {
    let world = World::new(answer("{}")).await;
    world.principal_of("AKIASECOND", &[innkeep_auth::policy::ready("admin").unwrap().to_owned()]);
    let mut client = world.client().await;
    let location = accepted(&mut client, asking()).await;
    assert_eq!(ended(&mut client, &location).await.status, 200);
    for key in ["AKIASECOND", OPERATOR_KEY] {
        assert_eq!(client.send(about(&location).key(Some(key))).await.status, 200, "{key}");
    }

    let theirs = accepted(&mut client, asking().key(Some(OPERATOR_KEY))).await;
    for method in [Method::GET, Method::DELETE] {
        let taken = client.send(about(&theirs).method(method.clone())).await.error();
        let absent = "/innkeep/v1/invocations/0123456789abcdef0123456789abcdef";
        let missing = client.send(about(absent).method(method)).await.error();
        assert_eq!(taken.replace(theirs.rsplit('/').next().unwrap(), absent.rsplit('/').next().unwrap()), missing);
        assert!(taken.starts_with("404 ResourceNotFoundException (caller)"), "{taken}");
    }
    for call in [about(&theirs).key(None), about(&theirs).bearer("a.b.c")] {
        assert_eq!(client.send(call).await.status, 403);
    }
    let mut forged = about(&theirs).key(Some(OPERATOR_KEY));
    forged.signed_body = Some("another".into());
    assert_eq!(client.send(forged).await.status, 403);
    let denied = world.events.lock().iter().filter(|event| event.outcome.as_str() == "denied").count();
    assert_eq!(denied, 5, "two strangers and three without proof");

    // Who may no longer invoke may no longer read.
    world.principal_of(PLAIN_KEY, &[]);
    assert_eq!(client.send(about(&location)).await.status, 403);
}

#[tokio::test]
async fn one_is_its_tokens_subjects() {
    let (world, issuer) = (World::new(answer("{}")).await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({})).await;
    let token = |sub: &str, more: u32| issuer.token(&json!({"client_id": "client", "sub": sub, "more": more}));
    let mut client = world.client().await;
    let location = accepted(&mut client, asking().bearer(&token("alice", 1))).await;
    wait_for("the answer", SOON, || world.gateway.invocation_counts().running == 0).await;
    assert_eq!(client.send(about(&location).bearer(&token("alice", 2))).await.status, 200);
    assert_eq!(client.send(about(&location).bearer(&token("bob", 1))).await.status, 404);
    assert_eq!(client.send(about(&location).key(Some(OPERATOR_KEY))).await.status, 200);
    assert_eq!(client.send(about(&location).bearer("a.b.c")).await.status, 403);
    assert_eq!(client.send(about(&location)).await.status, 404, "a key is not a subject");

    let absent = "/innkeep/v1/invocations/0123456789abcdef0123456789abcdef";
    let foreign = issuer.foreign_token("another", &json!({"client_id": "client", "sub": "alice"}));
    let expired = issuer.token(&json!({"client_id": "client", "sub": "alice", "exp": 1}));
    for bad in [&token("bob", 1), &foreign, &expired] {
        let taken = client.send(about(&location).bearer(bad)).await;
        let missing = client.send(about(absent).bearer(bad)).await;
        assert_eq!(taken.header("www-authenticate"), missing.header("www-authenticate"));
        let id = |location: &str| location.rsplit('/').next().unwrap().to_owned();
        assert_eq!(taken.error().replace(&id(&location), &id(absent)), missing.error());
    }
}

#[tokio::test]
async fn who_cannot_be_told_from_others_waits() {
    let (world, issuer) = (World::new(answer("{}")).await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({"allowedClients": null, "allowedAudience": ["app"]})).await;
    let token = issuer.token(&json!({"aud": "app", "sub": null}));
    let answer = world.client().await.send(asking().bearer(&token)).await;
    assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (200, ""));
}
