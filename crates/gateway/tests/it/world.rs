//! A gateway with everything around it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use innkeep_artifacts::{Bundle, Content};
use innkeep_auth::policy::ready;
use innkeep_auth::sigv4::{self, SigningKeys};
use innkeep_auth::{Owners, Principal};
use innkeep_fetch::IpRange;
use innkeep_gateway::{
    AsyncLimits, Audit, Authenticator, Gateway, GatewayConfig, Issuers, IssuersConfig, Limits, Signer, StreamError,
    Tunnel,
};
use innkeep_sandbox::driver::Driver;
use innkeep_sandbox::tasks::Tasks;
use innkeep_sandbox::{Asker, Deployment, Registry};
use innkeep_store::{NewRuntime, Outcome, Store, VersionRecord};
use innkeep_testkit::{FakeDriver, MemoryJournal, TestIssuer};
use innkeep_types::{
    AccountId, Artifact, ArtifactDigest, AuditEvent, Clock, Egress, EndpointName, Lifecycle, Protocol, Region,
    RequestId, RuntimeArn, RuntimeId, RuntimeName, RuntimeVersion, SessionId, Settings, SystemClock, UnixMillis,
    VersionConfig,
};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::agent::{Agent, Step};
use crate::client::Client;

pub(crate) const RUNTIME: &str = "hello-Ab3dE6gH9j";
pub(crate) const ARN: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
pub(crate) const SESSION: &str = "a-session-of-thirty-six-characters-1";
pub(crate) const OPERATOR_KEY: &str = "AKIAOPERATOR";
pub(crate) const PLAIN_KEY: &str = "AKIAPLAIN";
/// Where pages come from that may call.
pub(crate) const PAGE: &str = "https://app.example";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

/// Long enough for anything, short enough to be waited for.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) driver: Arc<FakeDriver>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) tasks: Tasks,
    pub(crate) registry: Registry,
    pub(crate) store: Store,
    /// What the audit log was told.
    pub(crate) events: Arc<Mutex<Vec<AuditEvent>>>,
    principals: Principals,
    broken: Arc<AtomicU32>,
    address: std::net::SocketAddr,
    pub(crate) directory: TempDir,
}

/// The host's clock, or one ahead of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ahead(Arc<AtomicI64>);

