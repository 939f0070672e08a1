//! Invocations whose callers do not wait: accepted, polled, followed, given up, and kept for those who made them.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use innkeep_gateway::{AsyncLimits, Limit, Limits};
use innkeep_store::InvocationRecord;
use innkeep_testkit::{TestIssuer, wait_for};
use innkeep_types::{
    InvocationId, InvocationState, RequestId, RuntimeId, ServerProtocol, SessionId, SessionKey, SessionOwner,
    UnixMillis,
};
use serde_json::json;

use crate::agent::{Step, chunk, chunked_head, json as answer, write};
use crate::client::{Answer, Call, Client};
use crate::world::{Ahead, OPERATOR_KEY, PLAIN_KEY, RUNTIME, SESSION, SOON, World};

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
}

#[tokio::test]
async fn who_cannot_be_told_from_others_waits() {
    let (world, issuer) = (World::new(answer("{}")).await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({"allowedClients": null, "allowedAudience": ["app"]})).await;
    let token = issuer.token(&json!({"aud": "app", "sub": null}));
    let answer = world.client().await.send(asking().bearer(&token)).await;
    assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (200, ""));
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

#[tokio::test]
async fn it_takes_longer_than_who_waits_may_and_not_for_ever() {
    let brief = Duration::from_millis(200);
    let limits = Limits { sync_request_timeout: brief, stream_timeout: brief, ..Limits::default() };
    let world = World::keeping_within(waiting(answer("{}")), limits, AsyncLimits::default(), Ahead::default()).await;
    let mut client = world.client().await;
    let location = accepted(&mut client, asking()).await;
    let waited = client.send(following(&location)).await;
    assert_eq!((waited.status.as_u16(), waited.header("x-innkeep-invocation-state")), (202, "running"));
    world.agent.go_on();
    assert_eq!(ended(&mut client, &location).await.status, 200, "after more than a waiting caller has");

    world.agent.does(vec![chunked_head(), chunk("data: one\n\n"), Step::WaitForClose]);
    let location = accepted(&mut client, asking()).await;
    let mut stream = client.open(following(&location)).await;
    assert!(stream.body_mut().collect().await.is_err(), "who follows has his own limit");
    assert_eq!(world.gateway.invocation_counts().running, 1, "and what he follows does not end with it");

    let limits = AsyncLimits { timeout: brief, ..AsyncLimits::default() };
    let world = World::keeping(vec![Step::WaitForClose], limits, Ahead::default()).await;
    let mut client = world.client().await;
    for steps in [vec![Step::WaitForClose], vec![chunked_head(), chunk("data: one\n\n"), Step::WaitForClose]] {
        world.agent.does(steps);
        let location = accepted(&mut client, asking()).await;
        let late = ended(&mut client, &location).await.error();
        assert!(late.starts_with("504 GatewayTimeoutException (agent)"), "{late}");
        world.agent.saw_close().await;
    }
    assert_eq!(world.gateway.crossings(Limit::AsyncTimeout), 2);
    assert_eq!([Limit::SyncRequest, Limit::Stream].map(|limit| world.gateway.crossings(limit)), [0, 0]);
}

#[tokio::test]
async fn answers_are_bounded_each_and_together_and_so_is_what_one_caller_has() {
    let limits =
        AsyncLimits { max_bytes: 100, total_bytes: 120, max_running: 3, max_kept: 8, ..AsyncLimits::default() };
    let world = World::keeping(answer(&"1".repeat(101)), limits, Ahead::default()).await;
    let mut client = world.client().await;
    let location = accepted(&mut client, asking()).await;
    let large = ended(&mut client, &location).await.error();
    assert!(large.starts_with("424 ") && large.contains("larger than 100 bytes"), "{large}");
    world.agent.does(vec![chunked_head(), chunk(&"1".repeat(101)), Step::WaitForClose]);
    let location = accepted(&mut client, asking()).await;
    assert!(ended(&mut client, &location).await.error().starts_with("424 "));
    assert_eq!((world.gateway.crossings(Limit::AsyncBody), world.gateway.crossings(Limit::Body)), (2, 0));
    client.send(about(&location).method(Method::DELETE)).await;

    // Half of all is sixty bytes. A request on its way takes room too, until the agent has it.
    world.agent.does(answer(&"1".repeat(40)));
    let long = Call::invoke("?".repeat(61)).header("prefer", "respond-async").key(Some(PLAIN_KEY));
    assert_eq!(client.send(long).await.status, 429);
    assert_eq!((world.gateway.invocation_counts().bytes, world.gateway.invocation_counts().kept), (0, 1));
    let first = accepted(&mut client, asking()).await;
    assert_eq!(ended(&mut client, &first).await.status, 200);
    let second = accepted(&mut client, asking()).await;
    let full = ended(&mut client, &second).await;
    assert!(full.error().starts_with("429 ThrottlingException (caller)"), "{}", full.error());
    assert_eq!((world.gateway.invocation_counts().bytes, world.gateway.invocation_counts().refused), (40, [0, 0, 2]));
    let other = accepted(&mut client, asking().key(Some(OPERATOR_KEY))).await;
    wait_for("the answer", SOON, || world.gateway.invocation_counts().running == 0).await;
    assert_eq!(client.send(about(&other).key(Some(OPERATOR_KEY))).await.status, 200, "there is some for another");
    assert_eq!(client.send(about(&first).method(Method::DELETE)).await.status, 204);
    let third = accepted(&mut client, asking()).await;
    assert_eq!(ended(&mut client, &third).await.status, 200, "there is room again");

    // Four of eight are kept, which is what one caller may have: three of them failed or not, one more does not fit.
    let fourth = accepted(&mut client, asking()).await;
    ended(&mut client, &fourth).await;
    let refused = client.send(asking()).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "10"));
    assert_eq!(world.gateway.invocation_counts().refused[1], 1);

    for location in [&location, &second, &third, &fourth] {
        client.send(about(location).method(Method::DELETE)).await;
    }
    world.agent.does(waiting(answer("{}")));
    for _ in 0..2 {
        accepted(&mut client, asking()).await;
    }
    assert_eq!(client.send(asking()).await.status, 429, "two of three may run");
    assert_eq!(world.gateway.invocation_counts().refused[0], 1);
}

