//! The registry with the fake driver and paused time: fifteen minutes pass in milliseconds.

mod admission;
mod adoption;
mod ends;
mod phases;
mod pool;
mod prewarm;
mod stops;
mod warmup;
mod world;

use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::driver::{self, Adopted, Capabilities, Driver, LaunchSpec, Sandbox};
use innkeep_sandbox::tasks::Tasks;
use innkeep_sandbox::{Asker, Deployment, Error, Lease, Limits, Origin, Registry, StartResult};
use innkeep_testkit::{FakeDriver, MemoryJournal, PausedClock, wait_for};
use innkeep_types::{AgentExit, ErrorKind, RequestId, SandboxId, Settings, StopReason, Tier, UnixMillis, limits};

use world::{SOON, deployment, key, limited, session, world};

#[tokio::test(start_paused = true)]
async fn two_hundred_first_requests_share_one_start() {
    let world = world(FakeDriver::waiting());
    let deployment = deployment(1);
    let requests: Vec<_> = (0..200).map(|_| world.begin("alice", &deployment)).collect();
    world.launched().await;
    world.driver.last().ping(PingStatus::Healthy, None);
    let mut leases = Vec::new();
    for request in requests {
        leases.push(request.await.unwrap().unwrap());
    }
    assert!(leases.iter().all(Lease::is_cold));
    assert_eq!((world.driver.launches(), world.registry.list()[0].open_requests), (1, 200));
}

