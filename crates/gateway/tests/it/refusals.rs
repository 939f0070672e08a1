//! Requests that never reach an agent.

use bytes::Bytes;
use http_body_util::BodyExt;
use innkeep_gateway::Limits;
use innkeep_store::Outcome;
use innkeep_types::{RuntimeId, Settings, Tier, UnixMillis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::agent::json;
use crate::client::{Call, encode};
use crate::world::{ARN, PLAIN_KEY, RUNTIME, SESSION, World};

async fn refused(world: &World, call: Call) -> String {
    let answer = world.client().await.send(call).await;
    assert!(!answer.header("x-amzn-requestid").is_empty());
    answer.error()
}

#[tokio::test]
async fn callers_who_cannot_prove_who_they_are_get_403() {
    let world = World::new(json("{}")).await;
    let missing = refused(&world, Call::invoke("{}").key(None)).await;
    assert_eq!(missing, "403 AccessDeniedException (caller)\n{\"message\":\"Missing Authentication Token\"}");
    let unknown = refused(&world, Call::invoke("{}").key(Some("AKIANOBODY"))).await;
    assert_eq!(
        unknown,
        "403 UnrecognizedClientException (caller)\n{\"message\":\"The security token included in the request is invalid\"}"
    );
    let mut altered = Call::invoke("{}");
    altered.signed_body = Some(Bytes::from_static(b"[]"));
    assert!(refused(&world, altered).await.starts_with("403 AccessDeniedException (caller)\n"));
    assert_eq!((world.agent.n_received(), world.driver.launches()), (0, 0));
}

#[tokio::test]
async fn what_does_not_exist_is_told_to_known_callers_only() {
    let world = World::new(json("{}")).await;
    let (other, path) = (ARN.replace("hello", "other"), |arn: &str| format!("/runtimes/{}/invocations", encode(arn)));
    let unknown = Call::to(&path(&other), "{}");
    let text = refused(&world, unknown.clone()).await;
    assert_eq!(
        text,
        format!(
            "404 ResourceNotFoundException (caller)\n{{\"message\":\"No endpoint or agent found with qualifier 'DEFAULT' for agent '{other}'\"}}"
        )
    );
    assert!(refused(&world, unknown.key(None)).await.starts_with("403 "));
    let elsewhere = ARN.replace("000000000000", "000000000001");
    assert!(refused(&world, Call::to(&path(&elsewhere), "{}")).await.starts_with("404 "));
    assert!(refused(&world, Call::to(&format!("{}?qualifier=prod", path(ARN)), "{}")).await.starts_with("404 "));
}

#[tokio::test]
async fn why_a_runtime_never_served_is_told_to_operators_only() {
    let world = World::new(json("{}")).await;
    let arn = ARN.replace("hello-Ab3dE6gH9j", "never-Ab3dE6gH9j");
    world.create_failed("never-Ab3dE6gH9j", "agent exited with status 1", "No module named nothing").await;
    let call = Call::to(&format!("/runtimes/{}/invocations", encode(&arn)), "{}");
    let told = refused(&world, call.clone()).await;
    let head = "404 ResourceNotFoundException (caller)\n";
    assert!(
        told.starts_with(head) && told.contains(": its version 1 is CREATE_FAILED: agent exited with status 1"),
        "{told}"
    );
    assert!(told.contains("No module named nothing"), "{told}");
    let others = refused(&world, call.key(Some(PLAIN_KEY))).await;
    let plain = format!("No endpoint or agent found with qualifier 'DEFAULT' for agent '{arn}'");
    assert_eq!(others, format!("{head}{{\"message\":\"{plain}\"}}"));
}

#[tokio::test]
async fn a_deleted_runtime_is_forgotten_at_once() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("{}")).await.status, 200);
    let id = RuntimeId::parse(RUNTIME).unwrap();
    world.store.begin_delete(&id, None, None, UnixMillis(1)).await.unwrap();
    assert_eq!(client.send(Call::invoke("{}")).await.status, 404);
}

