//! The server's settings: defaults, then `innkeep.toml`, then `INNKEEP_…` variables, then flags. The only place of the server
//! that reads the environment.

mod artifacts;
mod defaults;
mod error;
mod fields;
mod issuers;
mod rates;
mod tls;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use innkeep_fetch::IpRange;
use innkeep_gateway::Origin;
use innkeep_protocol::walls::Base;
use innkeep_sandbox::host_memory;
use innkeep_types::{AccountId, Egress, Region, limits};
use serde::{Deserialize, Serialize};

pub use artifacts::{RegistrySettings, S3Settings};
pub use error::Error;
pub(crate) use rates::Rates;
pub(crate) use tls::Certificate;
pub use tls::TlsMode;

/// Every setting of a server. Each has a variable of the same name in capitals, after `INNKEEP_`; that of a table holds JSON or an
/// inline table, and a table of known keys has a variable per key besides, `INNKEEP_S3_REGION`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; default `127.0.0.1:7080`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The region of ARNs; default `us-west-2`.
    pub region: Region,
    /// The account of ARNs; default `000000000000`.
    pub account: AccountId,
    /// Which isolation sessions get; default `auto`.
    pub isolation: Isolation,
    /// What the root file systems of containers are made of: `host`, the development base, which is this host's `/usr`; or the
    /// absolute path of a tree; default `host`.
    #[serde(with = "values::base")]
    pub base: Base,
    /// Start containers although memory, processor time or processes cannot be limited on this host; default false, with
    /// `innkeep dev` true.
    pub allow_missing_limits: bool,
    /// The addresses of the name servers that agents in containers ask; default the host's. A variable separates them by commas.
    #[serde(deserialize_with = "values::addresses")]
    pub dns: Vec<IpAddr>,
    /// How far agents in containers reach whose runtime does not say: `public` or `none`; default `public`.
    pub egress: Egress,
    /// Listen beyond loopback although there is no TLS; default false.
    pub allow_plain_http: bool,
    /// The URL by which callers reach this server, where a proxy is in between: it is told to those without a token. Default: what each
    /// of them asked for, with `http`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "issuers::base_url")]
    pub public_url: Option<String>,
    /// Pages of these origins may call agents from browsers: `https://app.example.com`, or `*` for any, then without the browser's own
    /// credentials. Default none. A variable separates them by commas.
    #[serde(with = "rates::origins")]
    pub cors_origins: Vec<Origin>,
    /// Addresses of issuers of tokens that are not public, as ranges: `10.2.0.0/16`. None other of the kind is asked for anything, whatever
    /// discovery URLs say. Default none, with `innkeep dev` those of loopback. A variable separates them by commas.
    #[serde(with = "issuers::ranges")]
    pub jwt_private_issuers: Vec<IpRange>,
    /// Ask issuers at those addresses also without TLS, which on loopback is always allowed; default false.
    pub jwt_plain_http_issuers: bool,
    /// A file of CA certificates (PEM) that issuers of tokens may have their certificates of, besides those of this system; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_ca_file: Option<PathBuf>,
    /// `auto` makes a certificate, of an authority of the server's own; default `off`.
    pub tls: TlsMode,
    /// The file of the certificate to show and those between it and its CA, in PEM; it is loaded anew when it changes. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The file of the certificate's private key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The file of the CA of `tls_cert`, in PEM, for clients that do not trust it anyway; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// Names and addresses by which clients reach the server: the first is the one in its URL, and a generated certificate is good
    /// for all of them, beside this host's own. Default none. A variable separates them by commas.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "tls::names")]
    pub tls_names: Vec<String>,
    /// For development: have an issuer of tokens, by whose key, in the data directory, whoever can read that can be anybody; on loopback
    /// only. Default false, with `innkeep dev --auth jwt` true.
    pub dev_issuer: bool,
    /// Sessions with a sandbox at one time; default 2500.
    pub max_active_sessions: usize,
    /// New sandboxes per second, four seconds' worth in a burst; default 25.
    pub max_starts_per_second: u32,
    /// MiB that all sandboxes that wait for sessions may use together, as measured; default a quarter of the host's memory.
    pub pool_memory_mib: u64,
    /// MiB of memory that new sandboxes leave free, of this host's or of what the control groups that they are in allow; 0: none;
    /// default 256.
    pub memory_floor_mib: u64,
    /// Versions that are made ready and booted once at one time; more wait, first come first served. 0: none is, until the server is
    /// started with another number. Default: the number of processors, at least 2.
    pub max_concurrent_checks: usize,
    /// Runtimes of the account; default 1000.
    pub max_runtimes: u32,
    /// Versions of one runtime; default 1000.
    pub max_versions: u32,
    /// Endpoints of one runtime, DEFAULT counted; default 10.
    pub max_endpoints: u32,
    /// Connections served at one time; more wait until one ends; default 10000.
    pub max_connections: usize,
    /// Seconds that a client may take to send a request's head, and be silent between two requests; default 30.
    pub head_timeout_secs: u64,
    /// Seconds for which a request's body may pause; default 60.
    pub body_stall_timeout_secs: u64,
    /// Seconds for which a client may take in nothing of its answer, and either side of a WebSocket nothing of what the other says;
    /// default 300.
    pub write_stall_timeout_secs: u64,
    /// Seconds to the head of an agent's answer; default 900.
    pub sync_request_timeout_secs: u64,
    /// Seconds from a request's head to the end of its answer; default 3600.
    pub stream_timeout_secs: u64,
    /// The largest payload of a WebSocket's frame, bytes; default 65536.
    pub max_frame_bytes: u64,
    /// Frames that either side of a WebSocket may begin within a second; default 250.
    pub max_frames_per_second: u32,
    /// What a command may write to both outputs together, bytes; more ends it.
    pub max_command_output_bytes: u64,
    /// Requests of the data plane per second, of all callers, four seconds' worth in a burst; 0: no limit. Default 1000; where only this
    /// machine reaches the server (it listens on loopback, and has no `public_url`) 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_per_second: Option<u32>,
    /// The same of the control plane's requests that change something; default 50, or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_changes_per_second: Option<u32>,
    /// The same of its Get requests; default 150, or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_gets_per_second: Option<u32>,
    /// The same of its List requests; default 25, or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lists_per_second: Option<u32>,
    /// Terminals of one session, with a client or without; default 10.
    pub max_shells_per_session: usize,
    /// What a terminal printed last and shows to who connects again, bytes; default 262144.
    pub shell_replay_bytes: usize,
    /// Seconds for which a terminal waits for a client after the last one left; default 900.
    pub shell_detached_timeout_secs: u64,
    /// The largest body of an invocation, and of its answer, bytes; default 100000000.
    pub max_body_bytes: u64,
    /// Bytes of invocations' bodies in memory at one time, before they go to files; default 268435456.
    pub spool_memory_total_bytes: u64,
    /// Bytes of invocations' bodies in files at one time, before requests are refused; default 5000000000.
    pub spool_total_bytes: u64,
    /// Seconds to the end of the answer of an invocation whose caller does not wait; default 28800.
    pub async_timeout_secs: u64,
    /// Seconds for which such an invocation is kept after its end; default 3600.
    pub async_retention_secs: u64,
    /// The largest answer of such an invocation, bytes; default 100000000.
    pub async_max_bytes: u64,
    /// Bytes of such answers that are kept at one time; of one caller half of it; default 2000000000.
    pub async_total_bytes: u64,
    /// Such invocations that run at one time; of one caller half of it; default 1000.
    pub max_async_running: usize,
    /// Such invocations that run or are kept; of one caller half of it; default 10000.
    pub max_async_kept: usize,
    /// Seconds that streams may take to finish, and agents to end, at shutdown; default 15.
    pub shutdown_grace_secs: u64,
    /// What becomes of sessions at shutdown: `end`, or `detach`: their agents live on for the next server, at most to their
    /// `maxLifetime`; default `end`.
    pub sessions_at_shutdown: AtShutdown,
    /// Days for which an agent's output is kept after its last line; default 7.
    pub log_retention_days: u32,
    /// Days for which it is known of a session that it was there, after its last sandbox ended; default 30.
    pub session_retention_days: u32,
    /// Days for which the audit log is kept; default 90.
    pub audit_retention_days: u32,
    /// Whether the audit log has calls of the data plane, too, that were let through; default false.
    pub audit_invocations: bool,
    /// A file that audit events are appended to besides, as JSON lines; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_file: Option<PathBuf>,
    /// What is logged, in the syntax of `RUST_LOG`; default `info`.
    pub log: String,
    /// Log lines as JSON; default false.
    pub log_json: bool,
    /// A Docker configuration file with credentials for registries; default `$DOCKER_CONFIG/config.json`, else
    /// `~/.docker/config.json` of the server's user, which need not be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_config: Option<PathBuf>,
    /// The S3-compatible object store of code zips, behind every bucket but `innkeep`, the built-in one; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Settings>,
    /// How registries of OCI images are spoken to, by host and port as references name them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Programs for words of `runtime` (`PYTHON_3_13`, `NODE_22`), before those that are found: absolute paths.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "artifacts::interpreters")]
    pub interpreters: BTreeMap<String, PathBuf>,
    /// What the server is for. No setting: the command says.
    #[serde(skip)]
    pub purpose: Purpose,
}

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To serve: what was not asked for by name is not weakened to.
    #[default]
    Serve,
    /// To try one's own agent, on loopback: it starts with less than was meant, and says so.
    Develop,
}