impl Ahead {
    pub(crate) fn set(&self, ahead: Duration) {
        self.0.store(i64::try_from(ahead.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> UnixMillis {
        UnixMillis(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}

impl World {
    /// Returns a world whose agent does `steps` about every request.
    pub(crate) async fn new(steps: Vec<Step>) -> Self {
        Self::with(steps, Limits::default(), FakeDriver::reaching).await
    }

    pub(crate) async fn with_limits(steps: Vec<Step>, limits: Limits) -> Self {
        Self::with(steps, limits, FakeDriver::reaching).await
    }

    pub(crate) async fn with(
        steps: Vec<Step>,
        limits: Limits,
        driver: impl FnOnce(std::net::SocketAddr) -> Arc<FakeDriver>,
    ) -> Self {
        let private = IpRange::LOOPBACK.to_vec();
        Self::asking(steps, limits, driver, IssuersConfig { private, ..IssuersConfig::default() }).await
    }

    /// Returns a world whose invocations without waiting callers have these limits, and whose time is `clock`'s.
    pub(crate) async fn keeping(steps: Vec<Step>, async_limits: AsyncLimits, clock: Ahead) -> Self {
        Self::keeping_within(steps, Limits::default(), async_limits, clock).await
    }

    /// Returns a world with these limits too.
    pub(crate) async fn keeping_within(
        steps: Vec<Step>,
        limits: Limits,
        async_limits: AsyncLimits,
        clock: Ahead,
    ) -> Self {
        let issuers = IssuersConfig { private: IpRange::LOOPBACK.to_vec(), ..IssuersConfig::default() };
        Self::build(steps, limits, FakeDriver::reaching, issuers, async_limits, clock, false).await
    }

    /// Returns a world that reaches these issuers.
    pub(crate) async fn asking(
        steps: Vec<Step>,
        limits: Limits,
        driver: impl FnOnce(std::net::SocketAddr) -> Arc<FakeDriver>,
        issuers: IssuersConfig,
    ) -> Self {
        Self::build(steps, limits, driver, issuers, AsyncLimits::default(), Ahead::default(), false).await
    }

    /// Returns a world whose audit log is told of every call.
    pub(crate) async fn hearing_all(steps: Vec<Step>) -> Self {
        let (issuers, later) = (IssuersConfig::default(), AsyncLimits::default());
        Self::build(steps, Limits::default(), FakeDriver::reaching, issuers, later, Ahead::default(), true).await
    }

    async fn build(
        steps: Vec<Step>,
        limits: Limits,
        driver: impl FnOnce(std::net::SocketAddr) -> Arc<FakeDriver>,
        issuers: IssuersConfig,
        async_limits: AsyncLimits,
        clock: Ahead,
        invocations: bool,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let agent = Agent::new(steps).await;
        let driver = driver(agent.address);
        let store = Store::open(directory.path()).await.unwrap();
        deploy(&store).await;
        let admin = ready("admin").unwrap();
        let keys = [(OPERATOR_KEY, user("operator", &[admin])), (PLAIN_KEY, user("plain", &[admin]))];
        let keys = keys.map(|(id, principal)| (id.to_owned(), principal));
        let principals: Principals = Arc::new(Mutex::new(keys.into()));
        let known = principals.clone();
        let broken = Arc::new(AtomicU32::new(0));
        let breaks = broken.clone();
        let registry = Registry::new(
            driver.clone() as Arc<dyn Driver>,
            Arc::new(MemoryJournal::default()),
            SystemClock::shared(),
            Tasks::default(),
            innkeep_sandbox::Limits::default(),
        );
        let issuers = Issuers::new(issuers, Tasks::default());
        let events: Arc<Mutex<Vec<AuditEvent>>> = Arc::default();
        let told = events.clone();
        let tasks = Tasks::default();
        let gateway = Gateway::new(GatewayConfig {
            region: region(),
            issuers,
            public_url: None,
            owners: Owners::new(&[7; 32]),
            audit: Audit { sink: Arc::new(move |event| told.lock().push(event)), invocations },
            account: account(),
            authenticator: Authenticator {
                keys: Arc::new(move |id, token, _| signer(&known, id, token)),
                signing_keys: Arc::new(SigningKeys::default()),
                clock: Arc::new(clock),
            },
            store: store.clone(),
            deploy: Arc::new(move |version, endpoint| {
                if version.version.get() == breaks.load(Ordering::Relaxed) {
                    return Err("its bundle is not here".into());
                }
                Ok(deployment(version, endpoint))
            }),
            registry: registry.clone(),
            tasks: tasks.clone(),
            spool_directory: directory.path().to_owned(),
            cors_origins: [PAGE, "https://other.example"].map(|origin| origin.parse().unwrap()).to_vec(),
            limits,
            async_limits,
            invocations_directory: directory.path().join("invocations"),
        });
        gateway.load_invocations().await.unwrap();
        let gateway = Arc::new(gateway);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        listen(listener, gateway.clone());
        Self { agent, driver, gateway, tasks, registry, store, events, principals, broken, address, directory }
    }

    /// Returns a fresh client connection.
    pub(crate) async fn client(&self) -> Client {
        Client::new(self.connect().await).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Creates a runtime whose only version failed.
    pub(crate) async fn create_failed(&self, id: &str, reason: &str, line: &str) {
        let outcome = Outcome::Failed { reason: reason.to_owned(), log: vec![line.to_owned()] };
        create(&self.store, id, outcome).await;
    }

    /// Creates one more runtime, which is READY.
    pub(crate) async fn create_ready(&self, id: &str) {
        create(&self.store, id, Outcome::Ready { bundle: digest() }).await;
    }

    /// Gives the runtime a next version that takes the tokens of `issuer` for one client, and whatever else `rules` say.
    pub(crate) async fn take_tokens(&self, issuer: &TestIssuer, rules: serde_json::Value) {
        let mut authorizer = serde_json::json!({"discoveryUrl": issuer.discovery_url(), "allowedClients": ["client"]});
        for (name, value) in rules.as_object().unwrap() {
            authorizer[name] = value.clone();
        }
        let configuration = serde_json::json!({"customJWTAuthorizer": authorizer});
        self.update(|config| drop(config.kept.insert("authorizerConfiguration".to_owned(), configuration))).await;
    }

    /// From now on the key's principal, `plain`, has these policies and no others.
    pub(crate) fn principal_of(&self, key: &str, documents: &[String]) {
        let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
        self.principals.lock().insert(key.to_owned(), user("plain", &documents));
    }

    /// Gives the runtime a next version, which DEFAULT serves.
    pub(crate) async fn update(&self, change: impl FnOnce(&mut VersionConfig)) {
        let id = RuntimeId::parse(RUNTIME).unwrap();
        let mut config = self.store.get_version(&id, None).await.unwrap().unwrap().config;
        change(&mut config);
        let added = self.store.add_version(&id, config, None, None, UnixMillis(1)).await.unwrap();
        self.ready(added.version.version).await;
    }

    /// Makes a version READY, so that DEFAULT serves it.
    pub(crate) async fn ready(&self, version: RuntimeVersion) {
        let (id, ready) = (RuntimeId::parse(RUNTIME).unwrap(), Outcome::Ready { bundle: digest() });
        self.store.finish_version(&id, version, ready, UnixMillis(1)).await.unwrap();
    }

    /// Adds a version to the runtime, which is READY at once.
    pub(crate) async fn add_version(&self) {
        let id = RuntimeId::parse(RUNTIME).unwrap();
        let added = self.store.add_version(&id, config(), None, None, UnixMillis(0)).await.unwrap();
        let outcome = Outcome::Ready { bundle: digest() };
        self.store.finish_version(&id, added.version.version, outcome, UnixMillis(0)).await.unwrap();
    }

    /// Starts the test's session on the newest version, however callers prove who they are.
    pub(crate) async fn start(&self) {
        let newest = self.store.get_version(&RuntimeId::parse(RUNTIME).unwrap(), None).await.unwrap().unwrap();
        let deployment = Arc::new(deployment(&newest, EndpointName::default_endpoint()));
        let session = SessionId::parse(SESSION).unwrap();
        self.registry.acquire(&session, &deployment, Asker::unknown(&RequestId::generate())).await.unwrap();
    }

    /// From now on this version of a runtime cannot be started anew, and all others can.
    pub(crate) fn break_version(&self, version: u32) {
        self.broken.store(version, Ordering::Relaxed);
    }

    pub(crate) fn open_requests(&self) -> u32 {
        self.registry.list().iter().map(|session| session.open_requests).sum()
    }
}

fn deployment(version: &VersionRecord, endpoint: EndpointName) -> Deployment {
    let arn = RuntimeArn::new(region(), account(), version.runtime.clone());
    Deployment::new(arn, endpoint, version, Arc::new(bundle()), Egress::Public)
}

fn region() -> Region {
    Region::parse("us-west-2").unwrap()
}

fn account() -> AccountId {
    AccountId::parse("000000000000").unwrap()
}

/// Whose keys there are.
type Principals = Arc<Mutex<BTreeMap<String, Arc<Principal>>>>;

fn user(name: &str, documents: &[&str]) -> Arc<Principal> {
    let (policies, unreadable) = Principal::stored_policies(documents.iter().copied());
    assert_eq!(unreadable, []);
    Arc::new(Principal::user(name, &account(), policies, name == "operator"))
}

fn signer(principals: &Principals, id: &str, token: Option<&str>) -> Result<Arc<Signer>, sigv4::Error> {
    let principal = principals.lock().get(id).filter(|_| token.is_none()).cloned();
    Ok(Arc::new(Signer {
        key_id: id.to_owned(),
        secret: SECRET.to_owned(),
        session: None,
        principal: principal.ok_or(sigv4::Error::UnknownKey)?,
        used_at: Arc::default(),
    }))
}

fn digest() -> ArtifactDigest {
    ArtifactDigest::parse("0".repeat(64)).unwrap()
}

fn bundle() -> Bundle {
    Bundle {
        digest: digest(),
        content: Content::Code { code: PathBuf::from("/nonexistent"), layers: Vec::new() },
        argv: vec!["/nonexistent/agent".to_owned()],
        environment: BTreeMap::new(),
        settings: Settings::default(),
    }
}

fn config() -> VersionConfig {
    VersionConfig {
        artifact: Artifact::Container { uri: "hello".to_owned() },
        role_arn: "arn:aws:iam::000000000000:role/agent".to_owned(),
        description: None,
        protocol: Protocol::default(),
        lifecycle: Lifecycle::default(),
        environment: BTreeMap::new(),
        platform_version: None,
        minimum_memory_mib: None,
        warmup: None,
        request_headers: Vec::new(),
        kept: BTreeMap::new(),
    }
}

async fn deploy(store: &Store) {
    create(store, RUNTIME, Outcome::Ready { bundle: digest() }).await;
}

async fn create(store: &Store, id: &str, outcome: Outcome) {
    let id = RuntimeId::parse(id).unwrap();
    let new = NewRuntime {
        id: id.clone(),
        name: RuntimeName::parse(id.as_str().split('-').next().unwrap()).unwrap(),
        config: config(),
        settings: Settings::default(),
        tags: BTreeMap::new(),
        token: None,
        at: UnixMillis(0),
    };
    store.create_runtime(new).await.unwrap();
    store.finish_version(&id, RuntimeVersion::FIRST, outcome, UnixMillis(0)).await.unwrap();
}

fn listen(listener: TcpListener, gateway: Arc<Gateway>) {
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        loop {
            let connection = TokioIo::new(listener.accept().await.unwrap().0);
            let gateway = gateway.clone();
            tasks.spawn(async move {
                let tunnel = Mutex::new(None);
                let service = service_fn(|request| async {
                    let mut answer = route(&gateway, request).await;
                    *tunnel.lock() = answer.as_mut().ok().and_then(|answer| answer.extensions_mut().remove::<Tunnel>());
                    answer
                });
                let server = hyper::server::conn::http1::Builder::new();
                // A cut answer ends the connection with an error; that is what is tested.
                let _ = server.serve_connection(connection, service).with_upgrades().await;
                if let Some(tunnel) = tunnel.into_inner() {
                    tunnel.run(std::future::pending()).await;
                }
            });
        }
    });
}

async fn route(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<bytes::Bytes, StreamError>>, std::convert::Infallible> {
    if let Some(answer) = gateway.preflight(&request) {
        return Ok(answer.map(BodyExt::boxed_unsync));
    }
    let Some(route) = innkeep_gateway::route(request.method(), request.uri().path()) else {
        let body = Full::from("not the data plane's").map_err(|never| match never {});
        return Ok(Response::builder().status(418).body(body.boxed_unsync()).unwrap());
    };
    Ok(gateway.handle(route, RequestId::generate(), request).await.map(BodyExt::boxed_unsync))
}
