//! Clients that keep the server waiting, and many of them.

use std::time::Duration;

use http::Method;
use innkeep_server::Config;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::wire::Draft;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let world = World::new(Config { head_timeout_secs: 1, ..Config::default() }).await;
    let mut silent = world.wire().await;
    let mut dripping = world.wire().await;
    let mut idle = world.wire().await;
    idle.send(world.request("hello")).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let drip = async {
        while dripping.stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(crate::wire::SOON, drip).await.expect("the dripping client is cut off");
    assert!(silent.is_cut().await && idle.is_cut().await);
    drop((silent, dripping, idle));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::new(Config { body_stall_timeout_secs: 1, ..Config::default() }).await;
    let digest = innkeep_auth::digest(b"never");
    let announced: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let announced = vec![("x-amz-content-sha256", announced)];
    let draft =
        |method: Method, target: &str| Draft { method, target: target.to_owned(), digest, headers: announced.clone() };
    let heads = [
        world.head_for(digest, &[]),
        world.sign(draft(Method::PUT, "/runtimes/")),
        world.sign(draft(Method::POST, "/innkeep/v1/sessions/stop")),
        world.sign(draft(Method::POST, "/innkeep/v1/artifacts?kind=zip")),
    ];
    let mut stalled = Vec::new();
    for framing in ["content-length: 5\r\n\r\nne", "transfer-encoding: chunked\r\n\r\n2\r\nne\r\n"] {
        for head in &heads {
            let mut wire = world.wire().await;
            wire.send(format!("{head}{framing}")).await;
            stalled.push(wire);
        }
    }
    for mut wire in stalled {
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(wire.is_cut().await, "the rest of the body must not be taken for a request");
    }
    world.finish().await;
}

/// A client that ends its half of the connection has left: nobody works on for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_closed_connections_end() {
    let world = World::new(Config::default()).await;
    let whole = world.request("hello");
    let endless = world.head_for(innkeep_auth::digest(b""), &[("accept", "endless")]);
    for bytes in [&whole[..20], &whole[..whole.len() - 2], &whole, &format!("{endless}content-length: 0\r\n\r\n")] {
        let mut wire = world.wire().await;
        wire.send(bytes).await;
        wire.stream.shutdown().await.unwrap();
        wire.is_cut().await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_waits_outside() {
    let world = World::new(Config { max_connections: 20, head_timeout_secs: 1, ..Config::default() }).await;
    let mut old = world.wire().await;
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.push(world.wire().await);
    }
    let mut late = world.wire().await;
    late.send(world.request("late")).await;
    // Those that are in go on; those that send nothing make room in time.
    let answered = timeout(crate::wire::SOON, async {
        tokio::select! {
            answer = late.answer() => answer.unwrap().status,
            () = async {
                loop {
                    old.send(world.request("hello")).await;
                    assert_eq!(old.answer().await.unwrap().status, 200);
                }
            } => unreachable!(),
        }
    });
    assert_eq!(answered.await.expect("the late one gets its turn"), 200);
    drop((old, flood, late));
    world.finish().await;
}
