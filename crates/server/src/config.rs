//! The server's settings: defaults, then `innkeep.toml`, then `INNKEEP_…` variables, then flags. The only place of the server
//! that reads the environment.

mod values;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use innkeep_protocol::walls::Base;
use innkeep_types::{AccountId, Egress, Region, limits};
use serde::{Deserialize, Serialize};

/// Every setting of a server. Each has a variable of the same name in capitals, after `INNKEEP_`.
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
    /// Sessions with a sandbox at one time; default 2500.
    pub max_active_sessions: usize,
    /// New sandboxes per second, four seconds' worth in a burst; default 25.
    pub max_starts_per_second: u32,
    /// Connections served at one time; more wait until one ends; default 10000.
    pub max_connections: usize,
    /// Seconds that a client may take to send a request's head, and be silent between two requests; default 30.
    pub head_timeout_secs: u64,
    /// Seconds for which a request's body may pause; default 60.
    pub body_stall_timeout_secs: u64,
    /// Seconds for which a client may take in nothing of its answer; default 300.
    pub write_stall_timeout_secs: u64,
    /// Seconds to the head of an agent's answer; default 900.
    pub sync_request_timeout_secs: u64,
    /// Seconds from a request's head to the end of its answer; default 3600.
    pub stream_timeout_secs: u64,
    /// The largest body of an invocation, and of its answer, bytes; default 100000000.
    pub max_body_bytes: u64,
    /// Bytes of invocations' bodies in memory at one time, before they go to files; default 268435456.
    pub spool_memory_total_bytes: u64,
    /// Bytes of invocations' bodies in files at one time, before requests are refused; default 5000000000.
    pub spool_total_bytes: u64,
    /// Seconds that streams may take to finish, and agents to end, at shutdown; default 15.
    pub shutdown_grace_secs: u64,
    /// What becomes of sessions at shutdown: `end`, or `detach`: their agents live on for the next server, at most to their
    /// `maxLifetime`; default `end`.
    pub sessions_at_shutdown: AtShutdown,
    /// Days for which an agent's output is kept after its last line; default 7.
    pub log_retention_days: u32,
    /// Days for which it is known of a session that it was there, after its last sandbox ended; default 30.
    pub session_retention_days: u32,
    /// What is logged, in the syntax of `RUST_LOG`; default `info`.
    pub log: String,
    /// Log lines as JSON; default false.
    pub log_json: bool,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7080),
            data_dir: PathBuf::from("/var/lib/innkeep"),
            region: Region::parse("us-west-2").expect("a region"),
            account: AccountId::parse("000000000000").expect("twelve digits"),
            isolation: Isolation::Auto,
            base: Base::Host,
            allow_missing_limits: false,
            dns: Vec::new(),
            egress: Egress::Public,
            allow_plain_http: false,
            max_active_sessions: limits::MAX_ACTIVE_SESSIONS,
            max_starts_per_second: limits::MAX_STARTS_PER_SECOND,
            max_connections: limits::MAX_CONNECTIONS,
            head_timeout_secs: limits::HEAD_TIMEOUT.as_secs(),
            body_stall_timeout_secs: limits::BODY_STALL_TIMEOUT.as_secs(),
            write_stall_timeout_secs: limits::WRITE_STALL_TIMEOUT.as_secs(),
            sync_request_timeout_secs: limits::SYNC_REQUEST_TIMEOUT.as_secs(),
            stream_timeout_secs: limits::STREAM_TIMEOUT.as_secs(),
            max_body_bytes: limits::MAX_BODY_BYTES,
            spool_memory_total_bytes: limits::SPOOL_MEMORY_TOTAL_BYTES,
            spool_total_bytes: limits::SPOOL_TOTAL_BYTES,
            shutdown_grace_secs: limits::STOP_GRACE.as_secs(),
            sessions_at_shutdown: AtShutdown::End,
            log_retention_days: 7,
            session_retention_days: limits::SESSION_RETENTION_DAYS,
            log: "info".to_owned(),
            log_json: false,
            purpose: Purpose::Serve,
        }
    }
}

/// Why the settings could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// There is no such setting.
    #[error("unknown setting {key:?} in {origin}; the nearest known one is {nearest:?}")]
    Unknown {
        /// As written.
        key: String,
        /// Which file or variable.
        origin: String,
        /// What was probably meant.
        nearest: String,
    },
    /// A value is of the wrong kind.
    #[error("bad value for a setting")]
    Value(#[source] Box<toml::de::Error>),
    /// Listening beyond loopback needs TLS, which this version does not have, or a word of consent.
    #[error(
        "{0} is not a loopback address and there is no TLS; put a TLS proxy in front, or set allow_plain_http = true \
         (INNKEEP_ALLOW_PLAIN_HTTP=true) if the network is trusted"
    )]
    PlainHttp(SocketAddr),
}

const PREFIX: &str = "INNKEEP_";

/// Variables of the same prefix that are not settings of the server.
const FOREIGN: [&str; 3] = ["INNKEEP_URL", "INNKEEP_DATA_DIR", "INNKEEP_PROFILE"];

