//! Ends that come by themselves: idle time, lifetime, an agent that is not well.

use std::time::Duration;

use innkeep_protocol::link::AgentState;
use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::Limits;
use innkeep_testkit::FakeDriver;
use innkeep_types::{StopReason, limits};

use super::world::{SOON, deployment, limited, world};

#[tokio::test(start_paused = true)]
async fn an_unused_session_idles_out_after_fifteen_minutes_and_its_id_can_be_used_again() {
    let world = world(FakeDriver::ready());
    let deployment = deployment(1);
    drop(world.acquire("alice", &deployment).await.unwrap());
    tokio::time::sleep(limits::IDLE_TIMEOUT - SOON).await;
    assert_eq!(world.states(), ["Idle"]);
    tokio::time::sleep(SOON * 2).await;
    world.gone().await;
    assert_eq!(
        (world.reasons(), world.driver.last().grace()),
        (vec!["IdleTimeout".to_owned()], Some(limits::STOP_GRACE))
    );
    let again = world.acquire("alice", &deployment).await.unwrap();
    assert_eq!((again.is_cold(), world.driver.launches()), (true, 2));
}

#[tokio::test(start_paused = true)]
async fn an_open_request_keeps_the_session_and_its_end_starts_the_idle_clock() {
    let world = world(FakeDriver::ready());
    let lease = world.acquire("alice", &deployment(1)).await.unwrap();
    tokio::time::sleep(limits::IDLE_TIMEOUT * 3).await;
    assert_eq!(world.states(), ["Active"]);
    drop(lease);
    tokio::time::sleep(limits::IDLE_TIMEOUT - SOON).await;
    assert_eq!(world.states(), ["Idle"]);
    tokio::time::sleep(SOON * 2).await;
    world.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_agent_keeps_its_session_until_it_is_done() {
    let world = world(FakeDriver::ready());
    drop(world.acquire("alice", &deployment(1)).await.unwrap());
    world.driver.last().ping(PingStatus::HealthyBusy, None);
    tokio::time::sleep(limits::IDLE_TIMEOUT * 2).await;
    assert_eq!(world.states(), ["Active"]);
    world.driver.last().ping(PingStatus::Healthy, None);
    tokio::time::sleep(limits::IDLE_TIMEOUT - SOON).await;
    assert_eq!(world.states(), ["Idle"]);
    tokio::time::sleep(SOON * 2).await;
    world.gone().await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_own_time_of_last_update_extends_the_idle_clock_but_never_from_the_future() {
    let world = world(FakeDriver::ready());
    drop(world.acquire("alice", &deployment(1)).await.unwrap());
    let start = 1_795_168_800;
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.driver.last().ping(PingStatus::Healthy, Some(start + 500));
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.driver.last().ping(PingStatus::Healthy, Some(start + 9_999_999));
    let left = world.registry.list()[0].idle_left.unwrap();
    assert!(left <= Duration::from_secs(800) && left > Duration::from_secs(790), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_ends_even_a_session_in_use() {
    let world = world(FakeDriver::ready());
    let lease = world.acquire("alice", &deployment(1)).await.unwrap();
    let ended = tokio::time::timeout(limits::MAX_LIFETIME + SOON, lease.ended()).await.unwrap();
    assert_eq!(ended.reason, StopReason::MaxLifetime);
}

#[tokio::test(start_paused = true)]
async fn three_missed_pings_end_a_session_unless_a_request_is_open() {
    let world = world(FakeDriver::ready());
    let missed = || AgentState::Missed { misses: 3, detail: "timed out".to_owned() };
    let lease = world.acquire("alice", &deployment(1)).await.unwrap();
    world.driver.last().say(missed());
    tokio::time::sleep(SOON).await;
    assert_eq!(world.states(), ["Active"]);
    drop(lease);
    world.driver.last().say(AgentState::Missed { misses: 4, detail: "timed out".to_owned() });
    world.gone().await;
    assert_eq!(world.reasons(), ["Unhealthy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_stopped_is_seen_no_more() {
    let world = limited(
        FakeDriver::ready(),
        Limits { active_sessions: 10_000, starts_per_second: 10_000, ..Limits::default() },
    );
    let deployment = deployment(1);
    for turn in 0..3_000 {
        drop(world.acquire(&format!("alice{turn}"), &deployment).await.unwrap());
    }
    let registry = world.registry.clone();
    let looks = tokio::task::spawn_blocking(move || {
        loop {
            let seen = registry.list();
            assert!(seen.iter().all(|session| session.state != "Stopped"));
            if seen.is_empty() {
                break;
            }
        }
    });
    world.registry.shutdown(Duration::ZERO).await;
    looks.await.unwrap();
}
