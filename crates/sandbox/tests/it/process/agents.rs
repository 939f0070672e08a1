//! Agents written in a few lines of Python, and a look at the process table.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use innkeep_artifacts::Bundle;
use innkeep_protocol::link::{AgentState, STATE_FILE, SandboxFacts};
use innkeep_sandbox::ProcessDriver;
use innkeep_sandbox::driver::{Driver, Error, LaunchSpec, Sandbox};
use innkeep_types::{ArtifactDigest, Egress, HealthCheck, Resources, SandboxId, Settings, UnixMillis};

/// `serve(answer, ping)`: an HTTP server on 0.0.0.0:8080. `ping` is a status, or a function that returns status and body.
pub(super) const PING: &str = r"
import http.server, os
def serve(answer, ping=200):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = 200, answer
            if self.path == '/ping':
                status, body = ping() if callable(ping) else (ping, '{}')
            body = (body() if callable(body) else body).encode()
            self.send_response(status)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    global server
    server = http.server.HTTPServer(('0.0.0.0', 8080), Handler)
    server.serve_forever()
";

/// A driver with a data directory of its own. Every agent's environment bears its mark.
pub(super) struct World {
    pub(super) driver: Arc<dyn Driver>,
    walled: bool,
    mark: String,
    directory: tempfile::TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let walled = std::env::var_os("WALLED").is_some();
        let driver = driver(directory.path(), walled).await;
        Self { driver, walled, mark: format!("MARK={}", SandboxId::generate()), directory }
    }

    /// Lets go of all sandboxes and starts over, as a restarted server does.
    pub(super) async fn replace_driver(&mut self) {
        self.driver = driver(self.directory.path(), self.walled).await;
    }

    /// Returns how to start `script`, which gets a directory of its own.
    pub(super) fn spec(&self, script: &str) -> LaunchSpec {
        let sandbox = SandboxId::generate();
        let code = self.directory.path().join(format!("code-{sandbox}"));
        fs::create_dir(&code).unwrap();
        fs::write(code.join("main.py"), script).unwrap();
        let bundle = Bundle {
            digest: ArtifactDigest::parse("0".repeat(64)).unwrap(),
            code,
            argv: ["/usr/bin/python3", "-u", "-S", "main.py"].map(str::to_owned).to_vec(),
            layers: Vec::new(),
            environment: BTreeMap::new(),
            settings: Settings::default(),
        };
        let (name, value) = self.mark.split_once('=').unwrap();
        LaunchSpec {
            sandbox,
            bundle: Arc::new(bundle),
            environment: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            resources: Resources::default(),
            egress: Egress::Public,
            port: 8080,
            health: HealthCheck::Ping,
            start_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(2),
            ends_at: UnixMillis(i64::MAX),
        }
    }

    pub(super) async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        self.driver.launch(spec).await
    }

    pub(super) async fn launch_ready(&self, spec: LaunchSpec) -> Arc<dyn Sandbox> {
        let sandbox = self.launch(spec).await.unwrap();
        let mut state = sandbox.state();
        let state = state.wait_for(|state| !matches!(state, AgentState::Starting)).await.unwrap().clone();
        let log = fs::read_to_string(sandbox.log_file()).unwrap();
        assert!(matches!(state, AgentState::Healthy(_)), "{state:?}\n{log}");
        sandbox
    }

    /// Returns how many processes bear the mark in their environment: agents and all that they started.
    pub(super) fn processes(&self) -> usize {
        let bears_mark = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        processes().filter(bears_mark).count()
    }

    pub(super) fn sandbox_directory(&self, id: &SandboxId) -> PathBuf {
        self.directory.path().join("sandboxes").join(id.as_str())
    }

    pub(super) fn directory(&self, sandbox: &Arc<dyn Sandbox>) -> PathBuf {
        self.sandbox_directory(sandbox.id())
    }

    pub(super) fn sidecar_pid(&self, sandbox: &Arc<dyn Sandbox>) -> i32 {
        let facts = fs::read(self.directory(sandbox).join(STATE_FILE)).unwrap();
        serde_json::from_slice::<SandboxFacts>(&facts).unwrap().pid
    }

    pub(super) fn kill_sidecar(&self, sandbox: &Arc<dyn Sandbox>) {
        let pid = rustix::process::Pid::from_raw(self.sidecar_pid(sandbox)).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

async fn driver(directory: &std::path::Path, walled: bool) -> Arc<dyn Driver> {
    if !walled {
        return Arc::new(ProcessDriver::new(directory).unwrap());
    }
    let options = innkeep_sandbox::container::ContainerOptions {
        base: innkeep_protocol::walls::Base::Host,
        allow_missing_limits: false,
        dns: Vec::new(),
    };
    Arc::new(
        innkeep_sandbox::container::ContainerDriver::new(directory, options)
            .await
            .map_err(|e| format!("{e} {}", e.fix))
            .unwrap(),
    )
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed leaves sandboxes: without their directories they end.
        let _ = fs::remove_dir_all(self.directory.path());
    }
}

/// Asks the agent over a fresh connection and returns the body.
pub(super) async fn get(sandbox: &Arc<dyn Sandbox>, path: &str) -> String {
    let stream = sandbox.dial().await.unwrap();
    let (mut requests, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let request = http::Request::get(path).header("host", "localhost").body(Empty::<bytes::Bytes>::new()).unwrap();
    let exchange = async move {
        let answer = requests.send_request(request).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    let (body, _) = tokio::join!(exchange, connection);
    String::from_utf8(body.to_vec()).unwrap()
}

pub(super) fn children_of(parent: u32) -> Vec<i32> {
    processes().filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// Tells whether a process is gone, or waits for its parent to notice.
pub(super) fn has_ended(pid: i32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns state and parent.
fn stat(pid: i32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
