//! TLS connections that do not come to be, or only slowly.

use std::time::Duration;

use innkeep_server::{Config, TlsMode};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::wire::{SOON, Wire};
use crate::world::World;

pub(crate) async fn world(settings: Config) -> World {
    World::new(Config { tls: TlsMode::Auto, ..settings }).await
}

/// The head of a handshake record that announces 512 bytes.
const HELLO: [u8; 5] = [22, 3, 1, 2, 0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let world = world(Config { head_timeout_secs: 1, ..Config::default() }).await;
    let mut silent = world.wire().await;
    let mut dripping = world.wire().await;
    let mut after = Wire::new(world.tls(&[]).await);
    dripping.send(HELLO).await;
    let drip = async {
        while dripping.stream.write_all(b"\x01").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, drip).await.expect("the dripping client is cut off");
    assert!(silent.is_cut().await && after.is_cut().await);
    drop((silent, dripping, after));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_count_as_connections() {
    let world = world(Config { max_connections: 5, head_timeout_secs: 2, ..Config::default() }).await;
    let mut flood = Vec::new();
    for _ in 0..20 {
        let mut wire = world.wire().await;
        wire.send(HELLO).await;
        flood.push(wire);
    }
    let began = tokio::time::Instant::now();
    assert_eq!(world.invoke("hello").await, Some((200, "5".to_owned())), "those that do nothing make room in time");
    assert!(began.elapsed() > Duration::from_secs(1), "there was room for more than five");
    drop(flood);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_tls_is_answered_or_cut() {
    let world = world(Config::default()).await;
    let mut plain = world.wire().await;
    plain.send(world.request("hello")).await;
    let answer = plain.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.contains("https://")), (400, true), "{answer:?}");
    for nonsense in [&[22; 600][..], &[22, 3, 1, 0, 1, 99], &[22]] {
        let mut wire = world.wire().await;
        wire.send(nonsense).await;
        wire.stream.shutdown().await.unwrap();
        wire.is_cut().await;
    }
    drop(plain);
    world.finish().await;
}
