//! Runtimes that take tokens: who is let in, and what everybody else is told.

use http::Method;
use innkeep_testkit::TestIssuer;
use innkeep_types::{RuntimeId, UnixMillis};
use serde_json::{Value, json};

use crate::agent::json as answer;
use crate::client::{Answer, Call, encode};
use crate::world::{ARN, RUNTIME, World};

const MISMATCH: &str = "403 AccessDeniedException (caller)\n{\"message\":\"Authorization method mismatch. The agent is configured for a \
    different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your \
    request uses the matching method (OAuth or SigV4)\"}";

const METADATA: &str = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A000000000000%3Aruntime%2Fhello-Ab3dE6gH9j/invocations\
    /.well-known/oauth-protected-resource";

async fn worlds() -> (World, TestIssuer) {
    let (world, issuer) = (World::new(answer("{}")).await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({})).await;
    (world, issuer)
}

fn good(issuer: &TestIssuer) -> String {
    issuer.token(&json!({"client_id": "client"}))
}

fn challenge(answer: &Answer) -> &str {
    answer.header("www-authenticate")
}

#[tokio::test]
async fn a_good_token_invokes_and_stops() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    let token = good(&issuer);
    let first = client.send(Call::invoke("hello").bearer(&token)).await;
    assert_eq!((first.status.as_u16(), first.header("x-innkeep-start")), (200, "cold"));
    assert_eq!(client.send(Call::invoke("hello").bearer(&token)).await.header("x-innkeep-start"), "warm");
    let received = world.agent.last();
    assert_eq!((received.body.as_ref(), received.header("authorization")), (&b"hello"[..], None));
    assert_eq!(issuer.n_keys_asked(), 1, "asked once for all");

    let stopped = client.send(Call::stop().bearer(&token)).await;
    assert_eq!((stopped.status.as_u16(), stopped.json()), (200, json!({})));
    assert_eq!(client.send(Call::stop().bearer(&token)).await.status, 404);
}

#[tokio::test]
async fn who_shows_no_token_is_told_where_to_get_one() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    let expect = format!("Bearer resource_metadata=\"http://localhost{METADATA}?qualifier=DEFAULT\"");
    for call in [Call::invoke("{}").key(None), Call::stop().key(None)] {
        let refused = client.send(call).await;
        assert_eq!(challenge(&refused), expect);
        assert_eq!(
            refused.error(),
            "401 UnauthorizedException (caller)\n{\"message\":\"A bearer token is required: send one of the issuer that \
             resource_metadata names, in the Authorization header\"}"
        );
    }
    assert_eq!((world.agent.n_received(), issuer.asked().len()), (0, 0));
}

#[tokio::test]
async fn a_token_that_is_not_as_demanded_is_401_and_what_is_none_is_403() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    let token = |claims: Value| issuer.token(&claims);
    let another = TestIssuer::start().await;
    for (token, status, message) in [
        (token(json!({})), 401, "Claim 'client_id' value mismatch with configuration."),
        (token(json!({"client_id": "other"})), 401, "Claim 'client_id' value mismatch with configuration."),
        (
            token(json!({"client_id": "client", "iss": "https://other"})),
            401,
            "Claim 'iss' value mismatch with configuration.",
        ),
        (token(json!({"client_id": "client", "exp": 1})), 401, "The token has expired: get a new one"),
        (token(json!({"client_id": "client", "exp": null})), 401, "Claim 'exp' is missing"),
        (
            another.foreign_token("key-0", &json!({"client_id": "client", "iss": issuer.issuer()})),
            401,
            "The token's signature does not match",
        ),
        (good(&another), 401, "The token's signature does not match"),
        ("abc".to_owned(), 403, "OAuth authorization failed: Failed to parse token"),
        (String::new(), 403, "OAuth authorization failed: Failed to parse token"),
    ] {
        for call in [Call::invoke("{}"), Call::stop()] {
            let refused = client.send(call.bearer(&token)).await;
            assert_eq!((refused.status.as_u16(), refused.json()), (status, json!({"message": message})));
            assert_eq!(!challenge(&refused).is_empty(), status == 401, "{message}");
        }
    }
    assert_eq!((world.agent.n_received(), world.driver.launches()), (0, 0));
}

#[tokio::test]
async fn each_way_in_refuses_who_comes_by_the_other() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    for call in [Call::invoke("{}"), Call::stop()] {
        let refused = client.send(call).await;
        assert_eq!((refused.error().as_str(), challenge(&refused)), (MISMATCH, ""));
    }
    world.update(|config| drop(config.kept.remove("authorizerConfiguration"))).await;
    for call in [Call::invoke("{}"), Call::stop()] {
        assert_eq!(client.send(call.bearer(&good(&issuer))).await.error(), MISMATCH);
    }
    assert_eq!(world.agent.n_received(), 0);
}

