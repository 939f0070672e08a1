//! Which new sessions are let in, with the fake driver.

use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::driver::{ZygoteInfo, ZygoteState};
use innkeep_sandbox::tasks::{Kind, Tasks};
use innkeep_sandbox::{Deployment, Error, Limits, Refusal};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{
    AgentExit, EndpointArn, EndpointName, ErrorKind, RuntimeArn, RuntimeVersion, Settings, StopReason, limits,
};

use super::world::{World, deployment, limited};

/// The same, of another runtime.
fn of_runtime(name: &str) -> Arc<Deployment> {
    let arn = format!("arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/{name}-Ab3dE6gH9j");
    let arn = RuntimeArn::parse_with_endpoint(&arn).unwrap().0;
    Arc::new(Deployment { arn, ..Deployment::clone(&deployment(1)) })
}

/// Refused, with that kind; whoever lives, goes on.
async fn check_refused(world: &World, deployment: &Arc<Deployment>, living: &str, kind: ErrorKind) -> Error {
    let refused = world.acquire("newcomer", deployment).await.unwrap_err();
    assert_eq!(refused.kind(), kind, "{refused}");
    assert!(!world.acquire(living, deployment).await.unwrap().is_cold());
    refused
}

fn refusals(world: &World) -> Vec<(&'static str, u64)> {
    world.registry.counts().refusals.iter().map(|(why, n)| (Refusal::as_str(*why), *n)).collect()
}

#[tokio::test(start_paused = true)]
async fn past_the_limit_of_sessions_a_new_one_is_refused() {
    let world = limited(FakeDriver::ready(), Limits { active_sessions: 1, ..Limits::default() });
    let deployment = deployment(1);
    drop(world.acquire("alice", &deployment).await.unwrap());
    let refused = check_refused(&world, &deployment, "alice", ErrorKind::Quota).await;
    assert!(refused.to_string().contains("maxVms limit exceeded"));
    assert_eq!((refused.retry_after(), refusals(&world)), (None, vec![("sessions", 1)]));
}

#[tokio::test(start_paused = true)]
async fn the_last_places_are_for_those_who_have_less_than_their_share() {
    let world = limited(FakeDriver::ready(), Limits { active_sessions: 20, ..Limits::default() });
    let (eager, modest) = (deployment(1), of_runtime("other"));
    for n in 0..17 {
        drop(world.acquire(&format!("s{n}"), &eager).await.unwrap());
    }
    drop(world.acquire("m0", &modest).await.unwrap());
    // Eighteen of twenty: seventeen are more than half of them.
    let refused = check_refused(&world, &eager, "s0", ErrorKind::Quota).await;
    assert!(refused.to_string().contains("maxVms limit exceeded: 18 sessions are active, 17 of them"), "{refused}");
    assert_eq!((refused.retry_after(), refusals(&world)), (None, vec![("sessions", 1)]));
    drop(world.acquire("m1", &modest).await.unwrap());
    drop(world.acquire("n0", &of_runtime("third")).await.unwrap());
    assert_eq!(world.acquire("m2", &modest).await.unwrap_err().kind(), ErrorKind::Quota, "there are no more");

    // Where no others have any, one may have all, also when they had some.
    for runtime in [&modest, &of_runtime("third")] {
        world.registry.stop_runtime(&runtime.arn, None, StopReason::RuntimeDeleted).await;
    }
    for name in ["s17", "s18", "s19"] {
        drop(world.acquire(name, &eager).await.unwrap());
    }
    assert_eq!(
        check_refused(&world, &eager, "s0", ErrorKind::Quota).await.to_string(),
        "maxVms limit exceeded: 20 sessions are active"
    );
}

