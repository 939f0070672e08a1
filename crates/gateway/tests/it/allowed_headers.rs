//! What a version's allow-list lets through to its agent.

use crate::agent::json;
use crate::client::Call;
use crate::world::World;

async fn allowing(names: &[&str]) -> World {
    let world = World::new(json("{}")).await;
    let names = names.iter().map(|&name| name.to_owned()).collect();
    world.update(|config| config.request_headers = names).await;
    world
}

const CUSTOM: &str = "x-amzn-bedrock-agentcore-runtime-custom-team";

#[tokio::test]
async fn what_is_listed_passes_and_nothing_else() {
    let world = allowing(&["x-tenant", CUSTOM]).await;
    let mut client = world.client().await;
    let longest = "x".repeat(4096);
    let call = Call::invoke("{}").header("x-tenant", &longest).header(CUSTOM, "blue").header("x-other", "no");
    assert_eq!(client.send(call).await.status, 200);
    let received = world.agent.last();
    assert_eq!((received.header("x-tenant"), received.header(CUSTOM)), (Some(&*longest), Some("blue")));
    assert_eq!(received.header("x-other"), None);

    assert_eq!(client.send(Call::invoke("{}")).await.status, 200);
    assert_eq!(world.agent.last().header("x-tenant"), None);
}

#[tokio::test]
async fn a_value_that_is_too_long_is_refused_and_one_that_is_not_listed_is_not_looked_at() {
    let world = allowing(&["x-tenant"]).await;
    let mut client = world.client().await;
    let long = "x".repeat(4097);
    let refused = client.send(Call::invoke("{}").header("x-tenant", &long)).await;
    assert_eq!(
        refused.error(),
        "400 ValidationException (caller)\n{\"fieldList\":[{\"message\":\"Member must have length less than or equal to 4096\",\
         \"name\":\"x-tenant\"}],\"message\":\"Value at 'x-tenant' failed to satisfy constraint: Member must have length less than or \
         equal to 4096\",\"reason\":\"FieldValidationFailed\"}"
    );
    assert_eq!((world.agent.n_received(), world.driver.launches()), (0, 0));
    assert_eq!(client.send(Call::invoke("{}").header("x-other", &long)).await.status, 200);
}

#[tokio::test]
async fn no_list_lets_a_caller_say_what_only_we_say() {
    let ours = [
        "authorization",
        "x-session-id",
        "x-request-id",
        "x-access-token",
        "workloadaccesstoken",
        "oauth2callbackurl",
        "x-amz-bedrock-agentcore-identity-wat",
        "x-amzn-bedrock-agentcore-runtime-request-id",
        "x-amzn-bedrock-agentcore-runtime-user-id",
    ];
    let world = allowing(&ours).await;
    let call = ours.iter().skip(1).fold(Call::invoke("{}"), |call, name| call.header(name, "forged"));
    assert_eq!(world.client().await.send(call).await.status, 200);
    let head = world.agent.last().head.join("\n");
    assert!(!head.contains("forged") && !head.contains("authorization"), "{head}");
    assert!(head.contains("x-session-id: a-session-of-thirty-six-characters-1"), "{head}");
}

#[tokio::test]
async fn what_passes_anyhow_passes_once() {
    let world = allowing(&["mcp-session-id", "traceparent"]).await;
    let call = Call::invoke("{}").header("mcp-session-id", "abc");
    assert_eq!(world.client().await.send(call).await.status, 200);
    let received = world.agent.last();
    let n_of = |name: &str| received.head.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!((n_of("mcp-session-id: abc"), n_of("mcp-session-id"), n_of("traceparent")), (1, 1, 1));
}

#[tokio::test]
async fn a_session_keeps_the_list_of_its_version() {
    let world = allowing(&["x-tenant"]).await;
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("{}").header("x-tenant", "a")).await.status, 200);
    world.update(|config| config.request_headers = vec!["x-other".to_owned()]).await;
    let call = Call::invoke("{}").header("x-tenant", "b").header("x-other", "c");
    for (call, tenant, other) in
        [(call.clone(), Some("b"), None), (call.session("another-session-of-thirty-six-chars-2"), None, Some("c"))]
    {
        assert_eq!(client.send(call).await.status, 200);
        let received = world.agent.last();
        assert_eq!((received.header("x-tenant"), received.header("x-other")), (tenant, other));
    }
}
