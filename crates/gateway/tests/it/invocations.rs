//! Invocations whose callers do not wait: accepted, polled, followed, given up.

mod bounds;
mod owners;

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use innkeep_testkit::wait_for;
use innkeep_types::{InvocationState, ServerProtocol};
use serde_json::json;

use crate::agent::{Step, chunk, chunked_head, json as answer, write};
use crate::client::{Answer, Call, Client};
use crate::world::{PLAIN_KEY, SESSION, SOON, World};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn asking() -> Call {
    Call::invoke("question").header("prefer", "respond-async").key(Some(PLAIN_KEY))
}

fn about(location: &str) -> Call {
    Call::to(location, "")
        .method(Method::GET)
        .without("x-amzn-bedrock-agentcore-runtime-session-id")
        .key(Some(PLAIN_KEY))
}

fn following(location: &str) -> Call {
    about(location).header("accept", "text/event-stream")
}

fn after(location: &str, id: &str) -> Call {
    following(location).header("last-event-id", id)
}

/// Has an invocation accepted, and returns where it is found.
async fn accepted(client: &mut Client, call: Call) -> String {
    let accepted = client.send(call).await;
    assert_eq!(accepted.status, 202, "{}", accepted.json());
    accepted.header("location").to_owned()
}

/// Asks until it is no longer running.
async fn ended(client: &mut Client, location: &str) -> Answer {
    tokio::time::timeout(SOON, async {
        loop {
            let answer = client.send(about(location)).await;
            if answer.header("x-innkeep-invocation-state") != "running" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap()
}

fn waiting(mut steps: Vec<Step>) -> Vec<Step> {
    steps.insert(0, Step::Wait);
    steps
}

#[tokio::test]
async fn one_is_accepted_then_running_then_its_answer_and_removed_when_asked_for() {
    let world = World::new(waiting(answer("{\"n\": 1}"))).await;
    let mut client = world.client().await;
    let accepted = client.send(asking()).await;
    assert_eq!((accepted.status.as_u16(), accepted.header("preference-applied")), (202, "respond-async"));
    let location = accepted.header("location").to_owned();
    let body = accepted.json();
    assert_eq!(location, format!("/innkeep/v1/invocations/{}", body["invocationId"].as_str().unwrap()));
    assert_eq!((&body["state"], &body["runtimeSessionId"]), (&json!("running"), &json!(SESSION)));
    assert_eq!(accepted.header("x-amzn-bedrock-agentcore-runtime-session-id"), SESSION);

    let running = client.send(about(&location)).await;
    assert_eq!((running.status.as_u16(), running.header("retry-after")), (202, "1"));
    assert_eq!(running.json(), body);
    let stored = world.store.list_invocations().await.unwrap();
    assert_eq!(stored.iter().map(|record| record.state).collect::<Vec<_>>(), [InvocationState::Running]);

    wait_for("the request", SOON, || world.agent.n_received() == 1).await;
    let received = world.agent.last();
    assert_eq!((received.body.as_ref(), received.header("prefer")), (&b"question"[..], None));
    world.agent.go_on();
    for _ in 0..2 {
        let done = ended(&mut client, &location).await;
        assert_eq!((done.status.as_u16(), done.header("x-innkeep-invocation-state")), (200, "done"));
        assert_eq!((done.header("content-type"), done.header("content-length")), ("application/json", "8"));
        assert_eq!((done.header("x-innkeep-start"), done.body.as_ref()), ("cold", &b"{\"n\": 1}"[..]));
    }
    let counts = world.gateway.invocation_counts();
    assert_eq!((counts.running, counts.kept, counts.bytes, counts.ended), (0, 1, 8, [0, 1, 0, 0]));
    wait_for("the end of the lease", SOON, || world.open_requests() == 0).await;

    assert_eq!(client.send(about(&location).method(Method::DELETE)).await.status, 204);
    assert_eq!(client.send(about(&location)).await.status, 404);
    assert_eq!(std::fs::read_dir(world.directory.path().join("invocations")).unwrap().count(), 0);
    assert_eq!((world.store.list_invocations().await.unwrap(), world.gateway.invocation_counts().bytes), (vec![], 0));
}

#[tokio::test]
async fn who_follows_gets_what_was_said_and_what_is_said_and_after_a_break_the_rest() {
    let steps = vec![
        chunked_head(),
        chunk("data: one\n\ndata: t"),
        Step::Wait,
        chunk("wo\n\n"),
        Step::Wait,
        chunk("data: three\n\n"),
        chunk(""),
    ];
    let world = World::new(steps).await;
    let location = accepted(&mut world.client().await, asking()).await;

    let mut follower = world.client().await;
    let mut stream = follower.open(following(&location)).await;
    assert_eq!(
        (stream.status().as_u16(), stream.headers()["content-type"].as_bytes()),
        (200, &b"text/event-stream"[..])
    );
    let mut seen = Vec::new();
    while !seen.ends_with(b"data: t") {
        seen.extend(stream.body_mut().frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(String::from_utf8_lossy(&seen), "data: one\nid: 11\n\ndata: t");
    world.agent.go_on();
    while !seen.ends_with(b"\n\n") {
        seen.extend(stream.body_mut().frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert!(seen.ends_with(b"data: two\nid: 22\n\n"), "{}", String::from_utf8_lossy(&seen));
    drop((stream, follower));

    let mut again = world.client().await;
    let mut rest = again.open(after(&location, "11")).await;
    world.agent.go_on();
    let rest = rest.body_mut().collect().await.unwrap().to_bytes();
    assert_eq!(rest, "data: two\nid: 22\n\ndata: three\nid: 35\n\n");
    let done = ended(&mut again, &location).await;
    assert_eq!(done.body, "data: one\n\ndata: two\n\ndata: three\n\n", "as the agent said it");
    assert_eq!(again.send(after(&location, "35")).await.status, 204, "which ends a browser's asking");
    for wrong in ["12", "36", "-1", "x", "18446744073709551616"] {
        let refused = again.send(after(&location, wrong)).await.error();
        assert!(refused.starts_with("400 ValidationException") && refused.contains("lastEventId"), "{refused}");
    }
    let whole = again.send(following(&location)).await.body;
    assert_eq!(whole, "data: one\nid: 11\n\ndata: two\nid: 22\n\ndata: three\nid: 35\n\n");
}

#[tokio::test]
async fn who_follows_an_answer_without_events_gets_it_as_it_is() {
    let world = World::new(waiting(answer("{}"))).await;
    let location = accepted(&mut world.client().await, asking()).await;
    world.agent.go_on();
    let found = world.client().await.send(following(&location)).await;
    assert_eq!((found.header("content-type"), found.body.as_ref()), ("application/json", &b"{}"[..]));
}

#[tokio::test]
async fn agents_that_speak_json_rpc_answer_the_request_itself() {
    let world = World::new(answer("{}")).await;
    for (server, expect) in [
        (ServerProtocol::Mcp, 200),
        (ServerProtocol::A2a, 200),
        (ServerProtocol::AgUi, 202),
        (ServerProtocol::Http, 202),
    ] {
        world.update(|config| config.protocol.server = server).await;
        let asking = asking().header("accept", "application/json, text/event-stream");
        let answer = world.client().await.send(asking.session(&format!("{}-{SESSION}", server.as_str()))).await;
        let applied = if expect == 202 { "respond-async" } else { "" };
        assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (expect, applied), "{server:?}");
    }
}

#[tokio::test]
async fn a_cancelled_one_is_given_up_and_its_agent_sees_it() {
    let world = World::new(vec![chunked_head(), chunk("data: one\n\n"), Step::WaitForClose]).await;
    let mut client = world.client().await;
    let location = accepted(&mut client, asking()).await;
    let mut follower = world.client().await;
    let mut stream = follower.open(following(&location)).await;
    stream.body_mut().frame().await.unwrap().unwrap();

    let cancelled = client.send(about(&location).method(Method::DELETE)).await;
    assert_eq!((cancelled.status.as_u16(), cancelled.header("x-innkeep-invocation-state")), (204, "cancelled"));
    world.agent.saw_close().await;
    assert!(stream.body_mut().collect().await.is_err(), "the one who follows sees no clean end");
    let found = client.send(about(&location)).await;
    assert_eq!(found.error(), "409 ConflictException (caller)\n{\"message\":\"The invocation was cancelled\"}");
    assert_eq!(found.header("x-innkeep-invocation-state"), "cancelled");
    assert_eq!(world.store.list_invocations().await.unwrap()[0].state, InvocationState::Cancelled);
    assert_eq!(client.send(about(&location).method(Method::DELETE)).await.status, 204);
    assert_eq!(client.send(about(&location).method(Method::DELETE)).await.status, 404);
    let told: Vec<_> = world.events.lock().iter().map(|event| event.action.clone()).collect();
    assert_eq!(told, ["StartRuntimeSession", "CancelInvocation", "CancelInvocation"]);
}

#[tokio::test]
async fn a_failure_is_told_as_to_one_who_waits() {
    let world = World::new(vec![write("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")]).await;
    let mut client = world.client().await;
    let sync = client.send(Call::invoke("{}").key(Some(PLAIN_KEY))).await;
    let location = accepted(&mut client, asking()).await;
    let failed = ended(&mut client, &location).await;
    assert_eq!((failed.header("x-innkeep-invocation-state"), failed.error()), ("failed", sync.error()));
    assert!(failed.error().starts_with("424 RuntimeClientError (agent)"), "{}", failed.error());

    world.agent.does(vec![chunked_head(), chunk("data: one\n\ndata"), Step::Close]);
    let location = accepted(&mut client, asking()).await;
    let broken = ended(&mut client, &location).await.error();
    assert!(broken.starts_with("424 ") && broken.contains("broke"), "{broken}");
    let mut stream = client.open(following(&location)).await;
    let first = stream.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: one\nid: 11\n\ndata", "what there is");
    assert!(stream.body_mut().frame().await.unwrap().is_err());
}
