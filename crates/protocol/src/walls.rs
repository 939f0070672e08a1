//! What separates a sandbox from its host, as the server tells the launcher. The launcher carries it out and decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The agent's user and group inside a sandbox.
pub const AGENT_ID: u32 = 1000;

/// How many user and group ids a sandbox has that was made by root.
pub const IDS: u32 = 65536;

/// The part of a [`crate::link::LaunchPlan`] that makes a sandbox of its own kernel namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// The first of [`IDS`] host ids that are the sandbox's 0, 1, …; its directories belong to that one. None: the server's own
    /// user is the sandbox's [`AGENT_ID`], and there is no other (rootless).
    pub first_id: Option<u32>,
    /// The name of the host inside.
    pub hostname: String,
    /// What the root file system is made of.
    pub base: Base,
    /// What is seen besides.
    pub mounts: Vec<Mount>,
    /// Files that are written into the root, by path; world-readable, not the agent's to change.
    pub files: BTreeMap<PathBuf, String>,
    /// The private writable layer: bytes. It lies in memory.
    pub disk_bytes: u64,
    /// The private writable layer: files, directories and links.
    pub disk_files: u64,
    /// `RLIMIT_NOFILE` of the agent, which it may not raise.
    pub open_files: u64,
    /// `RLIMIT_NPROC` of the agent, where no control group limits it.
    #[serde(default)]
    pub processes: Option<u64>,
    /// How the agent reaches the world.
    pub network: Network,
    /// The seccomp filter, installed right before the agent's program: a sequence of `sock_filter`, packed as
    /// `code << 48 | jt << 40 | jf << 32 | k`.
    pub seccomp: Vec<u64>,
}

/// What a root file system is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Base {
    /// The development base: the host's `/usr`, and what of `/etc` programs need, read-only.
    Host,
    /// A whole tree of the user's, read-only.
    Tree(PathBuf),
}

/// A host directory that is seen inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// Inside; absolute.
    pub target: PathBuf,
    /// Whether the agent may change what it sees: in a layer of its own, never in `source`.
    pub private_layer: bool,
}

/// How an agent reaches the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Network {
    /// A new network namespace with loopback only.
    Loopback,
    /// The network namespace behind this path, which the server has made ready.
    Join(PathBuf),
    /// A new network namespace that a program on the host connects: run with these arguments, in which `{pid}` is a process inside.
    /// It forks to the background when the network is there.
    Helper {
        /// Program and arguments.
        argv: Vec<String>,
        /// Destinations that get an unreachable route, `10.0.0.0/8`.
        unreachable: Vec<String>,
    },
}
