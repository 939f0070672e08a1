//! Limits of one sandbox.

/// Memory of one sandbox, bytes; its writable layer counts. Source: AgentCore quotas, "2 vCPU/8 GB per session".
pub const SESSION_MEMORY_BYTES: u64 = 8 << 30;

/// Processor time of one sandbox, thousandths of a processor. Source: AgentCore quotas, "2 vCPU/8 GB per session".
pub const SESSION_CPU_MILLIS: u32 = 2000;

/// Processes and threads of one sandbox. Source: our choice; a thread pool per core of a large host fits, a fork bomb does not.
pub const SESSION_PROCESSES: u32 = 1024;

/// Open files of one process in a sandbox. Source: our choice; the kernel's hard limit for services under systemd is 524288.
pub const SESSION_OPEN_FILES: u64 = 65_536;

/// The writable layer of one sandbox, bytes. Source: AgentCore quotas, "session storage 1 GB".
pub const SESSION_DISK_BYTES: u64 = 1 << 30;

/// What settings and `minimumMemoryInMiB` may give a sandbox of memory, MiB. Source: our choice: below, no interpreter starts; above,
/// it is a typing error.
pub const SETTABLE_MEMORY_MIB: std::ops::RangeInclusive<u32> = 16..=16_777_216;

/// What settings may give a sandbox of processor time, thousandths of a processor. Source: our choice: control groups count in
/// periods of 100 ms, of which the kernel gives at least 1 ms.
pub const SETTABLE_CPU_MILLIS: std::ops::RangeInclusive<u32> = 10..=1_024_000;

/// What settings may give a sandbox of processes and threads. Source: our choice below; kernel, `PID_MAX_LIMIT`, above.
pub const SETTABLE_PROCESSES: std::ops::RangeInclusive<u32> = 8..=4_194_304;

/// What settings may give a process of open files. Source: our choice below; kernel, default of `fs.nr_open`, above.
pub const SETTABLE_OPEN_FILES: std::ops::RangeInclusive<u64> = 64..=1_048_576;

/// What settings may give a sandbox of writable layer, MiB. Source: our choice.
pub const SETTABLE_DISK_MIB: std::ops::RangeInclusive<u32> = 1..=16_777_216;

/// Files in the writable layer of one sandbox. Source: AgentCore quotas, session storage, "~100–200 k files".
pub const SESSION_DISK_FILES: u64 = 200_000;

/// Directories of its code, the nearest ones, that an agent in a container may write into. Source: our choice: a project's own; each
/// costs a start some ten microseconds, and dependencies in a code zip have thousands.
pub const OWN_CODE_DIRECTORIES: usize = 128;

/// inotify instances of one sandbox. Source: our choice: a quarter of the 128 that Linux gives one user, whom all sandboxes of a server
/// share.
pub const INOTIFY_INSTANCES: u32 = 32;

/// Files and directories that one sandbox watches. Source: our choice: 8,192, what Linux gave one user until 5.11.
pub const INOTIFY_WATCHES: u32 = 8_192;
