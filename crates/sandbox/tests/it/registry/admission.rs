//! Which new sessions are let in, with the fake driver.

use std::sync::Arc;
use std::time::Duration;

use innkeep_sandbox::{Deployment, Error, Limits, Refusal};
use innkeep_testkit::FakeDriver;
use innkeep_types::{ErrorKind, RuntimeArn, limits};

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
