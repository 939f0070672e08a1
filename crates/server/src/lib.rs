//! The composition root: opens the data directory, builds the parts, listens, and takes it all down again in order.

mod audit;
mod authenticate;
mod backup;
mod certificates;
mod config;
mod credentials_file;
mod data_dir;
mod deployer;
mod dev_issuer;
mod error;
mod housekeeping;
mod invocations;
mod keys;
mod listener;
mod logging;
mod metrics;
mod operator;
mod pools;
mod rates;
mod recovery;
mod respond;
mod restore;
mod router;
mod tier;
mod tls;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use innkeep_artifacts::Artifacts;
use innkeep_auth::sigv4::{Credentials, SigningKeys};
use innkeep_auth::{OperatorToken, Owners};
use innkeep_control::{Control, ControlConfig, LocalMaker};
use innkeep_gateway::{Gateway, GatewayConfig, Issuers};
use innkeep_protocol::operator::ServerFile;
use innkeep_sandbox::tasks::{Kind, Tasks};
use innkeep_sandbox::{Limits, Registry, host_memory};
use innkeep_store::{Quotas, Store};
use innkeep_types::{Clock, Egress, SystemClock, limits as bounds};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use backup::{Error as BackupError, backup};
pub use config::{AtShutdown, Config, Error as ConfigError, Isolation, Purpose, RegistrySettings, S3Settings, TlsMode};
pub use data_dir::{DEV_ISSUER, Error as DataDirError};
pub use error::Error;
pub use innkeep_sandbox::container::{Finding, FindingState};
pub use logging::init as init_logging;
pub use restore::restore;
pub use tier::examine;
pub use tls::Error as TlsError;

use audit::Audit;
use authenticate::Authenticator;
use certificates::CertainMaker;
use credentials_file::CredentialsFile;
use data_dir::DataDir;
use deployer::Deployer;
use dev_issuer::DevIssuer;
use housekeeping::Housekeeping;
use keys::Keys;
use listener::{Front, Patience};
use operator::Operator;
use pools::Served;
use rates::ControlRates;
use recovery::Origins;
use router::Router;
use tls::Tls;

/// A running server.
#[derive(Debug)]
pub struct Server {
    url: String,
    ca: Option<PathBuf>,
    credentials: Credentials,
    config: Config,
    registry: Registry,
    store: Store,
    tasks: Tasks,
    // Last: the lock is given up when all else is down.
    _data_dir: DataDir,
}

