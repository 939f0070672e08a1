//! A runtime is open to signatures or to tokens, never to both.

use innkeep_types::{RuntimeId, UnixMillis};
use serde_json::json;

use crate::agent::json as answer;
use crate::client::Call;
use crate::world::{PLAIN_KEY, RUNTIME, World};

const MISMATCH: &str = "403 AccessDeniedException (caller)\n{\"message\":\"Authorization method mismatch. The agent is configured for a \
    different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your \
    request uses the matching method (OAuth or SigV4)\"}";

async fn with_authorizer() -> World {
    let world = World::new(answer("{}")).await;
    let configuration = json!({"customJWTAuthorizer": {
        "discoveryUrl": "https://idp.example/.well-known/openid-configuration",
        "allowedClients": ["client"],
    }});
    world.update(|config| drop(config.kept.insert("authorizerConfiguration".to_owned(), configuration))).await;
    world
}

#[tokio::test]
async fn a_runtime_with_an_authorizer_refuses_whoever_signs() {
    let world = with_authorizer().await;
    let mut client = world.client().await;
    for call in [Call::invoke("{}"), Call::invoke("{}").key(Some(PLAIN_KEY)), Call::stop()] {
        assert_eq!(client.send(call).await.error(), MISMATCH);
    }
    assert_eq!((world.agent.n_received(), world.driver.launches()), (0, 0));
}

#[tokio::test]
async fn who_cannot_prove_his_signature_is_told_nothing_of_the_authorizer() {
    let world = with_authorizer().await;
    let mut client = world.client().await;
    for call in [Call::invoke("{}").key(Some("AKIANOBODY")), Call::stop().key(Some("AKIANOBODY"))] {
        let answer = client.send(call).await.error();
        assert!(answer.starts_with("403 ") && !answer.contains("mismatch"), "{answer}");
    }
}

#[tokio::test]
async fn an_authorizer_that_an_update_brings_closes_running_sessions_to_signatures() {
    let world = World::new(answer("{}")).await;
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("{}")).await.status, 200);
    let configuration = json!({"customJWTAuthorizer": {}});
    world.update(|config| drop(config.kept.insert("authorizerConfiguration".to_owned(), configuration))).await;
    for call in [Call::invoke("{}"), Call::stop()] {
        assert_eq!(client.send(call).await.error(), MISMATCH);
    }
    assert_eq!(world.agent.n_received(), 1);
    world.update(|config| drop(config.kept.remove("authorizerConfiguration"))).await;
    assert_eq!(client.send(Call::invoke("{}")).await.header("x-innkeep-start"), "warm");
}

#[tokio::test]
async fn a_session_of_a_version_with_an_authorizer_stays_closed_when_its_endpoint_moves_on() {
    let world = with_authorizer().await;
    world.start().await;
    world.update(|config| drop(config.kept.remove("authorizerConfiguration"))).await;
    let mut client = world.client().await;
    for call in [Call::invoke("{}"), Call::stop()] {
        assert_eq!(client.send(call).await.error(), MISMATCH);
    }
    assert_eq!((world.agent.n_received(), world.registry.list().len()), (0, 1));
    let other = Call::invoke("{}").session("another-session-of-thirty-six-chars-2");
    assert_eq!(client.send(other).await.status, 200);
}

#[tokio::test]
async fn a_session_stays_closed_when_its_endpoint_serves_nothing_any_more() {
    let world = with_authorizer().await;
    world.start().await;
    let runtime = RuntimeId::parse(RUNTIME).unwrap();
    world.store.begin_delete(&runtime, None, None, UnixMillis(0)).await.unwrap();
    assert_eq!(world.client().await.send(Call::stop()).await.error(), MISMATCH);
    assert_eq!(world.registry.list().len(), 1);
}