#[tokio::test(start_paused = true)]
async fn past_the_rate_of_starts_a_new_one_is_told_when_to_come_again() {
    let world = limited(FakeDriver::ready(), Limits { starts_per_second: 1, ..Limits::default() });
    let deployment = deployment(1);
    for name in ["alice", "b", "c", "d"] {
        drop(world.acquire(name, &deployment).await.unwrap());
    }
    let refused = check_refused(&world, &deployment, "alice", ErrorKind::Throttled).await;
    assert_eq!((refused.retry_after(), refusals(&world)), (Some(1), vec![("start-rate", 1)]));
    // Another runtime's first session is not made to wait for a burst that is not its own.
    world.acquire("alice", &of_runtime("other")).await.unwrap();
    let wait = world.acquire("newcomer", &deployment).await.unwrap_err().retry_after().unwrap();
    tokio::time::sleep(Duration::from_secs(wait)).await;
    world.acquire("newcomer", &deployment).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_memory_is_short_new_sessions_are_refused() {
    let driver = FakeDriver::ready();
    let world = limited(driver.clone(), Limits::default());
    let deployment = deployment(1);
    drop(world.acquire("alice", &deployment).await.unwrap());
    driver.leave_memory(limits::MEMORY_FLOOR - 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = check_refused(&world, &deployment, "alice", ErrorKind::Throttled).await;
    assert_eq!((refused.retry_after(), refusals(&world)), (Some(5), vec![("memory", 1)]));
    driver.leave_memory(limits::MEMORY_FLOOR);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.acquire("newcomer", &deployment).await.unwrap();
    assert_eq!(world.driver.alive(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_memory_is_for_those_who_have_less_than_their_share() {
    let driver = FakeDriver::ready();
    let world = limited(driver.clone(), Limits::default());
    let (eager, modest) = (deployment(1), of_runtime("other"));
    for name in ["alice", "s1", "s2"] {
        drop(world.acquire(name, &eager).await.unwrap());
    }
    driver.leave_memory(2 * limits::MEMORY_FLOOR - 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(world.acquire("s3", &eager).await.unwrap());
    drop(world.acquire("m0", &modest).await.unwrap());
    let refused = check_refused(&world, &eager, "alice", ErrorKind::Throttled).await;
    assert!(refused.to_string().contains("5 are active, 4 of them of this agent runtime"), "{refused}");
    assert_eq!((refused.retry_after(), refusals(&world)), (Some(5), vec![("memory", 1)]));
    drop(world.acquire("m1", &modest).await.unwrap());
    drop(world.acquire("n0", &of_runtime("third")).await.unwrap());
    driver.leave_memory(2 * limits::MEMORY_FLOOR);
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(world.acquire("s4", &eager).await.unwrap());
}

/// What a start is taken to need.
const START: u64 = limits::POOL_MEMBER_BYTES;

#[tokio::test(start_paused = true)]
async fn a_burst_does_not_take_what_those_before_it_are_about_to_need() {
    let driver = FakeDriver::waiting();
    driver.leave_memory(limits::MEMORY_FLOOR + START);
    let world = limited(driver, Limits::default());
    let deployment = deployment(1);
    let burst: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| world.begin(name, &deployment)).into();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((world.driver.launches(), refusals(&world)), (2, vec![("memory", 3)]));
    // They have taken what they need, which is less: there is room again at once.
    world.driver.sandboxes().iter().for_each(|sandbox| sandbox.ping(PingStatus::Healthy, None));
    let served = let_in(burst).await;
    assert_eq!(served, 2);
    let late = world.begin("late", &deployment);
    wait_for("another start", Duration::from_secs(1), || world.driver.launches() == 3).await;
    world.driver.last().ping(PingStatus::Healthy, None);
    late.await.unwrap().unwrap();
}

/// Returns how many were let in.
async fn let_in(requests: Vec<tokio::task::JoinHandle<Result<innkeep_sandbox::Lease, Error>>>) -> usize {
    let mut served = 0;
    for request in requests {
        served += usize::from(request.await.unwrap().is_ok());
    }
    served
}

/// The same, forked where it can be.
fn forked() -> Arc<Deployment> {
    let settings = Settings { zygote: Some(true), ..Settings::default() };
    Arc::new(Deployment { settings, ..Deployment::clone(&deployment(1)) })
}

fn zygote(version: u32, state: ZygoteState) -> ZygoteInfo {
    ZygoteInfo { key: deployment(version).pool_key(), state, forks: 0 }
}

/// Starts a session, and tells whether that start might have made a zygote.
async fn may_make_zygote(world: &World) -> bool {
    let forked = forked();
    let n = world.registry.list().len();
    world.acquire(&format!("s{n}"), &forked).await.unwrap();
    world.driver.last().spec.zygote.as_ref().unwrap().may_start
}

#[tokio::test(start_paused = true)]
async fn a_zygote_is_made_where_there_is_memory_for_it() {
    let world = limited(FakeDriver::ready(), Limits::default());
    assert!(may_make_zygote(&world).await, "nobody knows how much there is");
    for (available, zygotes, may) in [
        (2 * START, vec![], true),
        (2 * START - 1, vec![], false),
        (2 * START, vec![zygote(1, ZygoteState::Resting("it failed".to_owned()))], true),
        // One that imports has not taken its memory yet.
        (2 * START, vec![zygote(2, ZygoteState::Starting)], false),
        (3 * START, vec![zygote(2, ZygoteState::Starting)], true),
        (2 * START, vec![zygote(2, ZygoteState::Ready)], true),
        (9 * START, vec![zygote(1, ZygoteState::Ready)], false),
    ] {
        world.driver.leave_memory(limits::MEMORY_FLOOR + available);
        world.driver.set_zygotes(zygotes.clone());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(may_make_zygote(&world).await, may, "{available} {zygotes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn zygotes_are_sandboxes_and_count_but_take_no_session_s_place() {
    let world = limited(FakeDriver::ready(), Limits { active_sessions: 4, ..Limits::default() });
    assert!(may_make_zygote(&world).await);
    world.driver.set_zygotes(vec![zygote(2, ZygoteState::Ready)]);
    assert!(may_make_zygote(&world).await, "two sessions and two zygotes");
    assert!(!may_make_zygote(&world).await);
    assert!(!may_make_zygote(&world).await, "and four sessions are let in");
}

#[tokio::test(start_paused = true)]
async fn zygotes_end_with_what_they_are_for() {
    let world = limited(FakeDriver::ready(), Limits::default());
    let all = || [1, 2].map(|version| zygote(version, ZygoteState::Ready)).to_vec();
    let left = || world.registry.zygotes().iter().map(|zygote| zygote.key.version.get()).collect::<Vec<_>>();
    let serve = |versions: &[u32]| {
        let served = versions.iter().map(|version| deployment(*version).pool_key()).collect();
        world.registry.serve(&served, Vec::new());
    };
    world.driver.set_zygotes(all());
    serve(&[1]);
    assert_eq!(left(), [1, 2], "one of a version that is being made");
    serve(&[2]);
    assert_eq!(left(), [2], "the endpoint moved away");
    // A request that found the version before does not make one.
    assert!(!may_make_zygote(&world).await);

    let (arn, reason) = (deployment(1).arn.clone(), StopReason::RuntimeDeleted);
    world.driver.set_zygotes(all());
    world.registry.stop_runtime(&arn, RuntimeVersion::new(2), reason.clone()).await;
    assert_eq!(left(), [1]);
    world.driver.set_zygotes(all());
    let endpoint = EndpointArn { runtime: arn.clone(), endpoint: EndpointName::default_endpoint() };
    world.registry.stop_endpoint(&endpoint, reason.clone()).await;
    assert_eq!(left(), [0; 0]);
    world.driver.set_zygotes(all());
    world.registry.stop_runtime(&arn, None, reason).await;
    assert_eq!(left(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_could_not_be_made_leaves_no_zygote() {
    let world = limited(FakeDriver::waiting(), Limits::default());
    world.driver.set_zygotes(vec![zygote(1, ZygoteState::Starting)]);
    let (registry, deployment) = (world.registry.clone(), forked());
    let boot = Tasks::default().spawn(Kind::Connection, async move { registry.boot_once(&deployment).await });
    world.launched().await;
    world.driver.last().exit(AgentExit::Code(1), &[]);
    assert!(boot.await.unwrap().is_err() && world.registry.zygotes().is_empty());
}
