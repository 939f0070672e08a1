//! Issuers that behave and issuers that do not: whatever they do, nobody is let in whose token was not verified with keys that are
//! known to be theirs, and nobody waits for long.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use innkeep_auth::jwt::Certificate;
use innkeep_fetch::IpRange;
use innkeep_gateway::{CertificateReader, IssuersConfig, Limits};
use innkeep_testkit::{Behaviour, FakeDriver, TestIssuer};
use serde_json::json;
use tokio::time::{Instant, advance, pause, resume};

use crate::agent::json as answer;
use crate::client::{Answer, Call, Client};
use crate::world::World;

const UNREACHABLE: &str = "403 AccessDeniedException (caller)\n{\"message\":\"OAuth authorization failed: the issuer of this agent's \
    tokens cannot be reached, and without its keys no token can be verified. Try again later\"}";

async fn worlds() -> (World, TestIssuer, Client) {
    let (world, issuer) = (World::new(answer("{}")).await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({})).await;
    let client = world.client().await;
    (world, issuer, client)
}

async fn try_token(client: &mut Client, issuer: &TestIssuer) -> Answer {
    client.send(Call::invoke("{}").bearer(&issuer.token(&json!({"client_id": "client"})))).await
}

async fn pass_time(secs: u64) {
    pause();
    advance(Duration::from_secs(secs)).await;
    resume();
}

#[tokio::test]
async fn an_issuer_that_is_down_from_the_start_lets_nobody_in_until_it_is_up() {
    let (world, issuer, mut client) = worlds().await;
    issuer.behave(Behaviour::Fails(StatusCode::BAD_GATEWAY));
    for _ in 0..3 {
        assert_eq!(try_token(&mut client, &issuer).await.error(), UNREACHABLE);
    }
    assert_eq!(issuer.asked().len(), 1, "it is left alone for a moment");
    issuer.behave(Behaviour::Answers { max_age: None });
    assert_eq!(try_token(&mut client, &issuer).await.error(), UNREACHABLE);
    pass_time(10).await;
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    assert_eq!(world.agent.n_received(), 1);
}

#[tokio::test]
async fn in_an_outage_known_keys_are_good_for_an_hour_and_ten_minutes() {
    let (_world, issuer, mut client) = worlds().await;
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    issuer.behave(Behaviour::Fails(StatusCode::SERVICE_UNAVAILABLE));
    pass_time(69 * 60).await;
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    assert_eq!(issuer.n_keys_asked(), 1);
    pass_time(61).await;
    assert_eq!(try_token(&mut client, &issuer).await.error(), UNREACHABLE);
}

#[tokio::test]
async fn a_key_that_is_new_is_found_and_the_old_one_is_forgotten() {
    let (_world, issuer, mut client) = worlds().await;
    let old = issuer.token(&json!({"client_id": "client"}));
    assert_eq!(client.send(Call::invoke("{}").bearer(&old)).await.status, 200);
    issuer.rotate();
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    assert_eq!(issuer.n_keys_asked(), 2);
    let refused = client.send(Call::invoke("{}").bearer(&old)).await;
    assert_eq!(refused.status, 401, "{refused:?}");
}

#[tokio::test]
async fn keys_that_nobody_published_have_the_issuer_asked_once_a_minute() {
    let (world, issuer, mut client) = worlds().await;
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    let claims = json!({"client_id": "client"});
    for (n, expect) in [(20, 2), (20, 3)] {
        for kid in 0..n {
            let token = issuer.foreign_token(&format!("made-up-{kid}"), &claims);
            assert_eq!(client.send(Call::invoke("{}").bearer(&token)).await.status, 401);
        }
        assert_eq!(issuer.n_keys_asked(), expect);
        pass_time(60).await;
    }
    let elsewhere = issuer.foreign_token("made-up", &json!({"client_id": "client", "iss": "https://elsewhere"}));
    assert_eq!(client.send(Call::invoke("{}").bearer(&elsewhere)).await.status, 401);
    assert_eq!(issuer.n_keys_asked(), 3, "not for tokens of others");
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    assert_eq!(world.agent.n_received(), 2);
}

#[tokio::test]
async fn keys_are_renewed_behind_the_requests() {
    let (_world, issuer, mut client) = worlds().await;
    issuer.behave(Behaviour::Answers { max_age: Some(100) });
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    pass_time(80).await;
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    innkeep_testkit::wait_for("new keys", crate::world::SOON, || issuer.n_keys_asked() == 2).await;
    pass_time(50).await;
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
    assert_eq!(issuer.n_keys_asked(), 2);
}

#[tokio::test]
async fn an_issuer_that_never_answers_is_waited_for_five_seconds() {
    let (world, issuer, mut client) = worlds().await;
    // What else is remembered is remembered now.
    assert_eq!(client.send(Call::invoke("{}").key(None)).await.status, 401);
    issuer.behave(Behaviour::Silent);
    pause();
    let asked_at = Instant::now();
    let refused = try_token(&mut client, &issuer).await.error();
    let waited = asked_at.elapsed();
    resume();
    assert_eq!(refused, UNREACHABLE);
    assert!((5..6).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(world.agent.n_received(), 0);
}

#[tokio::test]
async fn many_requests_ask_once() {
    let (world, issuer, _client) = worlds().await;
    let token = issuer.token(&json!({"client_id": "client"}));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(world.client().await);
    }
    let mut calls = tokio::task::JoinSet::new();
    for mut client in clients {
        let call = Call::invoke("{}").bearer(&token);
        calls.spawn(async move { client.send(call).await.status });
    }
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(issuer.asked().len(), 2);
}

