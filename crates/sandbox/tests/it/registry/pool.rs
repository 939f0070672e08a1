//! Sandboxes that wait for sessions: how many there are, who gets them, and when they end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause, ExitFacts};
use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::{Deployment, Error, Limits, PoolInfo};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{AgentExit, ErrorKind, PoolSize, SandboxId, Settings, StopReason, Tier, UnixMillis, limits};

use super::world::{SOON, World, deployment, key, limited, world};

pub(super) const FIXED: fn(u32) -> Option<PoolSize> = |n| Some(PoolSize::Fixed(n));
const AUTO: Option<PoolSize> = Some(PoolSize::Auto);
const MIB: u64 = 1 << 20;

pub(super) fn pooled(version: u32, pool: Option<PoolSize>) -> Arc<Deployment> {
    let settings = Settings { pool, ..Settings::default() };
    Arc::new(Deployment { settings, ..(*deployment(version)).clone() })
}

/// Says that these are served, and nothing else.
pub(super) fn serve(world: &World, deployments: &[&Arc<Deployment>]) {
    let served: HashSet<_> = deployments.iter().map(|deployment| deployment.pool_key()).collect();
    let pooled = deployments.iter().filter(|deployment| deployment.settings.pool.is_some());
    world.registry.serve(&served, pooled.map(|deployment| (*deployment).clone()).collect());
}

impl World {
    pub(super) fn pool(&self) -> PoolInfo {
        self.registry.pools().pop().unwrap()
    }

    pub(super) fn ready(&self) -> Vec<SandboxId> {
        self.registry.pools().into_iter().flat_map(|pool| pool.ready).map(|member| member.sandbox).collect()
    }

    pub(super) async fn wait_for_ready(&self, n: usize) {
        wait_for("members to wait", SOON, || self.ready().len() == n).await;
    }

    /// Waits until nothing is about to happen to the pools.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_session_takes_the_oldest_that_waits_and_another_is_started() {
    let world = world(FakeDriver::ready());
    let version = pooled(1, FIXED(2));
    serve(&world, &[&version]);
    world.wait_for_ready(2).await;
    let first = world.ready()[0].clone();
    assert_eq!(world.journal.waiting().len(), 2);
    assert!(world.registry.list().is_empty(), "what waits is no session");

    let lease = world.acquire("alice", &version).await.unwrap();
    assert!(lease.is_cold());
    let alice = world.registry.list().pop().unwrap();
    assert_eq!((&alice.sandbox, alice.ready), (&first, Some(Duration::ZERO)));
    // Its time counts from now, as its server says and as its sidecar does.
    assert_eq!(alice.lifetime_left, Some(limits::MAX_LIFETIME));
    let sandbox = world.driver.sandboxes()[0].clone();
    let ends_at = world.journal.records()[0].started_at.plus(limits::MAX_LIFETIME);
    assert_eq!(sandbox.bound().iter().map(|binding| binding.ends_at).collect::<Vec<_>>(), [ends_at]);
    assert!(sandbox.spec.ends_at != ends_at);

