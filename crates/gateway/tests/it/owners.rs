//! Sessions that are open only to those who started them.

use innkeep_auth::policy::ready;
use innkeep_testkit::{Behaviour, TestIssuer, wait_for};
use innkeep_types::{RuntimeId, Settings, UnixMillis};
use serde_json::json;

use crate::agent::{Step, json as answer};
use crate::client::{Answer, Call};
use crate::world::{OPERATOR_KEY, PLAIN_KEY, RUNTIME, SOON, World};

const STRANGER: &str = "403 AccessDeniedException (caller)\n{\"message\":\"The session belongs to another caller. Use a session id of your own\"}";

const UNUSED: &str = "another-session-of-forty-characters-0001";

/// A world whose runtime keeps owners from its next version on.
async fn keeping() -> World {
    let world = World::new(answer("{}")).await;
    keep(&world, true).await;
    world
}

async fn keep(world: &World, owner: bool) {
    let id = RuntimeId::parse(RUNTIME).unwrap();
    let settings = Settings { session_owner: Some(owner), ..Settings::default() };
    let config = world.store.get_version(&id, None).await.unwrap().unwrap().config;
    let added = world.store.add_version(&id, config, Some(settings), None, UnixMillis(1)).await.unwrap();
    world.ready(added.version.version).await;
}

async fn send(world: &World, call: Call, key: &'static str) -> Answer {
    world.client().await.send(call.key(Some(key))).await
}

async fn ended(world: &World) {
    wait_for("the end of the session", SOON, || world.registry.list().is_empty()).await;
}

#[tokio::test]
async fn a_session_is_open_to_its_principal_alone_while_it_runs_and_after() {
    let world = keeping().await;
    world.principal_of("AKIASECOND", &[ready("admin").unwrap().to_owned()]);
    assert_eq!(send(&world, Call::invoke("{}"), PLAIN_KEY).await.status, 200);
    assert_eq!(send(&world, Call::invoke("{}"), OPERATOR_KEY).await.error(), STRANGER);
    assert_eq!(send(&world, Call::invoke("{}"), "AKIASECOND").await.status, 200, "another key of the same principal");
    assert_eq!((world.agent.n_received(), world.driver.launches()), (2, 1));

    // A stop tells a stranger what it tells of a session that nobody has.
    let taken = send(&world, Call::stop(), OPERATOR_KEY).await.error();
    let unused = send(&world, Call::stop().session(UNUSED), OPERATOR_KEY).await.error();
    assert_eq!(taken, unused.replace(UNUSED, crate::world::SESSION));
    assert!(taken.starts_with("404 "), "{taken}");
    assert_eq!(send(&world, Call::stop(), PLAIN_KEY).await.status, 200);
    ended(&world).await;

    assert_eq!(send(&world, Call::invoke("{}"), OPERATOR_KEY).await.error(), STRANGER, "not told that it has ended");
    assert_eq!(world.driver.launches(), 1);
    assert_eq!(send(&world, Call::invoke("{}"), PLAIN_KEY).await.header("x-innkeep-start"), "cold");
    assert_eq!(send(&world, Call::invoke("{}").session(UNUSED), OPERATOR_KEY).await.status, 200, "one of his own");
}

#[tokio::test]
async fn of_two_who_ask_at_once_one_gets_the_session() {
    let world = keeping().await;
    let (one, other) =
        tokio::join!(send(&world, Call::invoke("{}"), PLAIN_KEY), send(&world, Call::invoke("{}"), OPERATOR_KEY));
    let mut found = [one.status.as_u16(), other.status.as_u16()];
    found.sort_unstable();
    assert_eq!((found, world.driver.launches()), ([200, 403], 1));
}

#[tokio::test]
async fn without_the_setting_an_id_is_enough_and_with_it_a_running_session_has_its_owner() {
    let world = World::new(answer("{}")).await;
    for key in [PLAIN_KEY, OPERATOR_KEY] {
        assert_eq!(send(&world, Call::invoke("{}"), key).await.status, 200);
    }
    keep(&world, true).await;
    assert_eq!(send(&world, Call::invoke("{}"), OPERATOR_KEY).await.error(), STRANGER);
    assert_eq!(send(&world, Call::invoke("{}"), PLAIN_KEY).await.header("x-innkeep-version"), "1");
    assert_eq!(send(&world, Call::stop(), OPERATOR_KEY).await.status, 404);
    keep(&world, false).await;
    assert_eq!(send(&world, Call::stop(), OPERATOR_KEY).await.status, 200);
}