impl Server {
    /// Starts a server and returns once it accepts requests.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let config = config.check()?;
        let roots = config.roots()?;
        raise_open_files();
        let data_dir = DataDir::lock(&config.data_dir)?;
        // First what may be refused without having made anything.
        let clock = SystemClock::shared();
        let tls = Tls::open(&config, &data_dir, clock.now())?;
        let tier::Chosen { driver, egress } = Box::pin(tier::choose(&config, data_dir.path())).await?;
        let isolation = driver.capabilities().tier.as_str();
        // Bound before any work: an address in use is the most common mistake.
        let listen = |source| Error::Listen { addr: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let url = config.url(addr);

        let tasks = Tasks::default();
        let quotas =
            Quotas { runtimes: config.max_runtimes, versions: config.max_versions, endpoints: config.max_endpoints };
        let store = Store::open_with(data_dir.path(), quotas).await?;
        let artifacts = Artifacts::open(data_dir.path(), config.artifacts())?;
        let operator_token = Arc::new(data_dir.operator_token()?);
        let keys = Keys::load(keys::Parts {
            store: store.clone(),
            account: config.account.clone(),
            credentials: CredentialsFile {
                directory: data_dir.path().to_owned(),
                region: config.region.as_str().to_owned(),
            },
            clock: clock.clone(),
            tasks: tasks.clone(),
        })
        .await?;
        let own = keys.own();
        let left = driver.adopt().await.map_err(|e| Error::Driver(e.to_string()))?;
        let memory_floor = config.memory_floor_mib.saturating_mul(1 << 20);
        let limits = Limits {
            active_sessions: config.max_active_sessions,
            starts_per_second: config.max_starts_per_second,
            pool_memory_bytes: config.pool_memory_mib.saturating_mul(1 << 20),
            pool_memory_floor: host_memory().map_or(0, |bytes| bytes / bounds::POOL_HOST_FLOOR).max(memory_floor),
            memory_floor,
        };
        let registry = Registry::new(driver, Arc::new(store.clone()), clock.clone(), tasks.clone(), limits);

        let deployer = Deployer {
            artifacts: artifacts.clone(),
            region: config.region.clone(),
            account: config.account.clone(),
            egress,
            url: config.public_url.clone().unwrap_or_else(|| url.clone()),
        };
        recovery::make_bundles(&store, &artifacts, Origins::Disk).await?;
        recovery::recover(left, &registry, &store, &deployer, clock.as_ref()).await?;
        let dev_issuer = config.dev_issuer.then(|| DevIssuer::open(&data_dir, &url)).transpose()?;
        let issuers = Issuers::new(config.issuers(roots, certificates::reader(artifacts.clone())), tasks.clone());
        let (audit, writer) = Audit::open(store.clone(), config.audit_file.as_deref(), clock.clone())
            .map_err(|source| Error::AuditFile { path: config.audit_file.clone().unwrap_or_default(), source })?;
        tasks.spawn(Kind::Audit, writer.run(tasks.clone()));
        let parts = Parts {
            audit,
            deployer: deployer.clone(),
            config: &config,
            data_dir: &data_dir,
            store: &store,
            artifacts: artifacts.clone(),
            registry: &registry,
            clock: clock.clone(),
            keys: keys.clone(),
            operator_token,
            egress,
            issuers: dev_issuer.iter().fold(issuers, |issuers, dev| dev.known_to(issuers)),
            dev_issuer: dev_issuer.clone(),
            tasks: &tasks,
        };
        let router = Arc::new(parts.router());
        router.gateway.load_invocations().await.map_err(Error::Invocations)?;
        tasks.spawn(Kind::Housekeeping, invocations::keep(router.gateway.clone(), tasks.stopping().clone()));
        router.control.resume().await?;
        tasks.spawn(Kind::Restore, fetch_bundles(store.clone(), artifacts.clone(), tasks.stopping().clone()));
        let (followed, known) = (registry.clone(), HashMap::new());
        let served = Served { store: store.clone(), deployer, registry: followed, known };
        tasks.spawn(Kind::Pool, served.follow(tasks.stopping().clone()));
        let housekeeping = Housekeeping {
            logs: data_dir.path().join("logs"),
            log_retention: days(config.log_retention_days),
            session_retention: days(config.session_retention_days),
            audit_retention: days(config.audit_retention_days),
            store: store.clone(),
            artifacts,
            clock: clock.clone(),
        };
        tasks.spawn(Kind::Housekeeping, housekeeping.run(tasks.clone()));
        tasks.spawn(Kind::Keys, keys.write_uses(tasks.clone()));
        let ca = tls.as_ref().and_then(Tls::ca).map(|ca| absolute(ca));
        let front = Front {
            router,
            patience: Patience::of(&config),
            tls: tls.as_ref().map(Tls::server_config),
            tasks: tasks.clone(),
        };
        tasks.spawn(Kind::Listener, listener::listen(listener, front));
        if let Some(tls) = tls {
            tasks.spawn(Kind::Certificate, tls.into_keeper().run(clock, tasks.stopping().clone()));
        }

        data_dir.write_server_file(&ServerFile {
            url: url.clone(),
            pid: std::process::id(),
            region: config.region.to_string(),
            account: config.account.to_string(),
            ca: ca.as_ref().map(|ca| ca.to_string_lossy().into_owned()),
            dev_issuer: dev_issuer.map(|dev| dev.issuer),
        })?;
        info!(server.url = %url, server.isolation = isolation, "listening on {url}; sessions get isolation {isolation}");
        let credentials = Credentials { access_key_id: own.id, secret: own.secret, session_token: None };
        Ok(Self { url, ca, credentials, config, registry, store, tasks, _data_dir: data_dir })
    }

