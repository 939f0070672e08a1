//! A registry with the fake driver, and what its tests ask of it.

use std::sync::Arc;
use std::time::Duration;

use innkeep_sandbox::tasks::{Kind, Tasks};
use innkeep_sandbox::{Asker, Deployment, Error, Lease, Limits, Registry};
pub(super) use innkeep_testkit::deployment;
use innkeep_testkit::{FakeDriver, MemoryJournal, PausedClock, wait_for};
use innkeep_types::{RequestId, SessionId, SessionKey, UnixMillis};
use tokio::task::JoinHandle;

/// Long enough for anything, and nothing of the times that are tested.
pub(super) const SOON: Duration = Duration::from_secs(1);

pub(super) struct World {
    pub(super) registry: Registry,
    pub(super) driver: Arc<FakeDriver>,
    pub(super) journal: MemoryJournal,
}

pub(super) fn world(driver: Arc<FakeDriver>) -> World {
    limited(driver, Limits::default())
}

pub(super) fn limited(driver: Arc<FakeDriver>, limits: Limits) -> World {
    let journal = MemoryJournal::default();
    let clock = Arc::new(PausedClock::starting_at(UnixMillis(1_795_168_800_000)));
    let registry = Registry::new(driver.clone(), Arc::new(journal.clone()), clock, Tasks::default(), limits);
    World { registry, driver, journal }
}

pub(super) fn session(name: &str) -> SessionId {
    SessionId::from_short(name).unwrap()
}

pub(super) fn key(deployment: &Deployment, name: &str) -> SessionKey {
    deployment.key(&session(name))
}

impl World {
    pub(super) async fn acquire(&self, name: &str, deployment: &Arc<Deployment>) -> Result<Lease, Error> {
        self.registry.acquire(&session(name), deployment, Asker::unknown(&RequestId::generate())).await
    }

    /// A request that goes on by itself.
    pub(super) fn begin(&self, name: &str, deployment: &Arc<Deployment>) -> JoinHandle<Result<Lease, Error>> {
        let (registry, session, deployment) = (self.registry.clone(), session(name), deployment.clone());
        let request = RequestId::generate();
        Tasks::default().spawn(Kind::Connection, async move {
            registry.acquire(&session, &deployment, Asker::unknown(&request)).await
        })
    }

    pub(super) async fn launched(&self) {
        wait_for("the launch", SOON, || self.driver.launches() == 1).await;
    }

    pub(super) fn states(&self) -> Vec<&'static str> {
        self.registry.list().iter().map(|s| s.state).collect()
    }

    /// The reasons of the ends recorded so far.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.journal.records().iter().filter_map(|r| r.stopped.as_ref()).map(|(_, r)| r.as_str().to_owned()).collect()
    }

    pub(super) async fn gone(&self) {
        wait_for("every session to be gone", SOON, || self.registry.list().is_empty()).await;
    }
}
