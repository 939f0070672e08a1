//! A server, an agent on it, and the proof that a test left nothing behind.

use std::fs::{self, File, Permissions};
use std::io::{Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use innkeep_protocol::control::{
    AgentRuntimeArtifact, AgentRuntimeRequest, Code, CodeConfiguration, GetAgentRuntimeResponse, NetworkConfiguration,
    S3Location,
};
use innkeep_sdk::{Client, Endpoint, UploadKind};
use innkeep_server::{Config, Isolation, Server};

use innkeep_types::{RuntimeStatus, Settings};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::MutexGuard;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing_subscriber::fmt::MakeWriter;
use zip::write::SimpleFileOptions;

use crate::wire::{Answer, Draft, SOON, Wire};

/// Descriptors and memory are the process's: where tests share one, they take turns.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Panics since the first world; those of the server's tasks would otherwise go unnoticed.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// What the server logged at level ERROR.
static ERRORS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

pub(crate) struct World {
    server: Server,
    address: String,
    arn: String,
    data_dir: TempDir,
    /// What there was before the test did anything.
    idle: Held,
    _alone: MutexGuard<'static, ()>,
}

/// What a leak would be a leak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    tasks: usize,
}

impl Held {
    fn now() -> Self {
        // Not those of the database, whose few readers are opened when they are first needed at the same time.
        let is_database = |file: PathBuf| file.to_string_lossy().contains("/innkeep.db");
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let descriptors = open.filter(|fd| !fs::read_link(fd.path()).is_ok_and(is_database)).count();
        Self { descriptors, tasks: Handle::current().metrics().num_alive_tasks() }
    }
}