#[tokio::test(start_paused = true)]
async fn a_start_is_put_down_to_the_request_that_came_first() {
    let world = world(FakeDriver::ready());
    let deployment = deployment(1);
    let [first, second, third] = [(); 3].map(|()| RequestId::generate());
    let ask = async |request| {
        drop(world.registry.acquire(&session("alice"), &deployment, Asker::unknown(request)).await.unwrap())
    };
    ask(&first).await;
    ask(&second).await;
    assert_eq!(world.registry.list()[0].origin.request.as_ref(), Some(&first));
    world.registry.stop(&key(&deployment, "alice"), StopReason::StoppedByCaller, SOON).await.unwrap();
    world.gone().await;
    ask(&third).await;
    let mut recorded: Vec<_> = world.journal.records().into_iter().filter_map(|record| record.started_by).collect();
    recorded.dedup();
    assert_eq!(recorded, [first, third]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_at_start_fails_all_who_wait_with_its_exit_and_lines() {
    let world = world(FakeDriver::waiting());
    let deployment = deployment(1);
    let request = world.begin("alice", &deployment);
    world.launched().await;
    world.driver.last().exit(AgentExit::Code(3), &["ImportError: no module named spam"]);
    let error = request.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Agent);
    let Error::StartFailed { message, exit, log_tail } = error else { panic!("{error:?}") };
    assert!(message.contains("exit code 3"), "{message}");
    assert_eq!((exit, log_tail.len()), (Some(AgentExit::Code(3)), 1));
    world.gone().await;
    assert_eq!((world.reasons(), world.driver.alive()), (vec!["StartFailed".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn an_exit_in_use_reaches_the_request_with_its_evidence() {
    let world = world(FakeDriver::ready());
    let lease = world.acquire("alice", &deployment(1)).await.unwrap();
    world.driver.last().exit(AgentExit::Signal(11), &["about to fail"]);
    let ended = lease.ended().await;
    assert_eq!(ended.reason, StopReason::AgentExited { exit: AgentExit::Signal(11) });
    assert_eq!(ended.log_tail, ["about to fail"]);
}

#[tokio::test(start_paused = true)]
async fn a_running_session_keeps_its_version_and_the_next_start_takes_the_new_one() {
    let world = world(FakeDriver::ready());
    drop(world.acquire("alice", &deployment(1)).await.unwrap());
    let kept = world.acquire("alice", &deployment(2)).await.unwrap();
    assert_eq!(kept.deployment().version.get(), 1);
    drop(kept);
    assert!(world.registry.stop_if_unused(&key(&deployment(2), "alice"), StopReason::Reloaded).await.unwrap());
    let fresh = world.acquire("alice", &deployment(2)).await.unwrap();
    assert_eq!(fresh.deployment().version.get(), 2);
    assert!(!world.registry.stop_if_unused(&key(&deployment(2), "alice"), StopReason::Reloaded).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_does_not_cancel_the_start() {
    let world = world(FakeDriver::waiting());
    let deployment = deployment(1);
    let impatient = tokio::time::timeout(SOON, world.acquire("alice", &deployment)).await;
    assert!(impatient.is_err());
    world.driver.last().ping(PingStatus::Healthy, None);
    wait_for("the session", SOON, || world.states() == ["Idle"]).await;
    assert_eq!(world.driver.launches(), 1);
}

/// Returns a deployment that demands isolation.
fn demanding(tier: Tier) -> Arc<Deployment> {
    let settings = Settings { isolation: Some(tier), ..Settings::default() };
    Arc::new(Deployment { settings, ..(*deployment(1)).clone() })
}

#[tokio::test(start_paused = true)]
async fn what_demands_more_isolation_than_there_is_gets_none_and_nothing_is_started() {
    let world = world(FakeDriver::ready());
    let deployment = demanding(Tier::Container);
    for refused in [
        world.acquire("alice", &deployment).await.map(drop).unwrap_err(),
        world.registry.boot_once(&deployment).await.unwrap_err(),
    ] {
        assert!(matches!(refused, Error::TierTooWeak { demanded: Tier::Container, given: Tier::Process }));
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        let said = refused.to_string();
        assert!(said.contains("demands isolation container, and this server gives process"), "{said}");
        assert!(said.contains("--isolation container") && said.contains("--set isolation=process"), "{said}");
    }
    assert_eq!((world.driver.launches(), world.states().len(), world.journal.records().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_demands_less_isolation_than_there_is_gets_what_there_is() {
    let world = world(FakeDriver::of_tier(Tier::Container));
    for (name, deployment) in [("alice", demanding(Tier::Process)), ("bob", demanding(Tier::Container))] {
        drop(world.acquire(name, &deployment).await.unwrap());
        world.registry.boot_once(&deployment).await.unwrap();
    }
    assert_eq!(world.registry.list().iter().map(|s| s.tier).collect::<Vec<_>>(), [Tier::Container; 2]);
    assert!(world.journal.records().iter().all(|record| record.tier == Tier::Container));
}

#[tokio::test(start_paused = true)]
async fn starts_and_ends_are_counted_once_and_warm_requests_are_not() {
    let world = world(FakeDriver::waiting());
    let deployment = deployment(1);
    let start = |name: &str| world.begin(name, &deployment);
    let request = start("alice");
    wait_for("the launch", SOON, || world.driver.launches() == 1).await;
    tokio::time::sleep(Duration::from_millis(70)).await;
    world.driver.last().ping(PingStatus::Healthy, None);
    request.await.unwrap().unwrap();
    start("alice").await.unwrap().unwrap();

    let request = start("bob");
    wait_for("the launch", SOON, || world.driver.launches() == 2).await;
    world.driver.last().exit(AgentExit::Code(3), &[]);
    request.await.unwrap().unwrap_err();

    let request = start("carol");
    wait_for("the launch", SOON, || world.driver.launches() == 3).await;
    world.registry.shutdown(SOON).await;
    request.await.unwrap().unwrap_err();

    let counts = world.registry.counts();
    let starts = [StartResult::Ready, StartResult::Failed, StartResult::Aborted].map(|result| counts.starts[&result]);
    assert_eq!(starts, [1, 1, 1], "{counts:?}");
    assert!(counts.start.total >= Duration::from_millis(70), "{counts:?}");
    assert_eq!((counts.start.classes.iter().sum::<u64>(), counts.start.classes[4]), (1, 1), "{counts:?}");
    let stops: Vec<_> = counts.stops.into_iter().collect();
    assert_eq!(stops, [("ServerShutdown", 2), ("StartFailed", 1)]);
}

/// A driver whose launches fail so.
#[derive(Debug)]
struct BrokenDriver(fn(SandboxId) -> driver::Error);

#[async_trait::async_trait]
impl Driver for BrokenDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            tier: Tier::Process,
            no_network: None,
            no_images: None,
            caveats: Vec::new(),
            made_of: String::new(),
        }
    }
    async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, driver::Error> {
        Err((self.0)(spec.sandbox))
    }
    async fn adopt(&self) -> Result<Adopted, driver::Error> {
        Ok(Adopted::default())
    }
}

fn broken(journal: &MemoryJournal, tasks: &Tasks, how: fn(SandboxId) -> driver::Error) -> Registry {
    let clock = Arc::new(PausedClock::starting_at(UnixMillis(1_795_168_800_000)));
    let driver = Arc::new(BrokenDriver(how));
    Registry::new(driver, Arc::new(journal.clone()), clock, tasks.clone(), Limits::default())
}

#[tokio::test(start_paused = true)]
async fn what_the_host_lacks_is_told_to_who_deployed() {
    let registry = broken(&MemoryJournal::default(), &Tasks::default(), |_| driver::Error::NoImages {
        why: "it is too old".to_owned(),
        fix: "take a new one".to_owned(),
    });
    for refused in [
        registry
            .acquire(&session("alice"), &deployment(1), Asker::unknown(&RequestId::generate()))
            .await
            .map(drop)
            .unwrap_err(),
        registry.boot_once(&deployment(1)).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_eq!(refused.to_string(), "Images cannot be run on this server: it is too old. Next: take a new one.");
    }
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_fails_on_our_side_is_not_blamed_on_the_agent_and_is_recorded_as_ended() {
    let (journal, tasks) = (MemoryJournal::default(), Tasks::default());
    let registry = broken(&journal, &tasks, |sandbox| {
        let source = std::io::ErrorKind::StorageFull.into();
        driver::Error::Host { sandbox, what: "make the directory", source }
    });
    let refused =
        registry.acquire(&session("alice"), &deployment(1), Asker::unknown(&RequestId::generate())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal);
    tasks.finish().await;
    let last = journal.records().pop().unwrap();
    assert!(matches!(last.stopped, Some((_, StopReason::StartFailed { .. }))), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn booting_once_leaves_nothing_behind_and_says_why_it_failed() {
    let world = world(FakeDriver::ready());
    world.registry.boot_once(&deployment(1)).await.unwrap();
    assert_eq!((world.driver.launches(), world.driver.alive()), (1, 0));
    let slow = self::world(FakeDriver::waiting());
    let boot = async {
        slow.launched().await;
        slow.driver.last().exit(AgentExit::Code(1), &[]);
    };
    let deployment = deployment(1);
    let (booted, ()) = tokio::join!(slow.registry.boot_once(&deployment), boot);
    assert!(booted.unwrap_err().to_string().contains("exit code 1"));
    assert_eq!(slow.driver.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_detached_sandbox_lives_on_and_the_next_server_takes_it_over_with_its_age() {
    let before = world(FakeDriver::ready());
    let deployment = deployment(1);
    drop(before.acquire("alice", &deployment).await.unwrap());
    let origin = before.registry.list()[0].origin.clone();
    before.registry.detach().await;
    assert_eq!((before.driver.alive(), before.registry.list().len(), before.reasons().len()), (1, 0, 0));
    assert_eq!(before.acquire("alice", &deployment).await.unwrap_err().kind(), ErrorKind::Unavailable);

    tokio::time::sleep(limits::MAX_LIFETIME - SOON * 60).await;
    let after = limited(before.driver.clone(), Limits::default());
    let at = UnixMillis(1_795_168_800_000 - i64::try_from((limits::MAX_LIFETIME - SOON * 60).as_millis()).unwrap());
    let adopt =
        |origin| after.registry.adopt(key(&deployment, "alice"), deployment.clone(), before.driver.last(), origin);
    assert!(adopt(Origin { at, ..origin.clone() }));
    assert!(!adopt(origin.clone()), "it has a sandbox already");
    assert_eq!(after.registry.list()[0].origin.request, origin.request);
    let lease = after.acquire("alice", &deployment).await.unwrap();
    assert_eq!(after.driver.launches(), 1, "the same sandbox");
    let ended = tokio::time::timeout(SOON * 61, lease.ended()).await.unwrap();
    assert_eq!(ended.reason, StopReason::MaxLifetime);
}

#[tokio::test(start_paused = true)]
async fn an_adopted_sandbox_whose_agent_ended_meanwhile_was_lost_with_its_exit() {
    let world = world(FakeDriver::ready());
    let deployment = deployment(1);
    drop(world.acquire("alice", &deployment).await.unwrap());
    let origin = world.registry.list()[0].origin.clone();
    world.registry.detach().await;
    world.driver.last().exit(AgentExit::Signal(9), &[]);
    let after = limited(world.driver.clone(), Limits::default());
    let key = key(&deployment, "alice");
    assert!(after.registry.adopt(key, deployment, world.driver.last(), origin));
    after.gone().await;
    let (_, reason) = after.journal.records()[0].stopped.clone().unwrap();
    assert_eq!(reason, StopReason::HostLost { exit: Some(AgentExit::Signal(9)) });
}
