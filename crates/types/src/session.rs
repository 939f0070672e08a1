//! Sessions: their key, the tier of their sandbox, and why they stop.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{EndpointName, RuntimeId, SessionId};

/// What makes a session one: the same id on two endpoints is two sessions. Source: our choice; the developer guide does not say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionKey {
    /// The runtime invoked.
    pub runtime: RuntimeId,
    /// The endpoint invoked.
    pub endpoint: EndpointName,
    /// The caller's session id.
    pub session: SessionId,
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.runtime, self.endpoint, self.session)
    }
}

/// Whose a session is: a keyed digest of who started it. It names nobody.
#[derive(Clone, Copy)]
pub struct SessionOwner([u8; 32]);

impl SessionOwner {
    /// Returns the owner with this digest.
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Returns the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells whether both are the same, in a time that does not depend on where they differ.
    pub fn is(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differences) == 0
    }
}

impl PartialEq for SessionOwner {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Eq for SessionOwner {}

/// The first bytes, as audit logs have them.
impl fmt::Debug for SessionOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How strong a sandbox is, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// An ordinary process of the host: no isolation.
    Process,
    /// Its own kernel namespaces, control groups and filters; the host's kernel.
    Container,
}

impl Tier {
    /// Returns the word used in settings, logs and the operator API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
        }
    }
}

/// How the agent's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentExit {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for AgentExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Why a sandbox ended, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum StopReason {
    /// Nothing used it for the idle timeout.
    IdleTimeout,
    /// It reached `maxLifetime`.
    MaxLifetime,
    /// Its health checks failed three times in a row.
    Unhealthy {
        /// What the last check saw.
        detail: String,
    },
    /// The agent's process ended by itself.
    AgentExited {
        /// How.
        exit: AgentExit,
    },
    /// The kernel ended it for lack of memory.
    OutOfMemory,
    /// StopRuntimeSession, or `innkeep sessions stop`.
    StoppedByCaller,
    /// Its runtime was deleted.
    RuntimeDeleted,
    /// Its version was deleted.
    VersionDeleted,
    /// Its endpoint was deleted.
    EndpointDeleted,
    /// `innkeep dev` deployed a newer version.
    Reloaded,
    /// It never became ready.
    StartFailed {
        /// What happened instead.
        detail: String,
    },
    /// The sidecar, the host or the server went away meanwhile.
    HostLost {
        /// How the agent ended, if the sidecar could still write it down.
        #[serde(default)]
        exit: Option<AgentExit>,
    },
    /// The server needed the room.
    Evicted,
    /// The server shut down and was told to end its sessions.
    ServerShutdown,
}

impl StopReason {
    /// The words of all reasons.
    pub const WORDS: [&'static str; 14] = [
        "IdleTimeout",
        "MaxLifetime",
        "Unhealthy",
        "AgentExited",
        "OutOfMemory",
        "StoppedByCaller",
        "RuntimeDeleted",
        "VersionDeleted",
        "EndpointDeleted",
        "Reloaded",
        "StartFailed",
        "HostLost",
        "Evicted",
        "ServerShutdown",
    ];

    /// Returns the word of the reason alone, without its evidence.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::IdleTimeout => "IdleTimeout",
            Self::MaxLifetime => "MaxLifetime",
            Self::Unhealthy { .. } => "Unhealthy",
            Self::AgentExited { .. } => "AgentExited",
            Self::OutOfMemory => "OutOfMemory",
            Self::StoppedByCaller => "StoppedByCaller",
            Self::RuntimeDeleted => "RuntimeDeleted",
            Self::VersionDeleted => "VersionDeleted",
            Self::EndpointDeleted => "EndpointDeleted",
            Self::Reloaded => "Reloaded",
            Self::StartFailed { .. } => "StartFailed",
            Self::HostLost { .. } => "HostLost",
            Self::Evicted => "Evicted",
            Self::ServerShutdown => "ServerShutdown",
        }
    }
}