#[tokio::test]
async fn after_an_hour_it_is_gone() {
    let clock = Ahead::default();
    let world = World::keeping(answer("{}"), AsyncLimits::default(), clock.clone()).await;
    let mut client = world.client().await;
    let location = accepted(&mut client, asking()).await;
    assert_eq!(ended(&mut client, &location).await.status, 200);
    let mut look = async |ahead| {
        clock.set(ahead);
        let mut call = about(&location);
        call.ahead = ahead;
        client.send(call).await.status.as_u16()
    };
    assert_eq!(look(HOUR - Duration::from_secs(60)).await, 200);
    world.gateway.sweep_invocations().await.unwrap();
    assert_eq!((look(HOUR + SOON).await, world.gateway.invocation_counts().bytes), (404, 2));
    world.gateway.sweep_invocations().await.unwrap();
    assert_eq!((world.store.list_invocations().await.unwrap(), world.gateway.invocation_counts().bytes), (vec![], 0));
    assert_eq!(std::fs::read_dir(world.directory.path().join("invocations")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_server_left_is_told_as_it_is() {
    let world = World::new(answer("{}")).await;
    let directory = world.directory.path().join("invocations");
    let record = |state, bytes| InvocationRecord {
        id: InvocationId::generate(),
        session: SessionKey {
            runtime: RuntimeId::parse(RUNTIME).unwrap(),
            endpoint: innkeep_types::EndpointName::default_endpoint(),
            session: SessionId::parse(SESSION).unwrap(),
        },
        owner: SessionOwner::new([1; 32]),
        request: RequestId::generate(),
        created_at: UnixMillis(1),
        state,
        ended_at: (state != InvocationState::Running).then(|| innkeep_types::Clock::now(&innkeep_types::SystemClock)),
        head: Some(innkeep_types::InvocationHead {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        }),
        bytes,
        failure: None,
    };
    let (running, done) = (record(InvocationState::Running, 0), record(InvocationState::Done, 9));
    let lost = record(InvocationState::Done, 9);
    for kept in [&running, &done] {
        std::fs::write(directory.join(kept.id.as_str()), "data: a\n\n").unwrap();
    }
    std::fs::write(directory.join("stray"), "x").unwrap();
    for record in [&running, &done, &lost] {
        world.store.put_invocation(record.clone()).await.unwrap();
    }
    world.gateway.load_invocations().await.unwrap();

    let mut client = world.client().await;
    let at = |record: &InvocationRecord| format!("/innkeep/v1/invocations/{}", record.id);
    let interrupted = client.send(about(&at(&running)).key(Some(OPERATOR_KEY))).await;
    assert_eq!(interrupted.header("x-innkeep-invocation-state"), "failed");
    let words = interrupted.error();
    assert!(
        words.starts_with("500 InternalServerException (innkeep)") && words.contains("The server ended"),
        "{words}"
    );
    let mut partial = client.open(following(&at(&running)).key(Some(OPERATOR_KEY))).await;
    let said = partial.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(said, "data: a\nid: 9\n\n");
    drop(partial);
    let mut client = world.client().await;
    assert_eq!(client.send(about(&at(&done)).key(Some(OPERATOR_KEY))).await.body, "data: a\n\n");
    let lost = client.send(about(&at(&lost)).key(Some(OPERATOR_KEY))).await.error();
    assert!(lost.starts_with("500 ") && lost.contains("is lost"), "{lost}");
    let states: Vec<_> = world.store.list_invocations().await.unwrap().iter().map(|record| record.state).collect();
    assert_eq!(states.iter().filter(|state| **state == InvocationState::Failed).count(), 2);
    assert!(!directory.join("stray").exists());
    assert_eq!(world.gateway.invocation_counts().bytes, 18);
}

#[tokio::test]
async fn the_end_of_the_server_is_no_fault_of_the_agent() {
    let world = World::new(vec![Step::Wait]).await;
    accepted(&mut world.client().await, asking()).await;
    wait_for("the request", SOON, || world.agent.n_received() == 1).await;
    world.tasks.finish().await;
    let stored = world.store.list_invocations().await.unwrap();
    let failure = stored[0].failure.as_ref().unwrap();
    assert_eq!(stored[0].state, InvocationState::Failed);
    assert!(failure.message.starts_with("The server ended"), "{}", failure.message);
}
