//! Clients that do not read what they asked for.

use innkeep_server::Config;

use crate::wire::Wire;
use crate::world::World;

async fn asks_and_does_not_read(world: &World) -> Wire {
    let mut wire = world.wire().await;
    let head = world.head_for(innkeep_auth::digest(b""), &[("accept", "endless")]);
    wire.send(format!("{head}content-length: 0\r\n\r\n")).await;
    wire
}

/// Opens such clients, keeps their ends open, and waits for the server to let go of its own.
async fn are_cut_off(settings: Config) {
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
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_write_stall_limit() {
    are_cut_off(Config { write_stall_timeout_secs: 1, ..Config::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_latest_when_the_stream_must_be_over() {
    are_cut_off(Config { stream_timeout_secs: 1, ..Config::default() }).await;
}
