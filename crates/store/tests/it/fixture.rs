//! A store in a temporary directory, and the values that tests put into it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use innkeep_store::{
    CapacityProviderRecord, ClientToken, EndpointChange, EndpointRecord, NewCapacityProvider, NewEndpoint, NewRuntime,
    Outcome, Store,
};
use std::collections::BTreeMap;

use innkeep_types::{
    Artifact, ArtifactDigest, CapacityProviderId, CapacityProviderName, EndpointName, Lifecycle, Protocol, RequestId,
    RuntimeId, RuntimeName, RuntimeVersion, SandboxId, SessionId, SessionKey, SessionOwner, Settings, Tier, UnixMillis,
    VersionConfig,
};

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::open(dir.path()).await.unwrap(), dir }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("innkeep.db")
    }

    /// Changes the database behind the store's back.
    pub(crate) fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.database()).unwrap().execute_batch(sql).unwrap();
    }

    /// Creates a runtime whose version 1 is being made.
    pub(crate) async fn creating(&self, name: &str) -> RuntimeId {
        self.store.create_runtime(new(name)).await.unwrap().version.runtime
    }

    /// Creates a runtime whose version 1 is READY.
    pub(crate) async fn ready(&self, name: &str) -> RuntimeId {
        let runtime = self.creating(name).await;
        self.finish(&runtime, 1, ready()).await;
        runtime
    }

    /// Adds a version and ends its making.
    pub(crate) async fn add(&self, runtime: &RuntimeId, outcome: Outcome) -> RuntimeVersion {
        let version = self.store.add_version(runtime, config(), None, None, at(10)).await.unwrap().version.version;
        self.finish(runtime, version.get(), outcome).await;
        version
    }

    pub(crate) async fn finish(&self, runtime: &RuntimeId, version: u32, outcome: Outcome) {
        self.store.finish_version(runtime, v(version), outcome, at(20)).await.unwrap();
    }

    /// Returns the endpoint.
    pub(crate) async fn endpoint(&self, runtime: &RuntimeId, name: &str) -> Option<EndpointRecord> {
        self.store.get_endpoint(runtime, &endpoint(name)).await.unwrap()
    }

    /// Returns the number of the version that DEFAULT serves.
    pub(crate) async fn served(&self, runtime: &RuntimeId) -> Option<u32> {
        let served = self.store.resolve(runtime, &EndpointName::default_endpoint()).await.unwrap();
        served.first().map(|share| share.version.version.get())
    }
}

pub(crate) fn at(ms: i64) -> UnixMillis {
    UnixMillis(1_795_168_800_000 + ms)
}

pub(crate) fn v(n: u32) -> RuntimeVersion {
    RuntimeVersion::new(n).unwrap()
}

pub(crate) fn name(s: &str) -> RuntimeName {
    RuntimeName::parse(s).unwrap()
}

pub(crate) fn new(s: &str) -> NewRuntime {
    static SUFFIX: AtomicU8 = AtomicU8::new(0);
    let name = name(s);
    NewRuntime {
        id: RuntimeId::generate(&name, [SUFFIX.fetch_add(1, Ordering::Relaxed); 10]),
        name,
        config: config(),
        settings: Settings::default(),
        tags: [("team".to_owned(), "a".to_owned())].into(),
        token: None,
        at: at(0),
    }
}

pub(crate) fn config() -> VersionConfig {
    VersionConfig {
        artifact: Artifact::Container { uri: "localhost:5000/x:y".to_owned() },
        role_arn: "arn:aws:iam::000000000000:role/x".to_owned(),
        description: Some("says hello".to_owned()),
        protocol: Protocol::default(),
        lifecycle: Lifecycle::default(),
        environment: [("API_KEY".to_owned(), "hunter2-hunter2".to_owned())].into(),
        platform_version: None,
        minimum_memory_mib: None,
        warmup: None,
        request_headers: Vec::new(),
        kept: BTreeMap::new(),
    }
}

pub(crate) fn bundle() -> ArtifactDigest {
    ArtifactDigest::parse("0f".repeat(32)).unwrap()
}

pub(crate) fn ready() -> Outcome {
    Outcome::Ready { bundle: bundle() }
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed { reason: "exit code 3".to_owned(), log: vec!["Traceback".to_owned()] }
}

pub(crate) fn token(token: &str, digest: &str) -> Option<ClientToken> {
    Some(ClientToken { token: token.to_owned(), digest: digest.to_owned() })
}

pub(crate) fn session(runtime: &str, n: usize) -> innkeep_store::SessionRecord {
    innkeep_store::SessionRecord {
        key: SessionKey {
            runtime: RuntimeId::parse(format!("{runtime}-0123456789")).unwrap(),
            endpoint: EndpointName::default_endpoint(),
            session: SessionId::from_short(&format!("s{n}")).unwrap(),
        },
        sandbox: SandboxId::generate(),
        version: v(1),
        tier: Tier::Process,
        started_at: at(i64::try_from(n).unwrap()),
        started_by: Some(RequestId::generate()),
        owner: Some(SessionOwner::new([7; 32])),
        stopped: None,
    }
}

pub(crate) fn endpoint(name: &str) -> EndpointName {
    EndpointName::parse(name).unwrap()
}

pub(crate) fn new_endpoint(runtime: &RuntimeId, name: &str, target: Option<u32>) -> NewEndpoint {
    NewEndpoint {
        runtime: runtime.clone(),
        name: endpoint(name),
        target: target.map(v),
        description: Some("for customers".to_owned()),
        tags: [("team".to_owned(), "b".to_owned())].into(),
        token: None,
        at: at(100),
    }
}

pub(crate) fn change(runtime: &RuntimeId, name: &str, target: Option<u32>) -> EndpointChange {
    let (runtime, name) = (runtime.clone(), endpoint(name));
    EndpointChange { runtime, name, target: target.map(v), description: None, token: None, at: at(101) }
}

pub(crate) fn capacity_provider(name: &str, ms: i64) -> NewCapacityProvider {
    let name = CapacityProviderName::parse(name).unwrap();
    let record = CapacityProviderRecord {
        id: CapacityProviderId::generate(&name, [0; 10]),
        name,
        description: None,
        permissions: serde_json::json!({"capacityProviderOperatorRoleArn": "arn:aws:iam::000000000000:role/x"}),
        compute: serde_json::json!({"ec2Configuration": {"launchTemplateSource": {}}}),
        tags: BTreeMap::new(),
        created_at: at(ms),
        updated_at: at(ms),
    };
    NewCapacityProvider { record, token: None }
}