#[tokio::test]
async fn documents_that_are_none_let_nobody_in() {
    let (world, issuer, mut client) = worlds().await;
    let nested = format!("{{\"keys\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for behaviour in [
        Behaviour::Discovery("<html>".to_owned()),
        Behaviour::Discovery(json!({"issuer": issuer.issuer()}).to_string()),
        Behaviour::Discovery(format!("{{\"issuer\": \"a\", \"jwks_uri\": \"b\", \"c\": \"{}\"}}", "x".repeat(70_000))),
        Behaviour::Discovery(json!({"issuer": issuer.issuer(), "jwks_uri": "file:///etc/passwd"}).to_string()),
        Behaviour::Keys("{}".to_owned()),
        Behaviour::Keys(nested),
        Behaviour::LargeKeys,
        Behaviour::SendsOn(issuer.discovery_url()),
        Behaviour::Fails(StatusCode::NO_CONTENT),
    ] {
        issuer.behave(behaviour.clone());
        assert_eq!(try_token(&mut client, &issuer).await.error(), UNREACHABLE, "{behaviour:?}");
        pass_time(10).await;
    }
    issuer.behave(Behaviour::Keys(json!({"keys": []}).to_string()));
    assert_eq!(try_token(&mut client, &issuer).await.status, 401);
    assert_eq!(world.agent.n_received(), 0);
}

#[tokio::test]
async fn an_issuer_may_send_us_on_a_few_times() {
    let (_world, issuer, mut client) = worlds().await;
    let other = TestIssuer::start().await;
    other.behave(Behaviour::SendsOn(format!("{}/keys", issuer.issuer())));
    issuer.behave(Behaviour::KeysAt(format!("{}/keys", other.issuer())));
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_asked() {
    let issuer = TestIssuer::start().await;
    let world = World::asking(answer("{}"), Limits::default(), FakeDriver::reaching, IssuersConfig::default()).await;
    world.take_tokens(&issuer, json!({})).await;
    let mut client = world.client().await;
    let hosts = issuer.issuer().replace("http://127.0.0.1", "");
    let urls = ["127.0.0.1", "localhost", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]", "[::1]"];
    for host in urls {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}{hosts}/.well-known/openid-configuration");
            world.take_tokens(&issuer, json!({"discoveryUrl": url})).await;
            assert_eq!(try_token(&mut client, &issuer).await.error(), UNREACHABLE, "{url}");
        }
    }
    assert_eq!(issuer.asked(), [""; 0]);
}

#[tokio::test]
async fn an_issuer_that_may_be_asked_leads_to_no_address_that_may_not() {
    // On loopback too, but on an address that the settings do not name.
    let (world, issuer, forbidden) = {
        let private = vec!["127.0.0.1".parse().unwrap()];
        let config = IssuersConfig { private, ..IssuersConfig::default() };
        let world = World::asking(answer("{}"), Limits::default(), FakeDriver::reaching, config).await;
        (world, TestIssuer::start().await, TestIssuer::start_at("127.0.0.2").await)
    };
    world.take_tokens(&issuer, json!({})).await;
    let mut client = world.client().await;
    for behaviour in
        [Behaviour::SendsOn(forbidden.discovery_url()), Behaviour::KeysAt(format!("{}/keys", forbidden.issuer()))]
    {
        issuer.behave(behaviour.clone());
        assert_eq!(try_token(&mut client, &issuer).await.error(), UNREACHABLE, "{behaviour:?}");
        pass_time(10).await;
    }
    assert_eq!((forbidden.asked().len(), world.agent.n_received()), (0, 0));
    issuer.behave(Behaviour::Answers { max_age: None });
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_lets_nobody_in_and_others_are_not_affected() {
    let certificates: CertificateReader = Arc::new(|certificate: Certificate| {
        let is_there = certificate.uri == "s3://here/ca.pem";
        Box::pin(async move { if is_there { Ok(b"no certificate".to_vec()) } else { Err("it is not there".into()) } })
    });
    let config = IssuersConfig { private: IpRange::LOOPBACK.to_vec(), certificates, ..IssuersConfig::default() };
    let world = World::asking(answer("{}"), Limits::default(), FakeDriver::reaching, config).await;
    let issuer = TestIssuer::start().await;
    let mut client = world.client().await;
    for uri in ["s3://here/ca.pem", "s3://elsewhere/ca.pem"] {
        world.take_tokens(&issuer, json!({"certificateConfigurations": [{"s3": {"uri": uri}}]})).await;
        assert_eq!(try_token(&mut client, &issuer).await.error(), UNREACHABLE, "{uri}");
    }
    assert_eq!(issuer.asked().len(), 0);
    world.take_tokens(&issuer, json!({})).await;
    assert_eq!(try_token(&mut client, &issuer).await.status, 200);
}