#[tokio::test]
async fn a_runtime_that_demands_more_isolation_than_the_server_gives_is_not_started() {
    let world = World::new(json("{}")).await;
    let id = RuntimeId::parse(RUNTIME).unwrap();
    let first = world.store.get_version(&id, None).await.unwrap().unwrap();
    let settings = Settings { isolation: Some(Tier::Container), ..Settings::default() };
    let added = world.store.add_version(&id, first.config, Some(settings), None, UnixMillis(1)).await.unwrap();
    let ready = Outcome::Ready { bundle: first.bundle.unwrap() };
    world.store.finish_version(&id, added.version.version, ready, UnixMillis(1)).await.unwrap();
    let answer = refused(&world, Call::invoke("{}")).await;
    let expect = "503 ServiceUnavailableException (innkeep)\n{\"message\":\"the agent runtime demands isolation container, and this \
                  server gives process; ";
    assert!(answer.starts_with(expect), "{answer}");
    assert_eq!(world.driver.launches(), 0);
}

#[tokio::test]
async fn members_that_break_a_rule_are_named() {
    let world = World::new(json("{}")).await;
    let short = refused(&world, Call::invoke("{}").session("short")).await;
    assert_eq!(
        short,
        "400 ValidationException (caller)\n{\"fieldList\":[{\"message\":\"Member must have length greater than or equal \
         to 33\",\"name\":\"runtimeSessionId\"}],\"message\":\"Value at 'runtimeSessionId' failed to satisfy constraint: \
         Member must have length greater than or equal to 33\",\"reason\":\"FieldValidationFailed\"}"
    );
    for (call, member) in [
        (Call::invoke("{}").header("traceparent", &"x".repeat(129)), "traceParent"),
        (Call::to("/runtimes/nonsense/invocations", "{}"), "agentRuntimeArn"),
        (Call::to(&format!("/runtimes/{RUNTIME}/invocations"), "{}"), "accountId"),
        (Call::to(&format!("/runtimes/{ARN}/runtime-endpoint/a/invocations?qualifier=b"), "{}"), "qualifier"),
    ] {
        let text = refused(&world, call).await;
        assert!(text.starts_with("400 ") && text.contains(&format!("\"name\":\"{member}\"")), "{text}");
    }
}

#[tokio::test]
async fn a_refused_body_is_read_on_so_that_its_client_gets_the_answer() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    for _ in 0..2 {
        let answer = client.send(Call::invoke(vec![7; 20 << 20]).key(Some("AKIANOBODY"))).await;
        assert_eq!((answer.status.as_u16(), answer.header("connection")), (403, ""));
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let limits = Limits { max_body_bytes: 2 << 20, ..Limits::default() };
    let world = World::with_limits(json("{}"), limits).await;
    let text = refused(&world, Call::invoke(vec![7; (2 << 20) + 1])).await;
    assert!(text.starts_with("400 ValidationException (caller)\n") && text.contains("2097152 bytes"), "{text}");
    assert_eq!(world.client().await.send(Call::invoke(vec![7; 2 << 20])).await.status, 200);
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_is_refused_without_it() {
    let world = World::new(json("{}")).await;
    let mut connection = world.connect().await;
    let head = format!(
        "POST /runtimes/{ARN}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\
         Expect: 100-continue\r\nX-Amzn-Bedrock-AgentCore-Runtime-Session-Id: {SESSION}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_gets_it_once_its_head_is_good() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    let answer =
        client.send(Call::invoke(vec![7; 1 << 20]).header("expect", "100-continue").key(Some(PLAIN_KEY))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.agent.last().body.len(), 1 << 20);
}

#[tokio::test]
async fn other_paths_are_not_ours() {
    let world = World::new(json("{}")).await;
    let answer = world.client().await.open(Call::to("/runtimes/", "{}")).await;
    assert_eq!(answer.status(), 418);
    answer.into_body().collect().await.unwrap();
}