#[tokio::test]
async fn a_session_is_its_tokens_subjects_whichever_token_it_is() {
    let (world, issuer) = (keeping().await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({})).await;
    let token = |sub: &str, more: u32| issuer.token(&json!({"client_id": "client", "sub": sub, "more": more}));
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("{}").bearer(&token("alice", 1))).await.status, 200);
    assert_eq!(client.send(Call::invoke("{}").bearer(&token("alice", 2))).await.status, 200);
    assert_eq!(client.send(Call::invoke("{}").bearer(&token("bob", 1))).await.error(), STRANGER);
    assert_eq!(client.send(Call::stop().bearer(&token("bob", 1))).await.status, 404);
    assert_eq!(client.send(Call::stop().bearer(&token("alice", 3))).await.status, 200);
}

#[tokio::test]
async fn who_cannot_be_told_from_others_has_no_session() {
    let (world, issuer) = (keeping().await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({"allowedClients": null, "allowedAudience": ["app"]})).await;
    let token = issuer.token(&json!({"aud": "app", "sub": null}));
    let refused = world.client().await.send(Call::invoke("{}").bearer(&token)).await.error();
    assert!(
        refused.contains("the token names none: it has neither a subject (sub) nor a client (client_id)"),
        "{refused}"
    );
    assert_eq!(world.driver.launches(), 0);
}

#[tokio::test]
async fn a_session_that_was_started_for_nobody_is_for_nobody() {
    let world = World::new(answer("{}")).await;
    world.start().await;
    keep(&world, true).await;
    for key in [PLAIN_KEY, OPERATOR_KEY] {
        assert_eq!(send(&world, Call::invoke("{}"), key).await.error(), STRANGER);
    }
}

#[tokio::test]
async fn the_audit_log_is_told_of_starts_stops_and_refusals() {
    let world = keeping().await;
    for call in [Call::invoke("{}"), Call::invoke("{}")] {
        send(&world, call, PLAIN_KEY).await;
    }
    send(&world, Call::invoke("secret of mine"), OPERATOR_KEY).await;
    send(&world, Call::stop(), OPERATOR_KEY).await;
    send(&world, Call::stop(), PLAIN_KEY).await;
    send(&world, Call::stop().session(UNUSED), PLAIN_KEY).await;
    let mut forged = Call::invoke("{}").key(Some(PLAIN_KEY));
    forged.signed_body = Some("another".into());
    world.client().await.send(forged).await;
    world.client().await.send(Call::invoke("{}").bearer("a.secret.token")).await;

    let events = world.events.lock().clone();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let who = event.principal.as_deref().map(|arn| arn.rsplit('/').next().unwrap());
            (who, event.access_key_id.as_deref(), event.action.as_str(), event.outcome.as_str(), event.error.as_deref())
        })
        .collect();
    let (denied, missing) = (Some("AccessDeniedException"), Some("ResourceNotFoundException"));
    assert_eq!(
        told,
        [
            (Some("plain"), Some(PLAIN_KEY), "StartRuntimeSession", "allowed", None),
            (Some("operator"), Some(OPERATOR_KEY), "InvokeAgentRuntime", "denied", denied),
            (Some("operator"), Some(OPERATOR_KEY), "StopRuntimeSession", "denied", missing),
            (Some("plain"), Some(PLAIN_KEY), "StopRuntimeSession", "allowed", None),
            (None, Some(PLAIN_KEY), "InvokeAgentRuntime", "denied", denied),
            (None, None, "InvokeAgentRuntime", "denied", denied),
        ]
    );
    let arn = format!("{}/runtime-endpoint/DEFAULT", crate::world::ARN);
    for event in &events {
        assert_eq!((event.resource.as_deref(), event.session.as_deref()), (Some(&*arn), Some(crate::world::SESSION)));
        assert!(event.request.is_some() && !format!("{event:?}").contains("secret"));
    }
}

