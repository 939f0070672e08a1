//! Answers that come bit by bit.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use innkeep_gateway::Limits;
use innkeep_testkit::wait_for;
use innkeep_types::AgentExit;

use crate::agent::{Step, chunk, chunked_head, write};
use crate::client::Call;
use crate::world::{SOON, World};

async fn next(body: &mut Incoming) -> String {
    let frame = body.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

/// Whether the answer ends as it should, or breaks off.
async fn ends_well(body: Incoming) -> bool {
    body.collect().await.is_ok()
}

#[tokio::test]
async fn events_come_as_the_agent_produces_them() {
    let last = write("0\r\n\r\n");
    let world = World::new(vec![chunked_head(), chunk("data: 1\n\n"), Step::Wait, chunk("data: 2\n\n"), last]).await;
    let mut client = world.client().await;
    let answer = client.open(Call::invoke("{}")).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].as_bytes()),
        (200, &b"text/event-stream"[..])
    );
    let mut body = answer.into_body();
    assert_eq!(next(&mut body).await, "data: 1\n\n");
    assert_eq!(world.open_requests(), 1, "the stream holds the session");
    world.agent.go_on();
    assert_eq!(next(&mut body).await, "data: 2\n\n");
    assert!(ends_well(body).await);
    wait_for("the lease's end", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn a_caller_who_leaves_is_seen_by_the_agent_and_leaves_the_session() {
    let world = World::new(vec![chunked_head(), chunk("data: 1\n\n"), Step::WaitForClose]).await;
    let mut client = world.client().await;
    let mut body = client.open(Call::invoke("{}")).await.into_body();
    assert_eq!(next(&mut body).await, "data: 1\n\n");
    drop((client, body));
    world.agent.saw_close().await;
    wait_for("the lease's end", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_answer_is_seen_too() {
    let world = World::new(vec![Step::WaitForClose]).await;
    let mut client = world.client().await;
    tokio::select! {
        _ = client.send(Call::invoke("{}")) => unreachable!("nobody answers"),
        () = wait_for("the request", SOON, || world.agent.n_received() == 1) => drop(client),
    }
    world.agent.saw_close().await;
    wait_for("the lease's end", SOON, || world.open_requests() == 0).await;
}

/// An answer whose agent closes in the middle, after `exit` if there is one.
async fn broken_off(head: Step, exit: Option<AgentExit>) -> bool {
    let world = World::new(vec![head, write("3\r\nabc\r\n"), Step::Wait, Step::Close]).await;
    let mut client = world.client().await;
    let mut body = client.open(Call::invoke("{}")).await.into_body();
    next(&mut body).await;
    if let Some(exit) = exit {
        world.driver.last().exit(exit, &[]);
    }
    world.agent.go_on();
    ends_well(body).await
}

#[tokio::test]
async fn an_agent_that_dies_in_mid_stream_is_never_a_clean_end() {
    let by_close = || write("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n");
    let by_length = write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    assert!(!broken_off(chunked_head(), None).await);
    assert!(!broken_off(chunked_head(), Some(AgentExit::Signal(9))).await);
    assert!(!broken_off(by_length, None).await);
    assert!(!broken_off(by_close(), Some(AgentExit::Signal(9))).await);
    assert!(broken_off(by_close(), None).await, "closing is how this one says that it is done");
    assert!(broken_off(by_close(), Some(AgentExit::Code(0))).await, "done with everything");
}

#[tokio::test]
async fn what_an_agent_wrote_before_it_exited_still_arrives() {
    let world = World::new(vec![chunked_head(), chunk("a"), Step::Wait, chunk("b"), write("0\r\n\r\n")]).await;
    let mut client = world.client().await;
    let mut body = client.open(Call::invoke("{}")).await.into_body();
    assert_eq!(next(&mut body).await, "a");
    world.driver.last().exit(AgentExit::Code(0), &[]);
    wait_for("the end of the session", SOON, || world.driver.last().is_dead()).await;
    world.agent.go_on();
    assert_eq!(next(&mut body).await, "b");
    assert!(ends_well(body).await);
}

#[tokio::test]
async fn a_stream_that_takes_too_long_is_cut() {
    let limits = Limits { stream_timeout: Duration::from_millis(200), ..Limits::default() };
    let world = World::with_limits(vec![chunked_head(), chunk("a"), Step::WaitForClose], limits).await;
    let mut client = world.client().await;
    let mut body = client.open(Call::invoke("{}")).await.into_body();
    assert_eq!(next(&mut body).await, "a");
    assert!(!ends_well(body).await);
    world.agent.saw_close().await;
}

#[tokio::test]
async fn a_stream_that_grows_too_large_is_cut() {
    let limits = Limits { max_body_bytes: 1000, ..Limits::default() };
    let large = "x".repeat(600);
    let world =
        World::with_limits(vec![chunked_head(), chunk(&large), chunk(&large), Step::WaitForClose], limits).await;
    let mut client = world.client().await;
    let body = client.open(Call::invoke("{}")).await.into_body();
    assert!(!ends_well(body).await);
    world.agent.saw_close().await;
}
