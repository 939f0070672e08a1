//! How many sandboxes wait for sessions, by the setting, by traffic, and by the memory that there is.

use std::time::Duration;

use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::{Error, Limits};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::limits;

use super::super::world::{SOON, deployment, limited, world};
use super::{AUTO, FIXED, MIB, pooled, serve};

#[tokio::test(start_paused = true)]
async fn a_member_has_its_memory_already() {
    let limits_of_pools = Limits { pool_memory_floor: limits::MEMORY_FLOOR, ..Limits::default() };
    let world = limited(FakeDriver::ready(), limits_of_pools);
    let version = pooled(1, FIXED(1));
    serve(&world, &[&version]);
    world.wait_for_ready(1).await;
    world.driver.leave_memory(limits::MEMORY_FLOOR - 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.acquire("alice", &version).await.unwrap();
    let bob = world.acquire("bob", &version).await.unwrap_err();
    assert!(matches!(bob, Error::NoMemory { .. }), "{bob}");
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_pool_begins_with_traffic_follows_it_and_ends_after_it() {
    let world = world(FakeDriver::ready());
    let version = pooled(1, AUTO);
    serve(&world, &[&version]);
    world.settle().await;
    assert_eq!((world.driver.launches(), world.pool().wanted), (0, 0));
    world.acquire("first", &version).await.unwrap();
    world.wait_for_ready(1).await;
    for n in 0..20 {
        world.acquire(&format!("s{n}"), &version).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!((world.pool().misses, world.pool().hits), (1, 20));
    tokio::time::sleep(limits::POOL_QUIET - Duration::from_millis(200)).await;
    wait_for("it to be drained", limits::POOL_LOOK_INTERVAL * 2, || world.ready().is_empty()).await;
    assert_eq!(world.pool().held.as_deref(), Some("no new session came for 10 minutes"));
    world.acquire("late", &version).await.unwrap();
    world.wait_for_ready(1).await;
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_pool_shrinks_after_a_while_and_a_fixed_one_never() {
    let world = world(FakeDriver::waiting());
    let version = pooled(1, AUTO);
    serve(&world, &[&version]);
    let sleep = |ms| tokio::time::sleep(Duration::from_millis(ms));
    // A start takes a second, and ten sessions come in one.
    let first = world.begin("first", &version);
    world.launched().await;
    sleep(1000).await;
    world.driver.last().ping(PingStatus::Healthy, None);
    first.await.unwrap().unwrap();
    let speak = async || {
        for _ in 0..200 {
            sleep(100).await;
            world.driver.sandboxes().iter().for_each(|sandbox| sandbox.ping(PingStatus::Healthy, None));
        }
    };
    let requests: Vec<_> = (0..10).map(|n| world.begin(&format!("s{n}"), &version)).collect();
    let grown = async {
        wait_for("it to grow", SOON * 5, || world.pool().wanted >= 4).await;
        wait_for("members", SOON * 15, || world.ready().len() >= 3).await;
    };
    tokio::join!(speak(), grown);
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let many = world.ready().len();
    sleep(30_000).await;
    assert!(world.pool().wanted < many && world.ready().len() == many, "a while has not passed");
    sleep(60_000).await;
    assert_eq!((world.ready().len(), world.pool().wanted), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_member_waits_for_sessions_that_are_starting_but_not_for_ever() {
    let world = world(FakeDriver::waiting());
    let other = deployment(9);
    let session = world.begin("alice", &other);
    world.launched().await;
    serve(&world, &[&pooled(1, FIXED(1))]);
    tokio::time::sleep(limits::POOL_PATIENCE - Duration::from_millis(100)).await;
    assert_eq!(world.driver.launches(), 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.driver.launches(), 2);
    world.driver.sandboxes()[0].ping(PingStatus::Healthy, None);
    session.await.unwrap().unwrap();
    // The session is there: the next one need not wait.
    world.driver.last().ping(PingStatus::Healthy, None);
    world.wait_for_ready(1).await;
    world.acquire("bob", &pooled(1, FIXED(1))).await.unwrap();
    wait_for("the next", Duration::from_millis(100), || world.driver.launches() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn pools_stay_within_their_memory() {
    let driver = FakeDriver::ready();
    driver.set_used_bytes(100 * MIB);
    let world = limited(driver, Limits { pool_memory_bytes: 250 * MIB, ..Limits::default() });
    serve(&world, &[&pooled(1, FIXED(5))]);
    // The first is taken to use less than it does.
    tokio::time::sleep(limits::POOL_LOOK_INTERVAL * 3).await;
    assert_eq!((world.ready().len(), world.driver.launches()), (2, 2));
    assert_eq!(
        world.pool().held.as_deref(),
        Some("with one more, all pools would use 300 MiB, and the server's setting pool_memory_mib is 250")
    );
    let oldest = world.ready()[0].clone();
    world.driver.set_used_bytes(200 * MIB);
    tokio::time::sleep(limits::POOL_LOOK_INTERVAL * 3).await;
    assert!(world.ready().len() == 1 && !world.ready().contains(&oldest), "the oldest goes first");
    assert_eq!(world.driver.launches(), 2, "and none comes and goes");
}

#[tokio::test(start_paused = true)]
async fn pools_give_way_where_the_host_is_short_of_memory() {
    let driver = FakeDriver::ready();
    driver.set_used_bytes(100 * MIB);
    driver.leave_memory(9000 * MIB);
    let world = limited(driver, Limits { pool_memory_floor: 1000 * MIB, ..Limits::default() });
    serve(&world, &[&pooled(1, FIXED(5))]);
    world.wait_for_ready(5).await;
    tokio::time::sleep(limits::POOL_LOOK_INTERVAL * 2).await;
    // 150 MiB are missing.
    world.driver.leave_memory(850 * MIB);
    wait_for("two to go", limits::POOL_LOOK_INTERVAL * 2, || world.ready().len() == 3).await;
    world.driver.leave_memory(1050 * MIB);
    tokio::time::sleep(limits::POOL_LOOK_INTERVAL * 3).await;
    assert_eq!(world.ready().len(), 3);
    let held = "1050 MiB of memory are left for sandboxes, and those that wait for sessions leave 1000 MiB of it";
    assert_eq!(world.pool().held.as_deref(), Some(held));
    world.driver.leave_memory(9000 * MIB);
    wait_for("them to come back", limits::POOL_LOOK_INTERVAL * 2, || world.ready().len() == 5).await;
}