#[tokio::test]
async fn the_audit_log_has_the_statement_that_denied() {
    let world = World::new(answer("{}")).await;
    let statement = json!({"Sid": "NotThisOne", "Effect": "Deny", "Action": "*", "Resource": "*"});
    let documents = [ready("admin").unwrap().to_owned(), json!({"Statement": statement}).to_string()];
    world.principal_of(PLAIN_KEY, &documents);
    assert_eq!(send(&world, Call::invoke("{}"), PLAIN_KEY).await.status, 403);
    assert_eq!(world.events.lock()[0].statement.as_deref(), Some("NotThisOne"));
}

#[tokio::test]
async fn an_issuer_under_anothers_name_has_none_of_its_users() {
    let (world, real, false_one) = (keeping().await, TestIssuer::start().await, TestIssuer::start().await);
    let document = json!({"issuer": real.issuer(), "jwks_uri": format!("{}/keys", false_one.issuer())});
    false_one.behave(Behaviour::Discovery(document.to_string()));
    world.take_tokens(&real, json!({})).await;
    let claims = json!({"client_id": "client", "sub": "alice", "iss": real.issuer()});
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("{}").bearer(&real.token(&claims))).await.status, 200);
    assert_eq!(client.send(Call::stop().bearer(&real.token(&claims))).await.status, 200);
    ended(&world).await;
    // Whoever may deploy names an issuer of his own, which says that it is the other one.
    world.take_tokens(&false_one, json!({})).await;
    assert_eq!(client.send(Call::invoke("{}").bearer(&false_one.token(&claims))).await.error(), STRANGER);
    assert_eq!(client.send(Call::invoke("{}").session(UNUSED).bearer(&false_one.token(&claims))).await.status, 200);
    let events = world.events.lock().clone();
    let names: Vec<&str> = events.iter().map(|event| event.principal.as_deref().unwrap()).collect();
    let [start, stop, denied, other] = names[..] else { panic!("{names:?}") };
    assert_eq!((start, denied), (stop, other), "as long as it is asked at the same place it is the same one");
    assert!(start.starts_with(&format!("{}#", real.issuer())), "{start}");
    assert!(other.starts_with(&format!("{}#", false_one.issuer())), "{other}");
    assert_ne!(start.rsplit('#').next(), other.rsplit('#').next());
}

#[tokio::test]
async fn a_caller_who_hangs_up_before_the_answer_is_in_the_audit_log() {
    let world = World::hearing_all(vec![Step::WaitForClose]).await;
    let mut client = world.client().await;
    tokio::select! {
        _ = client.send(Call::invoke("{}").key(Some(PLAIN_KEY))) => unreachable!("the agent never answers"),
        () = wait_for("the request", SOON, || world.agent.n_received() == 1) => {}
    }
    drop(client);
    wait_for("both lines", SOON, || world.events.lock().len() == 2).await;
    let event = world.events.lock()[1].clone();
    assert_eq!((event.action.as_str(), event.outcome.as_str()), ("InvokeAgentRuntime", "abandoned"));
    assert_eq!(
        (event.access_key_id.as_deref(), event.session.as_deref()),
        (Some(PLAIN_KEY), Some(crate::world::SESSION))
    );
    assert!(event.principal.unwrap().ends_with("user/plain"));
}

#[tokio::test]
async fn a_stop_has_its_line_whoever_waits_for_the_answer() {
    let world = World::new(answer("{}")).await;
    for n in 1..=20 {
        assert_eq!(send(&world, Call::invoke("{}"), PLAIN_KEY).await.status, 200);
        let mut client = world.client().await;
        tokio::select! {
            _ = client.send(Call::stop().key(Some(PLAIN_KEY))) => {}
            () = wait_for("the stop", SOON, || world.registry.list().is_empty()) => {}
        }
        drop(client);
        ended(&world).await;
        wait_for("a line for each stop", SOON, || {
            world.events.lock().iter().filter(|event| event.action == "StopRuntimeSession").count() == n
        })
        .await;
    }
}