/// The tier that sessions get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// The strongest that this host can do; never `process`.
    Auto,
    /// None: agents are ordinary processes. Only by name.
    Process,
    /// Kernel namespaces, control groups and filters of their own.
    Container,
}

/// What becomes of sessions when their server is told to stop. (One that is killed leaves them to the next.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtShutdown {
    /// They end.
    End,
    /// They go on and are taken over by the next server on the data directory.
    Detach,
}

impl std::str::FromStr for Isolation {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(Self::Auto),
            "process" => Ok(Self::Process),
            "container" => Ok(Self::Container),
            other => Err(format!("unknown isolation {other:?}; this version knows: auto, container, process")),
        }
    }
}

const PREFIX: &str = "INNKEEP_";

/// Variables of the same prefix that are not settings of the server.
const FOREIGN: [&str; 3] = ["INNKEEP_URL", "INNKEEP_DATA_DIR", "INNKEEP_PROFILE"];

impl Config {
    /// Returns the effective settings of a server in `data_dir`: `file`, else `innkeep.toml` in the data directory, else none;
    /// then the `INNKEEP_…` variables among `variables`; `DOCKER_CONFIG` and `HOME` among them lead to Docker's own file. Flags are the caller's to apply afterwards; then [`Config::check`].
    pub fn load(
        purpose: Purpose,
        data_dir: &Path,
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let default_file = data_dir.join("innkeep.toml");
        let mut table = match file {
            Some(path) => read(path)?,
            None if default_file.exists() => read(&default_file)?,
            None => toml::Table::new(),
        };
        // A whole table's variable comes before those of its keys: `INNKEEP_S3`, `INNKEEP_S3_REGION`.
        let variables: BTreeMap<_, _> = variables.into_iter().collect();
        let docker_config = artifacts::docker_config(&variables);
        for (name, value) in variables {
            if name.starts_with(PREFIX) && !FOREIGN.contains(&name.as_str()) {
                fields::set(&mut table, &name, value)?;
            }
        }
        table.entry("data_dir").or_insert_with(|| toml::Value::String(data_dir.to_string_lossy().into_owned()));
        table.entry("allow_missing_limits").or_insert(toml::Value::Boolean(purpose == Purpose::Develop));
        if purpose == Purpose::Develop {
            let loopback = IpRange::LOOPBACK.map(|range| toml::Value::String(range.to_string()));
            table.entry("jwt_private_issuers").or_insert_with(|| toml::Value::Array(loopback.to_vec()));
        }
        if let Some(path) = docker_config {
            table.entry("docker_config").or_insert(toml::Value::String(path));
        }
        let config: Self = table.try_into().map_err(|e| Error::Value(Box::new(e)))?;
        let half = |registry: &RegistrySettings| registry.username.is_some() != registry.password.is_some();
        if let Some((host, _)) = config.registries.iter().find(|(_, registry)| half(registry)) {
            return Err(Error::HalfCredentials(host.clone()));
        }
        Ok(Self { purpose, ..config })
    }