impl Config {
    /// Returns the effective settings of a server in `data_dir`: `file`, else `innkeep.toml` in the data directory, else none;
    /// then the `INNKEEP_…` variables among `variables`. Flags are the caller's to apply afterwards; then [`Config::check`].
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
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
            if FOREIGN.contains(&name.as_str()) {
                continue;
            }
            known(&key, &name)?;
            // Numbers and booleans as TOML spells them; anything else is a string.
            let parsed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
            table.insert(key, parsed.unwrap_or(toml::Value::String(value)));
        }
        table.entry("data_dir").or_insert_with(|| toml::Value::String(data_dir.to_string_lossy().into_owned()));
        table.entry("allow_missing_limits").or_insert(toml::Value::Boolean(purpose == Purpose::Develop));
        let config: Self = table.try_into().map_err(|e| Error::Value(Box::new(e)))?;
        Ok(Self { purpose, ..config })
    }

    /// Checks what no single setting can: that listening beyond loopback is meant.
    pub fn check(self) -> Result<Self, Error> {
        if self.listen.ip().is_loopback() || self.allow_plain_http {
            Ok(self)
        } else {
            Err(Error::PlainHttp(self.listen))
        }
    }

    /// Returns the settings as a file that would give them.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

fn read(path: &Path) -> Result<toml::Table, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let table: toml::Table =
        text.parse().map_err(|source| Error::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    for key in table.keys() {
        known(key, &path.display().to_string())?;
    }
    Ok(table)
}

fn known(key: &str, origin: &str) -> Result<(), Error> {
    let known = toml::Table::try_from(Config::default()).unwrap_or_default();
    if known.contains_key(key) {
        return Ok(());
    }
    let nearest = known.keys().max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
    let nearest = nearest.cloned().unwrap_or_default();
    Err(Error::Unknown { key: key.to_owned(), origin: origin.to_owned(), nearest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("innkeep.toml"), file).unwrap();
        Config::load(
            Purpose::Serve,
            dir.path(),
            None,
            variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn variables_win_over_the_file_and_the_file_over_defaults() {
        let file = "region = \"eu-west-1\"\nmax_starts_per_second = 3\n";
        let config =
            load(file, &[("INNKEEP_MAX_STARTS_PER_SECOND", "9"), ("INNKEEP_URL", "x"), ("PATH", "y")]).unwrap();
        assert_eq!((config.region.as_str(), config.max_starts_per_second), ("eu-west-1", 9));
        assert_eq!(config.listen, Config::default().listen);
        assert_eq!(load("", &[("INNKEEP_ACCOUNT", "\"123456789012\"")]).unwrap().account.as_str(), "123456789012");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let message = load("lisen = \"127.0.0.1:0\"\n", &[]).unwrap_err().to_string();
        assert!(message.contains("\"listen\""), "{message}");
        let message = load("", &[("INNKEEP_MAX_START_PER_SECOND", "9")]).unwrap_err().to_string();
        assert!(message.contains("\"max_starts_per_second\""), "{message}");
    }

    #[test]
    fn listening_beyond_loopback_needs_a_word() {
        let config = Config { listen: "0.0.0.0:7080".parse().unwrap(), ..Config::default() };
        assert!(matches!(config.clone().check(), Err(Error::PlainHttp(_))));
        assert!(Config { allow_plain_http: true, ..config }.check().is_ok());
    }

    #[test]
    fn isolation_and_what_belongs_to_it_are_read() {
        let file = "isolation = \"container\"\nbase = \"/srv/base\"\ndns = [\"192.0.2.1\"]\negress = \"none\"\n";
        let config = load(file, &[]).unwrap();
        assert_eq!((config.isolation, config.egress), (Isolation::Container, Egress::None));
        assert_eq!(config.base, Base::Tree("/srv/base".into()));
        let variables =
            [("INNKEEP_DNS", "192.0.2.1, 2001:db8::1"), ("INNKEEP_BASE", "host"), ("INNKEEP_EGRESS", "none")];
        let config = load("", &variables).unwrap();
        let addresses: Vec<_> = config.dns.iter().map(ToString::to_string).collect();
        assert_eq!((addresses.join(" ").as_str(), config.base), ("192.0.2.1 2001:db8::1", Base::Host));
        for (variable, value) in
            [("INNKEEP_BASE", "srv/base"), ("INNKEEP_DNS", "dns.example"), ("INNKEEP_EGRESS", "vpc")]
        {
            assert!(load("", &[(variable, value)]).is_err(), "{variable}={value}");
        }
    }

    #[test]
    fn only_development_allows_missing_limits_unless_told() {
        let dir = tempfile::tempdir().unwrap();
        let load = |purpose, said: Option<&str>| {
            let variables = said.map(|said| ("INNKEEP_ALLOW_MISSING_LIMITS".to_owned(), said.to_owned()));
            Config::load(purpose, dir.path(), None, variables).unwrap().allow_missing_limits
        };
        assert_eq!([load(Purpose::Serve, None), load(Purpose::Develop, None)], [false, true]);
        assert_eq!([load(Purpose::Serve, Some("true")), load(Purpose::Develop, Some("false"))], [true, false]);
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let tree =
            Config { base: Base::Tree("/srv/base".into()), dns: vec![Ipv4Addr::LOCALHOST.into()], ..Config::default() };
        for config in [Config::default(), tree] {
            assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
        }
    }
}
