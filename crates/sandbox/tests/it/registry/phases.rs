//! Where the time of a start goes, with the fake driver.

use std::time::Duration;

use innkeep_protocol::link::AgentState;
use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::{Phase, StartPhases, StartWay};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{StopReason, limits};

use super::world::{SOON, deployment, key, world};

const MS: Duration = Duration::from_millis(1);

/// Returns the phases to the nearest ten milliseconds: a test looks for what it waits for every millisecond.
fn told(phases: &StartPhases) -> Vec<(&'static str, u128)> {
    phases.times.iter().map(|(phase, time)| (phase.as_str(), (time.as_millis() + 5) / 10 * 10)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_start_is_measured_phase_by_phase_and_each_that_waited_has_its_own_first_byte() {
    let world = world(FakeDriver::waiting());
    let deployment = deployment(1);
    let requests = [(); 2].map(|()| world.begin("alice", &deployment));
    world.launched().await;
    tokio::time::sleep(MS * 180).await;
    world.driver.last().say(AgentState::Listening);
    tokio::time::sleep(MS * 20).await;
    world.driver.last().ping(PingStatus::Healthy, None);
    let mut seen = Vec::new();
    for request in requests {
        let lease = request.await.unwrap().unwrap();
        tokio::time::sleep(MS * 50).await;
        seen.push(lease.answered().unwrap());
    }
    let shown = world.registry.list()[0].phases.clone().unwrap();
    assert_eq!(shown.way, StartWay::Cold);
    let expect = |first_byte| [("queue", 0), ("launch", 0), ("agent", 180), ("ping", 20), ("first-byte", first_byte)];
    assert_eq!([told(&seen[0]), told(&seen[1]), told(&shown)], [expect(50), expect(100), expect(50)]);
    let counted = world.registry.counts().phases;
    assert_eq!(counted[&(StartWay::Cold, Phase::FirstByte)].classes.iter().sum::<u64>(), 1);

    let warm = world.acquire("alice", &deployment).await.unwrap();
    assert_eq!(warm.answered(), None);
}

#[tokio::test(start_paused = true)]
async fn where_binds_are_not_seen_the_agents_start_is_in_the_ping() {
    let world = world(FakeDriver::waiting());
    let request = world.begin("alice", &deployment(1));
    world.launched().await;
    tokio::time::sleep(MS * 200).await;
    world.driver.last().ping(PingStatus::Healthy, None);
    request.await.unwrap().unwrap();
    let phases = world.registry.list()[0].phases.clone().unwrap();
    assert_eq!(told(&phases), [("queue", 0), ("launch", 0), ("ping", 200)]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_an_old_sandboxs_end_is_in_the_queue() {
    let world = world(FakeDriver::stubborn());
    let deployment = deployment(1);
    drop(world.acquire("alice", &deployment).await.unwrap());
    world.registry.stop(&key(&deployment, "alice"), StopReason::StoppedByCaller, limits::STOP_GRACE).await.unwrap();
    tokio::time::sleep(SOON).await;
    let again = world.acquire("alice", &deployment).await.unwrap();
    let phases = again.answered().unwrap();
    let waited = (limits::STOP_GRACE - SOON).as_millis();
    assert_eq!(told(&phases), [("queue", waited), ("launch", 0), ("ping", 0), ("first-byte", 0)]);
    wait_for("the old one to be gone", SOON, || world.driver.alive() == 1).await;
}
