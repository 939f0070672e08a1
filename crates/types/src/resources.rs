//! What one sandbox may use, and how far it may reach.

use serde::{Deserialize, Serialize};

use crate::limits;

/// What one sandbox may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory of all its processes, page cache and writable layer together, bytes.
    pub memory_bytes: u64,
    /// Processor time, thousandths of one processor.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub processes: u32,
    /// Open files of one process.
    pub open_files: u64,
    /// Its writable layer, bytes.
    pub disk_bytes: u64,
    /// Its writable layer: files, directories and links.
    pub disk_files: u64,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            memory_bytes: limits::SESSION_MEMORY_BYTES,
            cpu_millis: limits::SESSION_CPU_MILLIS,
            processes: limits::SESSION_PROCESSES,
            open_files: limits::SESSION_OPEN_FILES,
            disk_bytes: limits::SESSION_DISK_BYTES,
            disk_files: limits::SESSION_DISK_FILES,
        }
    }
}

/// How far an agent reaches beyond its sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// Its own loopback only.
    None,
    /// The public internet; not private ranges, link-local and metadata addresses, the host, or other sandboxes.
    Public,
}

impl Egress {
    /// Returns the word used in settings, logs and the operator API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Public => "public",
        }
    }
}
