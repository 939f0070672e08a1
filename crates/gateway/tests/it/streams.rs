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
    let answer = world.client().await.open(Call::invoke("{}")).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].as_bytes()), (200, &b"text/event-stream"[..]));
    let mut body = answer.into_body();
    assert_eq!(next(&mut body).await, "data: 1\n\n");
    assert_eq!(world.open_requests(), 1, "the stream holds the session");
    world.agent.go_on();
    assert_eq!(next(&mut body).await, "data: 2\n\n");
    assert!(ends_well(body).await);
    wait_for("the lease's end", SOON, || world.open_requests() == 0).await;
}
