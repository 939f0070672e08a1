//! Sandboxes that wait for sessions: who gets them, and when they end.

mod sizes;
mod troubles;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use innkeep_sandbox::{Deployment, Error, PoolInfo};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{PoolSize, SandboxId, Settings, StopReason, Tier, limits};

use super::world::{SOON, World, deployment, world};

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