#[tokio::test]
async fn what_does_not_exist_looks_like_what_signatures_open() {
    let (world, issuer) = worlds().await;
    let plain = World::new(answer("{}")).await;
    let nowhere = [
        ARN.replace("hello", "other"),
        ARN.replace("us-west-2", "eu-west-1"),
        ARN.replace("000000000000", "000000000001"),
        format!("{ARN}/runtime-endpoint/other"),
    ];
    for arn in nowhere {
        for operation in ["invocations", "stopruntimesession"] {
            let path = format!("/runtimes/{}/{operation}", encode(&arn));
            for call in [Call::to(&path, "{}").key(None), Call::to(&path, "{}").bearer(&good(&issuer))] {
                let absent = world.client().await.send(call.clone()).await;
                let mut of_plain = call;
                of_plain.path = format!("/runtimes/{}/{operation}", encode(ARN));
                let present = plain.client().await.send(of_plain).await;
                assert_eq!((absent.error(), challenge(&absent)), (present.error(), challenge(&present)), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_user_is_not_named_besides_a_token() {
    let (world, issuer) = worlds().await;
    let call = Call::invoke("{}").header("x-amzn-bedrock-agentcore-runtime-user-id", "bob").bearer(&good(&issuer));
    let refused = world.client().await.send(call).await;
    assert!(refused.error().starts_with("400 ValidationException") && refused.error().contains("runtimeUserId"));
    assert_eq!(world.agent.n_received(), 0);
}

#[tokio::test]
async fn the_agent_gets_the_token_only_if_its_list_says_so() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    let token = good(&issuer);
    world.update(|config| config.request_headers = vec!["authorization".to_owned()]).await;
    assert_eq!(client.send(Call::invoke("{}").bearer(&token)).await.status, 200);
    assert_eq!(world.agent.last().header("authorization"), Some(format!("Bearer {token}").as_str()));
}

#[tokio::test]
async fn a_token_for_one_runtime_does_not_open_another() {
    let (world, issuer) = worlds().await;
    let token = issuer.token(&json!({"client_id": "client", "aud": "one"}));
    world.take_tokens(&issuer, json!({"allowedAudience": ["two"]})).await;
    let refused = world.client().await.send(Call::invoke("{}").bearer(&token)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["message"].as_str().unwrap()),
        (401, "Claim 'aud' value mismatch with configuration.")
    );
}

#[tokio::test]
async fn a_running_session_keeps_the_rules_of_its_version_besides_the_new_ones() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    let token = |client_id: &str| issuer.token(&json!({"client_id": client_id}));
    assert_eq!(client.send(Call::invoke("{}").bearer(&token("client"))).await.status, 200);
    world.take_tokens(&issuer, json!({"allowedClients": ["client", "late"]})).await;
    for call in [Call::invoke("{}"), Call::stop()] {
        assert_eq!(client.send(call.bearer(&token("late"))).await.status, 401, "its session takes other tokens");
    }
    assert_eq!(client.send(Call::invoke("{}").bearer(&token("client"))).await.header("x-innkeep-start"), "warm");
    let fresh = Call::invoke("{}").session("another-session-of-thirty-six-chars-2");
    assert_eq!(client.send(fresh.bearer(&token("late"))).await.status, 200);
}

#[tokio::test]
async fn a_session_outlives_its_endpoint_and_is_stopped_by_who_may() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("{}").bearer(&good(&issuer))).await.status, 200);
    world.store.begin_delete(&RuntimeId::parse(RUNTIME).unwrap(), None, None, UnixMillis(0)).await.unwrap();
    let other = issuer.token(&json!({"client_id": "other"}));
    assert_eq!(client.send(Call::stop().bearer(&other)).await.status, 401);
    assert_eq!(client.send(Call::stop().bearer(&good(&issuer))).await.status, 200);
}

#[tokio::test]
async fn an_authorizer_that_cannot_be_acted_on_lets_nobody_in() {
    let (world, issuer) = worlds().await;
    for rules in [json!({"allowedWorkloadConfiguration": {"workloadIdentities": ["a-gateway"]}}), json!({"unknown": 1})]
    {
        world.take_tokens(&issuer, rules).await;
        let mut client = world.client().await;
        let refused = client.send(Call::invoke("{}").bearer(&good(&issuer))).await;
        assert_eq!(
            refused.error(),
            "403 AccessDeniedException (caller)\n{\"message\":\"OAuth authorization failed: the agent's authorizer cannot be acted on, \
             so that nobody is let in. Its owner must update it\"}"
        );
        assert_eq!(client.send(Call::invoke("{}")).await.error(), MISMATCH);
        assert_eq!(client.send(Call::invoke("{}").key(None)).await.status, 401);
    }
    assert_eq!(world.agent.n_received(), 0);
}

#[tokio::test]
async fn metadata_is_told_to_anybody_without_asking_the_issuer() {
    let (world, issuer) = worlds().await;
    let mut client = world.client().await;
    let get = |query: &str| Call::to(&format!("{METADATA}{query}"), "").method(Method::GET).key(None);
    let resource = format!("http://localhost{}?qualifier=DEFAULT", METADATA.split_once("/.well").unwrap().0);
    for query in ["", "?qualifier=DEFAULT"] {
        let told = client.send(get(query)).await;
        assert_eq!((told.status.as_u16(), told.header("content-type")), (200, "application/json"));
        assert_eq!(told.json(), json!({"authorization_servers": [issuer.issuer()], "resource": resource}));
    }
    let scopes = json!({"allowedScopes": ["a", "b"], "advertisedScopeMapping": {"a": "api://x/a"}});
    world.take_tokens(&issuer, scopes).await;
    assert_eq!(client.send(get("")).await.json()["scopes_supported"], json!(["api://x/a", "b"]));
    assert_eq!(client.send(get("?qualifier=other")).await.status, 404);
    assert_eq!(client.send(get("?qualifier=a-b")).await.status, 400);
    assert_eq!(issuer.asked().len(), 0);

    world.update(|config| drop(config.kept.remove("authorizerConfiguration"))).await;
    let absent = client.send(get("")).await;
    assert!(absent.error().starts_with("404 ResourceNotFoundException"), "{}", absent.error());
}
