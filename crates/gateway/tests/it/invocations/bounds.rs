//! How long invocations run whose callers do not wait, how much is kept of them, and what is left when a server ends.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use innkeep_gateway::{AsyncLimits, Limit, Limits};
use innkeep_store::InvocationRecord;
use innkeep_testkit::wait_for;
use innkeep_types::{
    InvocationId, InvocationState, RequestId, RuntimeId, SessionId, SessionKey, SessionOwner, UnixMillis,
};

use super::{HOUR, about, accepted, asking, ended, following, waiting};
use crate::agent::{Step, chunk, chunked_head, json as answer};
use crate::client::Call;
use crate::world::{Ahead, OPERATOR_KEY, PLAIN_KEY, RUNTIME, SESSION, SOON, World};

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
