//! Ends that somebody asks for: stops, deletions, the shutdown.

use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::Deployment;
use innkeep_testkit::FakeDriver;
use innkeep_types::{EndpointName, ErrorKind, StopReason, limits};

use super::world::{SOON, deployment, key, world};

#[tokio::test(start_paused = true)]
async fn a_stop_aborts_requests_and_is_refused_while_one_is_under_way() {
    let world = world(FakeDriver::ready());
    let deployment = deployment(1);
    let lease = world.acquire("alice", &deployment).await.unwrap();
    let key = key(&deployment, "alice");
    world.registry.stop(&key, StopReason::StoppedByCaller, limits::STOP_GRACE).await.unwrap();
    assert_eq!(lease.ended().await.reason, StopReason::StoppedByCaller);
    world.gone().await;
    let error = world.registry.stop(&key, StopReason::StoppedByCaller, limits::STOP_GRACE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_provisioning_is_a_retryable_conflict() {
    let world = world(FakeDriver::waiting());
    let deployment = deployment(1);
    let request = world.begin("alice", &deployment);
    world.launched().await;
    let stop = world.registry.stop(&key(&deployment, "alice"), StopReason::StoppedByCaller, SOON).await;
    assert_eq!(stop.unwrap_err().kind(), ErrorKind::RetryableConflict);
    world.driver.last().ping(PingStatus::Healthy, None);
    request.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_grace_ends_a_start_and_all_who_wait_for_it_are_told() {
    let world = world(FakeDriver::waiting());
    let deployment = deployment(1);
    let requests = [(); 3].map(|()| world.begin("alice", &deployment));
    world.launched().await;
    world.registry.stop(&key(&deployment, "alice"), StopReason::StoppedByCaller, Duration::ZERO).await.unwrap();
    for request in requests {
        let error = request.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Agent);
        assert_eq!(error.to_string(), "The session was stopped before its agent was ready");
    }
    world.gone().await;
    assert_eq!((world.driver.launches(), world.driver.last().grace()), (1, Some(Duration::ZERO)));
    assert_eq!(world.reasons(), ["StoppedByCaller"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_grace_hastens_an_end_that_goes_on_and_keeps_its_reason() {
    let world = world(FakeDriver::stubborn());
    let deployment = deployment(1);
    let lease = world.acquire("alice", &deployment).await.unwrap();
    let key = key(&deployment, "alice");
    let stop = async |reason, grace| world.registry.stop(&key, reason, grace).await;
    stop(StopReason::MaxLifetime, limits::STOP_GRACE).await.unwrap();
    assert_eq!(lease.ended().await.reason, StopReason::MaxLifetime);
    let again = stop(StopReason::StoppedByCaller, limits::STOP_GRACE).await.unwrap_err();
    assert_eq!((again.kind(), world.states()), (ErrorKind::RetryableConflict, vec!["Stopping"]));

    stop(StopReason::StoppedByCaller, Duration::ZERO).await.unwrap();
    world.gone().await;
    assert_eq!((world.driver.last().grace(), world.reasons()), (Some(Duration::ZERO), vec!["MaxLifetime".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn deleting_a_runtime_ends_its_sessions_and_starts_none_for_who_waited() {
    let world = world(FakeDriver::ready());
    let deployment = deployment(1);
    drop(world.acquire("alice", &deployment).await.unwrap());
    let key = key(&deployment, "alice");
    world.registry.stop(&key, StopReason::StoppedByCaller, SOON).await.unwrap();
    let (waited, ()) = tokio::join!(
        world.acquire("alice", &deployment),
        world.registry.stop_runtime(&deployment.arn, None, StopReason::RuntimeDeleted)
    );
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((world.driver.alive(), world.registry.list().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn deleting_a_version_ends_its_sessions_and_no_others() {
    let world = world(FakeDriver::ready());
    let deployment = deployment(1);
    drop(world.acquire("alice", &deployment).await.unwrap());
    let other = self::deployment(2);
    drop(world.acquire("bob", &other).await.unwrap());
    world.registry.stop_runtime(&deployment.arn, Some(deployment.version), StopReason::VersionDeleted).await;
    let left: Vec<_> = world.registry.list().iter().map(|s| s.version).collect();
    assert_eq!((left, world.driver.alive()), (vec![other.version], 1));
}

#[tokio::test(start_paused = true)]
async fn deleting_an_endpoint_ends_its_sessions_and_starts_none_for_who_waited() {
    let world = world(FakeDriver::ready());
    let default = deployment(1);
    let prod = Arc::new(Deployment { endpoint: EndpointName::parse("prod").unwrap(), ..Deployment::clone(&default) });
    drop(world.acquire("alice", &prod).await.unwrap());
    drop(world.acquire("alice", &default).await.unwrap());
    world.registry.stop(&key(&prod, "alice"), StopReason::StoppedByCaller, SOON).await.unwrap();
    let endpoint = prod.arn.endpoint(&prod.endpoint);
    let (waited, ()) = tokio::join!(
        world.acquire("alice", &prod),
        world.registry.stop_endpoint(&endpoint, StopReason::RuntimeDeleted)
    );
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((world.driver.alive(), world.states()), (1, vec!["Idle"]));
    // Made again, under the same name.
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(world.acquire("alice", &prod).await.unwrap().is_cold());
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_all_sessions_and_lets_none_start() {
    let world = world(FakeDriver::ready());
    let deployment = deployment(1);
    drop(world.acquire("bob", &deployment).await.unwrap());
    world.registry.shutdown(SOON).await;
    assert_eq!(world.driver.alive(), 0);
    let refused = world.acquire("carol", &deployment).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}
