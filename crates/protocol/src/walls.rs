//! What separates a sandbox from its host, as the server tells the launcher. The launcher carries it out and decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The agent's user and group inside a sandbox, unless an image names others.
pub const AGENT_ID: u32 = 1000;

/// How many user and group ids a sandbox has that was made by root.
pub const IDS: u32 = 65536;

/// The sidecar's user and group inside such a sandbox: nobody that an image may name. An agent may be 0, and must find no process of
/// its own user that is not its own.
pub const SIDECAR_ID: u32 = IDS - 1;

/// The part of a [`crate::link::LaunchPlan`] that makes a sandbox of its own kernel namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// The first of [`IDS`] host ids that are the sandbox's 0, 1, …; its directories belong to [`SIDECAR_ID`] of them. None: the
    /// server's own user is the agent's, and there is no other (rootless).
    pub first_id: Option<u32>,
    /// Who the agent is.
    pub agent: Identity,
    /// The name of the host inside.
    pub hostname: String,
    /// What the root file system is made of.
    pub root: Root,
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
    /// What it has to do with an interpreter that forks agents; nothing, mostly.
    #[serde(default)]
    pub zygote: Option<Zygote>,
}

impl Walls {
    /// Tells whether the agent is a zygote.
    pub fn keeps_zygote(&self) -> bool {
        matches!(self.zygote, Some(Zygote::Keeps { .. }))
    }
}

/// A user of a sandbox, with the groups it is in; all below [`SIDECAR_ID`] where the sandbox has users of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its further groups. Without users of its own a sandbox has none.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Who an agent is that runs upon a base.
    pub const AGENT: Self = Self { user: AGENT_ID, group: AGENT_ID, groups: Vec::new() };
}

/// What a root file system is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Root {
    /// Of the host's files, or the operator's, for code that runs upon them.
    Base(Base),
    /// Of an image's. The program may be a bare name, which is looked for along `PATH` inside; the working directory is made if it
    /// is missing.
    Image {
        /// On the host, the topmost first; at most `limits::MAX_IMAGE_LAYERS`, read-only. Where the sandbox has users of its own, it sees the
        /// files of 0, 1, … as those of its own 0, 1, ….
        layers: Vec<PathBuf>,
    },
}

/// What agents find of the host.
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

/// What a sandbox has to do with a zygote: an interpreter that has imported already and forks, once for each session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Zygote {
    /// Its agent is one. The agent's arguments end in the two sockets that it gets: where forks are asked for, and where it reports.
    Keeps {
        /// Host ids that the sandboxes of its forks may have, from the first to before the last; none where there is one id only.
        ids: Option<(u32, u32)>,
    },
    /// Its agent is forked from that of another sandbox, and it lives in that one's namespaces of users and processes. If that
    /// fails, the agent is its program.
    ForkedFrom {
        /// The user namespace that it enters: where the sandbox has users of its own, the one made for it alone, with its ids mapped;
        /// else the keeper's, in which it makes one.
        users: PathBuf,
        /// The keeper's process namespace.
        processes: PathBuf,
        /// The keeper's directory, which has [`FORK_SOCKET`].
        directory: PathBuf,
    },
}

/// Where an interpreter takes requests to fork, in the directory of its sandbox.
pub const FORK_SOCKET: &str = "fork.sock";
