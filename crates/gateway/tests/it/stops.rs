//! StopRuntimeSession.

use http_body_util::BodyExt;
use innkeep_gateway::Limits;
use innkeep_testkit::{FakeDriver, wait_for};

use crate::agent::{Step, chunk, chunked_head, json};
use crate::client::Call;
use crate::world::{SESSION, SOON, World};

#[tokio::test]
async fn a_stopped_session_starts_afresh() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("{}")).await.header("x-innkeep-start"), "cold");

    let stopped = client.send(Call::stop()).await;
    assert_eq!((stopped.status.as_u16(), &stopped.body[..]), (200, &b"{}"[..]));
    assert_eq!(stopped.header("x-amzn-bedrock-agentcore-runtime-session-id"), SESSION);

    assert_eq!(client.send(Call::invoke("{}")).await.header("x-innkeep-start"), "cold");
    assert_eq!(world.driver.launches(), 2);
}

#[tokio::test]
async fn stopping_cuts_the_sessions_streams() {
    let world = World::new(vec![chunked_head(), chunk("a"), Step::WaitForClose]).await;
    let mut client = world.client().await;
    let mut body = client.open(Call::invoke("{}")).await.into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(world.client().await.send(Call::stop()).await.status, 200);
    assert!(body.collect().await.is_err(), "never a clean end");
    world.agent.saw_close().await;
}

#[tokio::test]
async fn a_request_that_waits_while_its_session_is_stopped_is_told() {
    let world = World::new(vec![Step::WaitForClose]).await;
    let mut client = world.client().await;
    let (answer, ()) = tokio::join!(client.send(Call::invoke("{}")), async {
        wait_for("the request", SOON, || world.agent.n_received() == 1).await;
        assert_eq!(world.client().await.send(Call::stop()).await.status, 200);
    });
    assert_eq!(
        answer.error(),
        "424 RuntimeClientError (agent)\n{\"message\":\"The session was stopped before the agent answered\"}"
    );
}

#[tokio::test]
async fn what_does_not_run_cannot_be_stopped() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    let never = client.send(Call::stop()).await.error();
    assert!(never.starts_with("404 ResourceNotFoundException (caller)\n"), "{never}");
    client.send(Call::invoke("{}")).await;
    assert_eq!(client.send(Call::stop()).await.status, 200);
    wait_for("the end of the session", SOON, || world.registry.list().is_empty()).await;
    assert_eq!(client.send(Call::stop()).await.status, 404);
    let unnamed = client.send(Call::stop().without("x-amzn-bedrock-agentcore-runtime-session-id")).await.error();
    assert!(unnamed.starts_with("400 ") && unnamed.contains("Member must not be null"), "{unnamed}");
    assert_eq!(client.send(Call::stop().key(None)).await.status, 403);
}

#[tokio::test]
async fn a_session_that_is_starting_cannot_be_stopped_yet() {
    let world = World::with(json("{}"), Limits::default(), |_| FakeDriver::waiting()).await;
    let mut client = world.client().await;
    tokio::select! {
        _ = client.send(Call::invoke("{}")) => unreachable!("it never becomes ready"),
        () = wait_for("the launch", SOON, || world.driver.launches() == 1) => {}
    }
    let text = world.client().await.send(Call::stop()).await.error();
    assert_eq!(
        text,
        "409 RetryableConflictException (caller)\n{\"message\":\"Session operation in progress, please retry\"}"
    );
}