    world.wait_for_ready(2).await;
    assert!(!world.ready().contains(&first) && world.journal.waiting().iter().all(|member| member.sandbox != first));
    let pool = world.pool();
    assert_eq!((pool.hits, pool.misses, pool.wasted, pool.wanted), (1, 0, 0, 2));
    // The same session again has its own.
    world.acquire("alice", &version).await.unwrap();
    assert_eq!(world.pool().hits, 1);
    drop(lease);
    world.registry.shutdown(SOON).await;
    assert_eq!((world.driver.alive(), world.journal.waiting().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn every_session_of_a_burst_has_a_sandbox_of_its_own() {
    let world = world(FakeDriver::ready());
    let version = pooled(1, FIXED(5));
    serve(&world, &[&version]);
    world.wait_for_ready(5).await;
    let asked: Vec<_> = (0..12).map(|n| world.begin(&format!("s{n}"), &version)).collect();
    for request in asked {
        request.await.unwrap().unwrap();
    }
    let sandboxes: HashSet<_> = world.registry.list().into_iter().map(|session| session.sandbox).collect();
    assert_eq!(sandboxes.len(), 12);
    assert_eq!((world.registry.pool_counts().hits, world.registry.pool_counts().misses), (5, 7));
    world.wait_for_ready(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_without_the_setting_has_no_pool() {
    let world = world(FakeDriver::ready());
    let version = deployment(1);
    serve(&world, &[&version]);
    world.acquire("alice", &version).await.unwrap();
    world.settle().await;
    assert!(world.registry.pools().is_empty() && world.driver.launches() == 1);
    assert_eq!(world.registry.pool_counts().misses, 0);
}

#[tokio::test(start_paused = true)]
async fn members_of_what_is_served_no_more_end_and_those_of_the_new_version_start() {
    let world = world(FakeDriver::ready());
    let (old, new) = (pooled(1, FIXED(2)), pooled(2, FIXED(1)));
    serve(&world, &[&old]);
    world.wait_for_ready(2).await;
    world.acquire("alice", &old).await.unwrap();
    world.wait_for_ready(2).await;
    serve(&world, &[&new]);
    wait_for("the old members to end", SOON, || world.driver.alive() == 2).await;
    world.wait_for_ready(1).await;
    assert_eq!(world.pool().key, new.pool_key());
    assert_eq!(world.states(), ["Idle"], "a session stays with its version");
    // Found before the update: it starts afresh, and leaves no pool behind.
    world.acquire("bob", &old).await.unwrap();
    assert_eq!((world.registry.pools().len(), world.pool().hits), (1, 0));
    assert_eq!(world.registry.pool_counts().wasted, 2);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_starting_when_its_version_goes_is_ended() {
    let world = world(FakeDriver::waiting());
    serve(&world, &[&pooled(1, FIXED(1))]);
    world.launched().await;
    serve(&world, &[]);
    wait_for("it to end", SOON, || world.driver.alive() == 0).await;
    assert!(world.journal.waiting().is_empty());
}

#[tokio::test(start_paused = true)]
async fn deleting_a_runtime_ends_its_members_before_it_returns_and_none_start_again() {
    let world = world(FakeDriver::ready());
    let version = pooled(1, FIXED(2));
    serve(&world, &[&version]);
    world.wait_for_ready(2).await;
    world.registry.stop_runtime(&version.arn, None, StopReason::RuntimeDeleted).await;
    assert_eq!((world.driver.alive(), world.registry.pools().len(), world.journal.waiting().len()), (0, 0, 0));
    serve(&world, &[&version]);
    world.settle().await;
    assert!(world.registry.pools().is_empty(), "what was found before it was deleted");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_ends_or_is_not_healthy_is_replaced() {
    let world = world(FakeDriver::ready());
    serve(&world, &[&pooled(1, FIXED(1))]);
    world.wait_for_ready(1).await;
    world.driver.last().exit(AgentExit::Signal(9), &[]);
    wait_for("it to be missed", SOON, || world.ready().is_empty()).await;
    let (_, message) = world.pool().last_failure.unwrap();
    assert_eq!(message, "A sandbox that waited for a session ended with signal 9");
    tokio::time::sleep(limits::POOL_RETRY).await;
    world.wait_for_ready(1).await;
    world.driver.last().say(AgentState::Missed { misses: limits::PING_MISSES - 1, detail: "slow".to_owned() });
    world.settle().await;
    world.driver.last().ping(PingStatus::Healthy, None);
    world.settle().await;
    assert_eq!((world.ready().len(), world.driver.launches()), (1, 2), "one that was slow once may stay");
    world
        .driver
        .last()
        .say(AgentState::Missed { misses: limits::PING_MISSES, detail: "it does not answer".to_owned() });
    wait_for("it to be ended", SOON, || world.driver.alive() == 0).await;
    let (_, message) = world.pool().last_failure.unwrap();
    assert_eq!(message, "A sandbox that waited for a session was not healthy any more: it does not answer");
    tokio::time::sleep(limits::POOL_RETRY * 2).await;
    world.wait_for_ready(1).await;
    assert_eq!((world.pool().wasted, world.journal.waiting().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_reached_its_age_is_replaced_at_once() {
    let world = world(FakeDriver::ready());
    serve(&world, &[&pooled(1, FIXED(1))]);
    world.wait_for_ready(1).await;
    let (member, now) = (world.driver.last(), world.registry.pools()[0].ready[0].started_at);
    assert_eq!(member.spec.ends_at, now.plus(limits::POOL_MEMBER_LIFETIME));
    let (exit, cause) = (AgentExit::Signal(15), ExitCause::Deadline);
    member.say(AgentState::Exited(ExitFacts { exit, cause, detail: None, at: UnixMillis(0), log_tail: Vec::new() }));
    wait_for("another", SOON / 2, || world.driver.launches() == 2).await;
    assert_eq!(world.pool().last_failure, None);
}

#[tokio::test(start_paused = true)]
async fn starts_that_fail_are_tried_again_ever_more_slowly() {
    let world = world(FakeDriver::waiting());
    serve(&world, &[&pooled(1, FIXED(1))]);
    for n in 1..=5 {
        wait_for("a try", limits::POOL_RETRY * 20, || world.driver.launches() == n).await;
        world.driver.last().exit(AgentExit::Code(3), &["Traceback", "no model configured"]);
        wait_for("it to be cleared away", SOON, || world.driver.alive() == 0).await;
    }
    let (_, message) = world.pool().last_failure.unwrap();
    assert_eq!(message, "The agent ended with exit code 3 before it was ready; its last line: no model configured");
    tokio::time::sleep(limits::POOL_RETRY * 15).await;
    assert_eq!(world.driver.launches(), 5);
    // Somebody asks: now.
    world.registry.prewarm(&pooled(1, FIXED(1)), 1).await.unwrap();
    wait_for("a try", SOON / 2, || world.driver.launches() == 6).await;
}

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
async fn a_member_whose_session_cannot_be_recorded_is_nobodys() {
    let world = world(FakeDriver::ready());
    let version = pooled(1, FIXED(1));
    serve(&world, &[&version]);
    world.wait_for_ready(1).await;
    world.journal.break_down();
    let refused = world.acquire("alice", &version).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal, "{refused}");
    assert!(world.driver.sandboxes()[0].is_dead());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_about_to_end_is_given_to_nobody() {
    let world = world(FakeDriver::ready());
    let version = pooled(1, FIXED(1));
    serve(&world, &[&version]);
    world.wait_for_ready(1).await;
    tokio::time::sleep(limits::POOL_MEMBER_LIFETIME - Duration::from_secs(30)).await;
    // What keeps a pool is somebody who comes.
    world.acquire("alice", &version).await.unwrap();
    let alice = world.registry.list().pop().unwrap();
    assert!(alice.sandbox != world.driver.sandboxes()[0].spec.sandbox);
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_that_a_member_was_dead_when_it_was_taken() {
    let limits = Limits { starts_per_second: 1, ..Limits::default() };
    let world = limited(FakeDriver::ready(), limits);
    let version = pooled(1, FIXED(1));
    serve(&world, &[&version]);
    world.wait_for_ready(1).await;
    // All but one of the starts that the rate allows are used up.
    for n in 0..3 {
        world.acquire(&format!("s{n}"), &deployment(7)).await.unwrap();
    }
    let members = world.driver.launches();
    world.driver.sandboxes()[0].refuse_to_be_bound();
    let lease = world.acquire("alice", &version).await.unwrap();
    let alice = world.registry.list().into_iter().find(|info| info.key == key(&version, "alice")).unwrap();
    assert!(world.driver.sandboxes()[0].is_dead() && alice.sandbox != world.driver.sandboxes()[0].spec.sandbox);
    assert!(world.driver.launches() > members && lease.is_cold());
    assert!(world.registry.counts().stops.is_empty(), "{:?}", world.registry.counts());
    let bob = world.acquire("bob", &version).await.unwrap_err();
    assert!(matches!(bob, Error::TooManyStarts { .. }), "{bob}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_slow_is_not_taken_and_one_that_falls_silent_when_it_is_taken_fails_nobody() {
    let world = world(FakeDriver::ready());
    let version = pooled(1, FIXED(2));
    serve(&world, &[&version]);
    world.wait_for_ready(2).await;
    let missed = |misses| AgentState::Missed { misses, detail: "it does not answer".to_owned() };
    let members = world.driver.sandboxes();
    members[0].say(missed(1));
    world.acquire("alice", &version).await.unwrap();
    assert_eq!(world.registry.list()[0].sandbox, members[1].spec.sandbox);
    members[0].ping(PingStatus::Healthy, None);
    members[0].say_when_bound(missed(limits::PING_MISSES));
    world.acquire("bob", &version).await.unwrap();
    assert!(members[0].is_dead() && members[0].bound().len() == 1);
    assert_eq!(world.states(), ["Idle", "Idle"]);
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

#[tokio::test(start_paused = true)]
async fn a_version_whose_sessions_have_storage_stays_out_of_the_pool_with_the_reason() {
    let world = world(FakeDriver::ready());
    let version = Arc::new(Deployment { session_storage: true, ..(*pooled(1, FIXED(2))).clone() });
    serve(&world, &[&version]);
    world.settle().await;
    world.acquire("alice", &version).await.unwrap();
    world.settle().await;
    assert_eq!(world.driver.launches(), 1);
    let pool = world.pool();
    assert!(
        pool.wanted == 0 && pool.held.as_ref().is_some_and(|why| why.contains("filesystemConfigurations")),
        "{pool:?}"
    );
    let refused = world.registry.prewarm(&version, 1).await.unwrap_err();
    assert!(matches!(refused, Error::NoPool(_)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_demands_more_than_this_server_gives_says_so() {
    let world = world(FakeDriver::of_tier(Tier::Process));
    let settings = Settings { pool: FIXED(1), isolation: Some(Tier::Container), ..Settings::default() };
    let version = Arc::new(Deployment { settings, ..(*deployment(1)).clone() });
    serve(&world, &[&version]);
    wait_for("the reason", SOON, || world.pool().last_failure.is_some()).await;
    let (_, why) = world.pool().last_failure.unwrap();
    assert!(why.contains("--isolation container") && world.driver.launches() == 0, "{why}");
}
