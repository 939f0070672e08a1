//! Sandboxes that wait for sessions, and end, or fail, or are slow: nobody who comes for one notices.

use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause, ExitFacts};
use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::{Error, Limits};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{AgentExit, ErrorKind, UnixMillis, limits};

use super::super::world::{SOON, deployment, key, limited, world};
use super::{FIXED, pooled, serve};

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
