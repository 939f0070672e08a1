//! Clients that do not read what they asked for.

use std::time::Duration;

use innkeep_server::Config;

use crate::wire::Wire;
use crate::world::{World, memory};

const CLIENTS: u64 = 100;

/// What the server may hold of each: twice 64 KiB of request, and a piece of up to 400 KiB of the answer. Stated in
/// docs/limits.md.
const CLIENT_BOUND: u64 = (2 * 64 + 400) << 10;

/// What may be gained beside: the allocator's own, tasks, stacks.
const FIXED_BOUND: u64 = 16 << 20;

async fn asks_and_does_not_read(world: &World) -> Wire {
    let mut wire = world.wire().await;
    let head = world.head_for(innkeep_auth::digest(b""), &[("accept", "endless")]);
    wire.send(format!("{head}content-length: 0\r\n\r\n")).await;
    wire
}

/// Opens such clients, keeps their ends open, and waits for the server to let go of its own, which it counts as crossings of `limit`.
async fn are_cut_off(settings: Config, limit: &str) {
    let world = World::new(settings).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(asks_and_does_not_read(&world).await);
    }
    assert_eq!(world.invoke("hello").await, Some((200, "5".to_owned())), "others are served meanwhile");
    for client in &mut clients {
        // Reading now would be what they do not do; the kernel tells when the other end is gone.
        let gone = client.stream.ready(tokio::io::Interest::ERROR);
        tokio::time::timeout(crate::wire::SOON, gone).await.expect("the connection's end").unwrap();
    }
    drop(clients);
    world.crosses(limit, 5).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_write_stall_limit() {
    are_cut_off(Config { write_stall_timeout_secs: 1, ..Config::default() }, "write_stall_timeout_secs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_latest_when_the_stream_must_be_over() {
    are_cut_off(Config { stream_timeout_secs: 1, ..Config::default() }, "stream_timeout_secs").await;
}

/// Returns once the process's memory has been the same for half a second.
async fn memory_is_at_rest() {
    let (mut held, mut unchanged) = (0, 0);
    let at_rest = tokio::time::timeout(crate::wire::SOON, async {
        while unchanged < 10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = memory("VmRSS");
            unchanged = if now == held { unchanged + 1 } else { 0 };
            held = now;
        }
    });
    at_rest.await.expect("the server stops to read what nobody takes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_however_much_their_agents_send() {
    let world = World::new(Config::default()).await;
    let before = memory("VmRSS");
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(asks_and_does_not_read(&world).await);
    }
    for client in &clients {
        let begun = client.stream.readable();
        tokio::time::timeout(crate::wire::SOON, begun).await.expect("the answer begins").unwrap();
    }
    memory_is_at_rest().await;
    let gained = memory("VmHWM").saturating_sub(before);
    println!("{CLIENTS} clients that read nothing of endless answers: at most {} KiB more resident", gained >> 10);
    assert!(gained < CLIENTS * CLIENT_BOUND + FIXED_BOUND, "{gained} bytes");
    drop(clients);
    world.finish().await;
}