impl World {
    /// Returns a server with these settings beside those that every test needs, and an agent on it.
    pub(crate) async fn new(settings: Config) -> Self {
        let alone = ALONE.lock().await;
        listen_for_trouble();
        let data_dir = TempDir::new().unwrap();
        let server = Server::start(Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data_dir.path().to_owned(),
            isolation: Isolation::Process,
            ..settings
        });
        let server = server.await.unwrap();
        let address = server.url().split_once("://").unwrap().1.to_owned();
        let deployed = deploy(&server, "counter", None).await;
        assert_eq!(deployed.status, RuntimeStatus::Ready, "{:?}", deployed.failure_reason);
        let arn = deployed.agent_runtime_arn;
        let idle = Held { descriptors: 0, tasks: 0 };
        let mut world = Self { server, address, arn, data_dir, idle, _alone: alone };
        // The session that all tests use exists from now on, and belongs to what there is.
        assert_eq!(world.invoke("hello").await, Some((200, "5".to_owned())));
        world.idle = world.at_rest().await;
        world
    }

    /// Deploys the agent once more, under this name and with these settings.
    pub(crate) async fn deploy(&self, name: &str, settings: &Settings) -> GetAgentRuntimeResponse {
        deploy(&self.server, name, Some(settings)).await
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Returns where artifacts are kept.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.data_dir.path().join("artifacts")
    }

    /// Returns the operator's token.
    pub(crate) fn operator_token(&self) -> String {
        fs::read_to_string(self.data_dir.path().join("operator-token")).unwrap().trim().to_owned()
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire::new(TcpStream::connect(&self.address).await.unwrap())
    }

    /// Returns a TLS connection on which one of these protocols was agreed on.
    pub(crate) async fn tls(&self, alpn: &[&str]) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.server.ca().unwrap()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Returns a signed invocation of a body with this digest: request line and headers, to be framed by the test.
    pub(crate) fn head_for(&self, digest: [u8; 32], more: &[(&'static str, &str)]) -> String {
        let arn = self.arn.replace(':', "%3A").replace('/', "%2F");
        let mut headers =
            vec![("x-amzn-bedrock-agentcore-runtime-session-id", "a-session-of-thirty-six-characters-1".to_owned())];
        headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.sign(Draft { method: Method::POST, target: format!("/runtimes/{arn}/invocations"), digest, headers })
    }

    pub(crate) fn sign(&self, draft: Draft) -> String {
        draft.sign(self.server.credentials())
    }

    /// Returns a whole signed invocation.
    pub(crate) fn request(&self, body: &str) -> String {
        let head = self.head_for(innkeep_auth::digest(body.as_bytes()), &[]);
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    }

    /// Invokes the agent over a connection of its own; status and body, none if that was cut.
    pub(crate) async fn invoke(&self, body: &str) -> Option<(u16, String)> {
        let answer = if self.server.ca().is_none() {
            let mut wire = self.wire().await;
            wire.send(self.request(body)).await;
            wire.answer().await
        } else {
            let mut wire = Wire::new(self.tls(&["http/1.1"]).await);
            wire.send(self.request(body)).await;
            wire.answer().await
        };
        answer.map(|Answer { status, body, .. }| (status, body))
    }

    /// Waits until this limit was crossed so often, and checks that of both that end a client who does not read it is the only one.
    pub(crate) async fn crosses(&self, limit: &str, times: u64) {
        let lines = ["stream_timeout_secs", "write_stall_timeout_secs"].map(|name| {
            let n = if name == limit { times } else { 0 };
            format!("innkeep_limit_crossings_total{{limit=\"{name}\"}} {n}")
        });
        let mut metrics = String::new();
        let counted = tokio::time::timeout(SOON, async {
            while !lines.iter().all(|line| metrics.lines().any(|found| found == line)) {
                metrics = self.metrics().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(counted.await.is_ok(), "{lines:?} are not in {metrics}");
    }

    async fn metrics(&self) -> String {
        let token = self.operator_token();
        let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
        let answer = if self.server.ca().is_none() {
            let mut wire = self.wire().await;
            wire.send(request).await;
            wire.answer().await
        } else {
            let mut wire = Wire::new(self.tls(&["http/1.1"]).await);
            wire.send(request).await;
            wire.answer().await
        };
        answer.unwrap().body
    }

    /// Checks that the server still serves and that nothing of the test is left: no connection, no task, no panic, no error in
    /// the log. Then takes it down.
    pub(crate) async fn finish(self) {
        assert_eq!(self.invoke("hello").await, Some((200, "5".to_owned())));
        let idle = self.idle;
        let mut held = Held::now();
        let settled = tokio::time::timeout(SOON, async {
            while held.descriptors > idle.descriptors || held.tasks > idle.tasks {
                tokio::time::sleep(Duration::from_millis(20)).await;
                held = Held::now();
            }
        });
        assert!(settled.await.is_ok(), "{held:?} is held, {idle:?} was before");
        self.server.shutdown(Duration::from_secs(1)).await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked");
        let errors = String::from_utf8_lossy(&ERRORS.lock()).into_owned();
        assert_eq!(errors, "", "the server logged errors");
        make_removable(&self.data_dir);
    }

    /// Returns what is held once kept connections are gone.
    async fn at_rest(&self) -> Held {
        let mut held = Held::now();
        let mut unchanged = 0;
        let at_rest = tokio::time::timeout(SOON, async {
            // Kept connections close after a second.
            while unchanged < 30 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let now = Held::now();
                unchanged = if now == held { unchanged + 1 } else { 0 };
                held = now;
            }
        });
        at_rest.await.expect("the server comes to rest");
        held
    }
}

/// Uploads `agent.py`, creates a runtime from it, and returns it once it is made or cannot be.
async fn deploy(server: &Server, name: &str, settings: Option<&Settings>) -> GetAgentRuntimeResponse {
    let endpoint = Endpoint {
        url: server.url().to_owned(),
        region: server.config().region.clone(),
        account: server.config().account.clone(),
    };
    let ca = server.ca().map(Path::to_owned);
    let client = Client::trusting(endpoint, server.credentials().clone(), ca).unwrap();
    let uploaded = client.upload_artifact(project(), &UploadKind::Project { layer: None }).await.unwrap();
    let s3 = S3Location { bucket: Some(uploaded.bucket), prefix: Some(uploaded.prefix), ..S3Location::default() };
    let code = CodeConfiguration {
        code: Some(Code { s3: Some(s3) }),
        runtime: Some(uploaded.runtime),
        entry_point: Some(uploaded.entry_point),
    };
    let request = AgentRuntimeRequest {
        agent_runtime_name: Some(name.to_owned()),
        agent_runtime_artifact: Some(AgentRuntimeArtifact {
            code_configuration: Some(code),
            ..AgentRuntimeArtifact::default()
        }),
        role_arn: Some("arn:aws:iam::000000000000:role/agent".to_owned()),
        network_configuration: Some(NetworkConfiguration {
            network_mode: Some("PUBLIC".to_owned()),
            ..NetworkConfiguration::default()
        }),
        ..AgentRuntimeRequest::default()
    };
    let created = client.create_runtime(&request, settings).await.unwrap();
    loop {
        let runtime = client.get_runtime(&created.agent_runtime_id, None).await.unwrap();
        match runtime.status {
            RuntimeStatus::Creating => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => return runtime,
        }
    }
}

fn project() -> File {
    let mut zip = zip::ZipWriter::new(tempfile::tempfile().unwrap());
    zip.start_file("main.py", SimpleFileOptions::default()).unwrap();
    zip.write_all(include_bytes!("agent.py")).unwrap();
    let mut file = zip.finish().unwrap();
    file.rewind().unwrap();
    file
}

/// Returns a value of `/proc/self/status`, bytes.
pub(crate) fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Bundles are read-only, which keeps anybody but root from removing them.
fn make_removable(directory: &TempDir) {
    for entry in walkdir::WalkDir::new(directory.path()).into_iter().flatten() {
        if entry.file_type().is_dir() {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// Counts panics and keeps the log's errors.
fn listen_for_trouble() {
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(Keep);
    if tracing::subscriber::set_global_default(subscriber.finish()).is_ok() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            hook(panic);
        }));
    }
}

struct Keep;

impl MakeWriter<'_> for Keep {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for Keep {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        ERRORS.lock().extend_from_slice(line);
        Ok(line.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