    /// Returns where it listens, `http://127.0.0.1:7080`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the file of the CA that clients must trust; none if there is no TLS, or they trust its certificate anyway.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Returns the server's own access key, as it was at the start.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Returns its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Stops accepting, lets open requests finish for `drain`, ends every session (or leaves them to the next server, by
    /// [`Config::sessions_at_shutdown`]), and returns when nothing of this server is left.
    pub async fn shutdown(self, drain: Duration) {
        self.tasks.stopping().cancel();
        let drained = tokio::time::timeout(drain, async {
            while self.registry.list().iter().any(|s| s.open_requests > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let _ = drained.await;
        match self.config.sessions_at_shutdown {
            AtShutdown::End => self.registry.shutdown(Duration::from_secs(self.config.shutdown_grace_secs)).await,
            AtShutdown::Detach => self.registry.detach().await,
        }
        self.tasks.finish().await;
        if let Err(error) = self.store.close().await {
            warn!(error = &error as &dyn std::error::Error, "the store did not close cleanly");
        }
    }
}

/// Makes bundles that may have to be fetched, until the server ends.
async fn fetch_bundles(store: Store, artifacts: Artifacts, stopping: CancellationToken) {
    let made = tokio::select! {
        made = recovery::make_bundles(&store, &artifacts, Origins::Network) => made,
        () = stopping.cancelled() => return,
    };
    if let Err(error) = made {
        warn!(error = &error as &dyn std::error::Error, "bundles that this host lacks could not be listed: {error}");
    }
}

/// Raises this process's limit of open files to what it may have: a session takes about three, a client one, and the usual 1024
/// would end both long before their own limits.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn days(n: u32) -> Duration {
    Duration::from_secs(u64::from(n) * 24 * 60 * 60)
}

/// What the router is made of.
struct Parts<'a> {
    audit: Audit,
    deployer: Deployer,
    config: &'a Config,
    data_dir: &'a DataDir,
    store: &'a Store,
    artifacts: Artifacts,
    registry: &'a Registry,
    clock: Arc<dyn Clock>,
    keys: Keys,
    operator_token: Arc<OperatorToken>,
    egress: Egress,
    issuers: Issuers,
    dev_issuer: Option<DevIssuer>,
    tasks: &'a Tasks,
}

impl Parts<'_> {
    fn router(self) -> Router {
        let (region, account) = (self.config.region.clone(), self.config.account.clone());
        let maker = LocalMaker {
            artifacts: self.artifacts.clone(),
            registry: self.registry.clone(),
            region: region.clone(),
            account: account.clone(),
            egress: self.egress,
            tasks: self.tasks.clone(),
        };
        let control = Control::new(ControlConfig {
            store: self.store.clone(),
            maker: Arc::new(CertainMaker { maker, reader: certificates::reader(self.artifacts.clone()) }),
            region: region.clone(),
            account: account.clone(),
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
            max_concurrent_checks: self.config.max_concurrent_checks,
            page_key: self.store.derive_key("page tokens"),
            client_token_key: self.store.derive_key("client tokens"),
        });
        let keys = self.keys.clone();
        let signatures = innkeep_gateway::Authenticator {
            keys: Arc::new(move |id, token, now| keys.signer(id, token, now)),
            signing_keys: Arc::new(SigningKeys::default()),
            clock: self.clock.clone(),
        };
        let gateway = Arc::new(Gateway::new(self.gateway_config(signatures.clone())));
        let authenticator = Arc::new(Authenticator {
            signatures,
            operator_token: self.operator_token.clone(),
            body_stall_timeout: Duration::from_secs(self.config.body_stall_timeout_secs),
        });
        let rates = Arc::new(ControlRates::new(self.config.rates()));
        let operator = Arc::new(Operator {
            rates: rates.clone(),
            store: self.store.clone(),
            control: control.clone(),
            gateway: gateway.clone(),
            artifacts: self.artifacts,
            registry: self.registry.clone(),
            keys: self.keys,
            region,
            account,
            logs_dir: self.data_dir.path().join("logs"),
            authenticator: authenticator.clone(),
            tasks: self.tasks.clone(),
        });
        let (audit, dev_issuer, tasks) = (self.audit, self.dev_issuer, self.tasks.clone());
        Router { gateway, control, operator, authenticator, rates, audit, dev_issuer, tasks }
    }

    fn gateway_config(&self, authenticator: innkeep_gateway::Authenticator) -> GatewayConfig {
        let (deployer, audit) = (self.deployer.clone(), self.audit.clone());
        GatewayConfig {
            region: self.config.region.clone(),
            account: self.config.account.clone(),
            authenticator,
            issuers: self.issuers.clone(),
            public_url: self.config.public_url.clone(),
            cors_origins: self.config.cors_origins.clone(),
            audit: innkeep_gateway::Audit {
                sink: Arc::new(move |event| audit.record(event)),
                invocations: self.config.audit_invocations,
            },
            owners: Owners::new(&self.store.derive_key("session owners")),
            store: self.store.clone(),
            deploy: Arc::new(move |version, endpoint| deployer.deploy(version, endpoint)),
            registry: self.registry.clone(),
            tasks: self.tasks.clone(),
            spool_directory: self.data_dir.path().to_owned(),
            async_limits: invocations::limits(self.config),
            invocations_directory: self.data_dir.path().join("invocations"),
            limits: innkeep_gateway::Limits {
                max_body_bytes: self.config.max_body_bytes,
                spool_total_bytes: self.config.spool_total_bytes,
                spool_memory_total_bytes: self.config.spool_memory_total_bytes,
                body_stall_timeout: Duration::from_secs(self.config.body_stall_timeout_secs),
                sync_request_timeout: Duration::from_secs(self.config.sync_request_timeout_secs),
                stream_timeout: Duration::from_secs(self.config.stream_timeout_secs),
                write_stall_timeout: Duration::from_secs(self.config.write_stall_timeout_secs),
                max_shells_per_session: self.config.max_shells_per_session,
                shell_replay_bytes: self.config.shell_replay_bytes,
                shell_detached_timeout: Duration::from_secs(self.config.shell_detached_timeout_secs),
                max_frame_bytes: self.config.max_frame_bytes,
                max_frames_per_second: self.config.max_frames_per_second,
                max_command_output_bytes: self.config.max_command_output_bytes,
                max_requests_per_second: self.config.rates().requests,
            },
        }
    }
}