    /// Checks what no single setting can: that listening beyond loopback is meant, and without a dev issuer, and that the settings of TLS fit
    /// each other.
    pub fn check(self) -> Result<Self, Error> {
        self.check_tls()?;
        let is_beyond = !self.listen.ip().is_loopback();
        let reached = is_beyond.then(|| self.listen.to_string()).or_else(|| self.public_url.clone());
        if let Some(reached) = reached.filter(|_| self.dev_issuer) {
            return Err(Error::DevIssuer(reached));
        }
        let plain = self.certificate() == Certificate::None && !self.allow_plain_http;
        if plain && is_beyond { Err(Error::PlainHttp(self.listen)) } else { Ok(self) }
    }

    /// Returns the settings as a file that would give them; of secrets it has a comment in their place.
    pub fn to_toml(&self) -> String {
        let mut text = self.rates_unset() + &toml::to_string(self).unwrap_or_default();
        for secret in artifacts::secrets(self) {
            text.push_str(&format!("# {secret} is set, and not shown\n"));
        }
        text
    }
}

/// Where the host does not say what it has, pools are bounded by their sizes alone.
fn pool_memory_mib() -> u64 {
    host_memory().map_or(u64::MAX, |bytes| bytes / limits::POOL_MEMORY_SHARE) >> 20
}

fn read(path: &Path) -> Result<toml::Table, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let table: toml::Table = text.parse().map_err(|source: toml::de::Error| Error::Syntax {
        path: path.to_owned(),
        line: text.get(..source.span().map_or(0, |span| span.start)).unwrap_or_default().lines().count().max(1),
        problem: source.message().to_owned(),
    })?;
    fields::check(&table, &path.display().to_string())?;
    Ok(table)
}

#[cfg(test)]
mod tests;
