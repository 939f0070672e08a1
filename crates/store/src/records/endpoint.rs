//! Endpoints as they are kept, and what changes them.

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::records::{ClientToken, VersionRecord};

/// A named pointer to a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Of which runtime.
    pub runtime: RuntimeId,
    /// Its name.
    pub name: EndpointName,
    /// The version that serves, the heaviest of a split; none before the first READY.
    pub live: Option<RuntimeVersion>,
    /// The version it is to serve.
    pub target: RuntimeVersion,
    /// Where it stands.
    pub status: RuntimeStatus,
    /// Why it could not be created or moved.
    pub failure_reason: Option<String>,
    /// The agent's last log lines from the check that failed; operators may see them.
    pub failure_log: Vec<String>,
    /// People's words about it.
    pub description: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The versions that share its new sessions, and their weights; empty: all go to the live one.
    pub split: BTreeMap<RuntimeVersion, u32>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it last changed.
    pub updated_at: UnixMillis,
}

/// What creating a named endpoint asks for.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Of which runtime.
    pub runtime: RuntimeId,
    /// Its name.
    pub name: EndpointName,
    /// The version it is to serve; none: the newest.
    pub target: Option<RuntimeVersion>,
    /// People's words about it.
    pub description: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// `clientToken` and a digest of the request it came with.
    pub token: Option<ClientToken>,
    /// Now.
    pub at: UnixMillis,
}

/// What an update of a named endpoint asks for; what is none stays.
#[derive(Debug, Clone)]
pub struct EndpointChange {
    /// Of which runtime.
    pub runtime: RuntimeId,
    /// Which one.
    pub name: EndpointName,
    /// The version that it is to serve, all of it: ends a split.
    pub target: Option<RuntimeVersion>,
    /// People's words about it.
    pub description: Option<String>,
    /// `clientToken` and a digest of the request it came with.
    pub token: Option<ClientToken>,
    /// Now.
    pub at: UnixMillis,
}

/// The answer to a change of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointAccepted {
    /// The endpoint as it stood when the change was accepted.
    pub endpoint: EndpointRecord,
    /// When its move begins.
    pub begins: Begins,
}

/// When the move of an endpoint begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// Now: the version is made.
    Now,
    /// When the version's making has ended.
    WhenMade,
    /// It did, with the first request that had this token.
    Before,
    /// Never: the endpoint serves what it served.
    Never,
}

/// How the move of an endpoint ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It serves its target.
    Done,
    /// It serves what it served before.
    Failed {
        /// Why, for any caller.
        reason: String,
        /// The agent's last log lines, for operators.
        log: Vec<String>,
    },
}

/// A version's part in what an endpoint serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Which version.
    pub version: VersionRecord,
    /// Its weight among the others; above 0.
    pub weight: u32,
}
