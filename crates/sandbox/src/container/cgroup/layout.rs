//! Where the groups of a server are: what was found on the host, and how a server's own groups are called.

use std::fs;
use std::path::{Path, PathBuf};

use innkeep_types::Resources;
use parking_lot::Mutex;

use super::{Missing, v2};

/// What was found on the host.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) version: Version,
    pub(super) trees: Vec<Tree>,
    pub(super) missing: Vec<Missing>,
    /// Whether parents that are there hand their controllers on. Locked while they are made or removed, by blocking code only.
    pub(super) is_ready: Mutex<bool>,
}

#[derive(Debug)]
pub(super) enum Version {
    V1,
    V2(v2::Entrance),
}

/// One hierarchy: with v2 the only one.
#[derive(Debug)]
pub(super) struct Tree {
    /// By the kernel's names, `pids`.
    pub(super) controllers: Vec<&'static str>,
    /// The server's group: new groups are made in it.
    pub(super) parent: PathBuf,
    /// Groups of the same name in other places, from servers before this one that were started from somewhere else.
    pub(super) elsewhere: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) controllers: Vec<&'static str>,
    pub(super) directory: PathBuf,
}

pub(super) struct Limit {
    pub(super) controller: &'static str,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Whether a kernel may lack the file without the limit being void.
    pub(super) is_optional: bool,
}

/// The time of which a sandbox gets its share, microseconds. Source: the kernel's default.
pub(super) const CPU_PERIOD_US: u64 = 100_000;

/// The least share that the kernel takes, microseconds.
const CPU_MIN_QUOTA_US: u64 = 1_000;

/// Returns the processor time of a sandbox in each period, microseconds.
pub(super) fn quota_us(resources: &Resources) -> u64 {
    (u64::from(resources.cpu_millis) * CPU_PERIOD_US / 1000).max(CPU_MIN_QUOTA_US)
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) trees: Vec<Tree>,
    pub(super) missing: Vec<Missing>,
}

impl Layout {
    pub(super) fn remove_empty_parents(&self) {
        let _held = self.is_ready.lock();
        for parent in self.trees.iter().flat_map(Tree::parents) {
            // One that has groups is refused by the kernel, and stays.
            let _ = fs::remove_dir(parent);
        }
    }
}

impl Tree {
    pub(super) fn parents(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.parent).chain(&self.elsewhere)
    }
}

/// Returns the name of a server's group: the same as long as its data directory is the same, whatever the version of Innkeep.
pub(super) fn parent_name(data_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    // FNV-1a: std's hasher may change between releases of Rust.
    let hash = path
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("innkeep-{hash:08x}")
}
