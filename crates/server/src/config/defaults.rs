//! What a setting is that nobody sets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use innkeep_protocol::walls::Base;
use innkeep_types::{AccountId, Egress, Region, limits};

use super::{AtShutdown, Config, Isolation, Purpose, TlsMode, pool_memory_mib};

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
            public_url: None,
            cors_origins: Vec::new(),
            jwt_private_issuers: Vec::new(),
            jwt_plain_http_issuers: false,
            jwt_ca_file: None,
            tls: TlsMode::Off,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            tls_names: Vec::new(),
            dev_issuer: false,
            max_active_sessions: limits::MAX_ACTIVE_SESSIONS,
            max_starts_per_second: limits::MAX_STARTS_PER_SECOND,
            pool_memory_mib: pool_memory_mib(),
            memory_floor_mib: limits::MEMORY_FLOOR >> 20,
            max_concurrent_checks: std::thread::available_parallelism().map_or(2, usize::from).max(2),
            max_runtimes: limits::MAX_RUNTIMES,
            max_versions: limits::MAX_VERSIONS,
            max_endpoints: limits::MAX_ENDPOINTS,
            max_connections: limits::MAX_CONNECTIONS,
            head_timeout_secs: limits::HEAD_TIMEOUT.as_secs(),
            body_stall_timeout_secs: limits::BODY_STALL_TIMEOUT.as_secs(),
            write_stall_timeout_secs: limits::WRITE_STALL_TIMEOUT.as_secs(),
            sync_request_timeout_secs: limits::SYNC_REQUEST_TIMEOUT.as_secs(),
            stream_timeout_secs: limits::STREAM_TIMEOUT.as_secs(),
            max_frame_bytes: limits::MAX_FRAME_BYTES,
            max_frames_per_second: limits::MAX_FRAMES_PER_SECOND,
            max_command_output_bytes: limits::MAX_COMMAND_OUTPUT_BYTES,
            max_requests_per_second: None,
            max_changes_per_second: None,
            max_gets_per_second: None,
            max_lists_per_second: None,
            max_shells_per_session: limits::MAX_SHELLS_PER_SESSION,
            shell_replay_bytes: limits::SHELL_REPLAY_BYTES,
            shell_detached_timeout_secs: limits::SHELL_DETACHED_TIMEOUT.as_secs(),
            max_body_bytes: limits::MAX_BODY_BYTES,
            spool_memory_total_bytes: limits::SPOOL_MEMORY_TOTAL_BYTES,
            spool_total_bytes: limits::SPOOL_TOTAL_BYTES,
            async_timeout_secs: limits::invocations::TIMEOUT.as_secs(),
            async_retention_secs: limits::invocations::RETENTION.as_secs(),
            async_max_bytes: limits::MAX_BODY_BYTES,
            async_total_bytes: limits::invocations::TOTAL_BYTES,
            max_async_running: limits::invocations::MAX_RUNNING,
            max_async_kept: limits::invocations::MAX_KEPT,
            shutdown_grace_secs: limits::STOP_GRACE.as_secs(),
            sessions_at_shutdown: AtShutdown::End,
            log_retention_days: 7,
            session_retention_days: limits::SESSION_RETENTION_DAYS,
            audit_retention_days: limits::AUDIT_RETENTION_DAYS,
            audit_invocations: false,
            audit_file: None,
            log: "info".to_owned(),
            log_json: false,
            docker_config: None,
            s3: None,
            registries: BTreeMap::new(),
            interpreters: BTreeMap::new(),
            purpose: Purpose::Serve,
        }
    }
}
