//! A registry with the fake driver, and what its tests ask of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeep_artifacts::{Bundle, Content};
use innkeep_sandbox::tasks::{Kind, Tasks};
use innkeep_sandbox::{Asker, Deployment, Error, Lease, Limits, Registry};
use innkeep_testkit::{FakeDriver, MemoryJournal, PausedClock, wait_for};
use innkeep_types::{
    ArtifactDigest, Authorizer, Egress, EndpointName, Lifecycle, Protocol, RequestId, Resources, RuntimeArn,
    RuntimeName, RuntimeVersion, SessionId, SessionKey, Settings, UnixMillis, limits,
};
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

pub(super) fn deployment(version: u32) -> Arc<Deployment> {
    let arn = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
    Arc::new(Deployment {
        arn: RuntimeArn::parse_with_endpoint(arn).unwrap().0,
        name: RuntimeName::parse("hello").unwrap(),
        version: RuntimeVersion::new(version).unwrap(),
        endpoint: EndpointName::default_endpoint(),
        lifecycle: Lifecycle::default(),
        protocol: Protocol::default(),
        authorizer: Authorizer::SigV4,
        custom_jwt_authorizer: None,
        request_headers: Vec::new(),
        warmup: None,
        start_timeout: limits::START_TIMEOUT,
        settings: Settings::default(),
        resources: Resources::default(),
        egress: Egress::Public,
        environment: [].into(),
        session_storage: false,
        bundle: Arc::new(Bundle {
            digest: ArtifactDigest::parse("0".repeat(64)).unwrap(),
            content: Content::Code { code: PathBuf::from("/nonexistent"), layers: Vec::new() },
            argv: vec!["/nonexistent".to_owned()],
            environment: [].into(),
            settings: Settings::default(),
        }),
    })
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
