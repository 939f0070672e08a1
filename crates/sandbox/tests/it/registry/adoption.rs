//! What a server takes over from one before it, with the fake driver.

use std::time::Duration;

use innkeep_sandbox::{Deployment, Error, Origin};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{AgentExit, Clock, Egress, Settings, SystemClock, limits};

use super::pool::{FIXED, pooled, serve};
use super::world::{SOON, key, world as world_of};

#[tokio::test(start_paused = true)]
async fn a_server_that_detaches_leaves_members_on_record_and_the_next_one_takes_them_back() {
    let world = world_of(FakeDriver::ready());
    let version = pooled(1, FIXED(2));
    serve(&world, &[&version]);
    world.registry.prewarm(&version, 3).await.unwrap();
    world.wait_for_ready(3).await;
    world.registry.detach().await;
    assert_eq!((world.driver.alive(), world.journal.waiting().len()), (3, 3));
    assert!(matches!(world.acquire("alice", &version).await, Err(Error::ShuttingDown)));

    let next = world_of(FakeDriver::ready());
    let (living, waiting) = (world.driver.sandboxes(), world.journal.waiting());
    living[1].exit(AgentExit::Code(0), &[]);
    let started_at = |n: usize| waiting[n].started_at.plus(SOON * u32::try_from(n).unwrap());
    let adopt =
        |n: usize| next.registry.adopt_pooled(version.clone(), living[n].clone(), started_at(n), &waiting[n].made_of);
    assert_eq!((adopt(2), adopt(1), adopt(0)), (true, false, true), "one has ended meanwhile");
    next.settle().await;
    serve(&next, &[&version]);
    next.settle().await;
    assert_eq!(next.ready(), [0, 2].map(|n: usize| waiting[n].sandbox.clone()), "the oldest first");
    assert_eq!(next.driver.launches(), 0, "nothing is started before all have come back");
    next.acquire("alice", &version).await.unwrap();
    assert_eq!(next.registry.list()[0].sandbox, waiting[0].sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_would_be_made_otherwise_now_does_not_come_back() {
    let before = world_of(FakeDriver::making_of("one build"));
    let version = pooled(1, FIXED(1));
    serve(&before, &[&version]);
    before.wait_for_ready(1).await;
    before.registry.detach().await;
    let (member, record) = (before.driver.last(), before.journal.waiting().pop().unwrap());

    let elsewhere = Deployment { egress: Egress::None, ..(*version).clone() };
    let settings = Settings { memory_mib: Some(64), ..version.settings.clone() };
    let smaller = Deployment { resources: settings.resources(), settings, ..(*version).clone() };
    for (driver, deployment, is_as_before) in [
        ("one build", (*version).clone(), true),
        ("another build", (*version).clone(), false),
        ("one build", elsewhere, false),
        ("one build", smaller, false),
    ] {
        let next = world_of(FakeDriver::making_of(driver));
        let adopted = next.registry.adopt_pooled(deployment.into(), member.clone(), record.started_at, &record.made_of);
        assert_eq!(adopted, is_as_before, "{driver}");
    }
    let of_older = world_of(FakeDriver::making_of("one build"));
    assert!(!of_older.registry.adopt_pooled(version, member.clone(), record.started_at, ""), "nobody said of what");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_taken_over_has_its_own_time_and_not_that_of_those_that_wait() {
    let before = world_of(FakeDriver::ready());
    let version = pooled(1, FIXED(1));
    serve(&before, &[&version]);
    before.wait_for_ready(1).await;
    // The server is killed with the session on record, and its sandbox not bound yet.
    let (member, at) = (before.driver.last(), before.journal.waiting()[0].started_at.plus(Duration::from_secs(60)));
    assert_eq!(member.bound(), []);

    let next = world_of(FakeDriver::ready());
    let origin = Origin { at, request: None, owner: None };
    assert!(next.registry.adopt(key(&version, "alice"), version.clone(), member.clone(), origin));
    wait_for("it to go on", SOON, || next.states() == ["Idle"]).await;
    let ends_at: Vec<_> = member.bound().iter().map(|binding| binding.ends_at).collect();
    assert_eq!(ends_at, [at.plus(limits::MAX_LIFETIME)]);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_sidecar_cannot_be_bound_goes_on() {
    let before = world_of(FakeDriver::ready());
    let version = pooled(1, FIXED(1));
    serve(&before, &[&version]);
    before.wait_for_ready(1).await;
    let member = before.driver.last();
    member.refuse_to_be_bound();
    let next = world_of(FakeDriver::ready());
    let origin = Origin { at: before.journal.waiting()[0].started_at, request: None, owner: None };
    assert!(next.registry.adopt(key(&version, "alice"), version.clone(), member.clone(), origin));
    wait_for("it to go on", SOON, || next.states() == ["Idle"]).await;
    assert!(!member.is_dead());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_while_its_session_is_taken_over_is_told_that_it_was_warm() {
    let before = world_of(FakeDriver::ready());
    let version = pooled(1, None);
    drop(before.acquire("alice", &version).await.unwrap());
    let (member, next) = (before.driver.last(), world_of(FakeDriver::ready()));
    let origin = Origin { at: SystemClock.now(), request: None, owner: None };
    assert!(next.registry.adopt(key(&version, "alice"), version.clone(), member, origin));
    assert_eq!(next.states(), ["Provisioning"]);
    assert!(!next.acquire("alice", &version).await.unwrap().is_cold());
}
