//! Sandboxes and sessions that somebody asks for before anybody needs them.

use innkeep_sandbox::Error;
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{ErrorKind, limits};
use tokio::time::Instant;

use super::pool::{FIXED, pooled, serve};
use super::world::{SOON, deployment, session, world as world_of};

#[tokio::test(start_paused = true)]
async fn members_that_are_asked_for_come_once_and_go_when_nobody_comes() {
    let world = world_of(FakeDriver::ready());
    let version = deployment(1);
    serve(&world, &[&version]);
    world.registry.prewarm(&version, 3).await.unwrap();
    world.wait_for_ready(3).await;
    world.acquire("alice", &version).await.unwrap();
    world.settle().await;
    assert_eq!((world.ready().len(), world.pool().hits), (2, 1), "those that are taken are not made again");
    tokio::time::sleep(limits::POOL_QUIET + limits::POOL_LOOK_INTERVAL * 2).await;
    assert!(world.registry.pools().is_empty() && world.driver.alive() == 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_ready_of_what_an_endpoint_moved_away_from() {
    let world = world_of(FakeDriver::ready());
    let (old, new) = (pooled(1, FIXED(1)), deployment(2));
    serve(&world, &[&old]);
    // Found before the move, and asked for after it.
    serve(&world, &[&new]);
    let refused = world.registry.prewarm(&old, 2).await.unwrap_err();
    assert!(matches!(refused, Error::NotServed(_)), "{refused}");
    assert_eq!((refused.kind(), world.registry.pools().len()), (ErrorKind::RetryableConflict, 0));
    wait_for("what waited to end", SOON, || world.driver.alive() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_what_is_served_only_just_now_waits_for_it() {
    let world = world_of(FakeDriver::ready());
    let version = deployment(1);
    let asked = Instant::now();
    let soon = async {
        tokio::time::sleep(limits::SERVED_SOON / 2).await;
        serve(&world, &[&version]);
    };
    let (prewarmed, ()) = tokio::join!(world.registry.prewarm(&version, 1), soon);
    prewarmed.unwrap();
    assert_eq!(asked.elapsed(), limits::SERVED_SOON / 2);
    world.wait_for_ready(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_asked_for_is_there_before_its_first_request_and_idles_out_without_one() {
    let world = world_of(FakeDriver::ready());
    let version = deployment(1);
    for _ in 0..2 {
        world.registry.prewarm_session(&session("alice"), &version).unwrap();
    }
    wait_for("it to be ready", SOON, || world.states() == ["Idle"]).await;
    assert_eq!(world.registry.list()[0].origin.request, None);
    assert!(!world.acquire("alice", &version).await.unwrap().is_cold());
    world.registry.prewarm_session(&session("bob"), &version).unwrap();
    tokio::time::sleep(limits::IDLE_TIMEOUT + SOON).await;
    world.gone().await;
    assert_eq!((world.driver.launches(), world.reasons()), (2, vec!["IdleTimeout".to_owned(); 2]));
}
