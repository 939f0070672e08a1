//! Limits of what waits for sessions: pools and zygotes.

use std::time::Duration;

/// Sandboxes of one version that may wait for sessions. Source: our choice: what a host of 64 GiB holds of agents of common size.
pub const MAX_POOL_SIZE: u32 = 100;

/// Age at which a sandbox that waits for a session ends and is replaced. Source: our choice: what goes stale in an agent that does
/// nothing (a token that it fetched when it started, a resolved name) is a day old at most.
pub const POOL_MEMBER_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The past that says how many sessions come. Source: our choice.
pub const POOL_WINDOW: Duration = Duration::from_secs(60);

/// The end of that past, of which a burst is seen at once. Source: our choice.
pub const POOL_BURST_WINDOW: Duration = Duration::from_secs(5);

/// Time without a new session after which a pool of adaptive size, or one that was asked for by hand, ends its members. Source: our
/// choice.
pub const POOL_QUIET: Duration = Duration::from_secs(10 * 60);

/// The same for a pool of a fixed size: somebody said how many, so that one a day is enough to keep it. Source: our choice.
pub const POOL_FIXED_QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that the start of a member waits for sessions that are starting. Source: our choice.
pub const POOL_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks at what pools use and what the host has left. Source: our choice.
pub const POOL_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The longest that who asks for members waits until it is known that an endpoint serves the version. Source: our choice; it is looked at
/// ten times a second where something changes.
pub const SERVED_SOON: Duration = Duration::from_secs(5);

/// Time from the first failure of a member to the next try; each further failure doubles it. Source: our choice.
pub const POOL_RETRY: Duration = Duration::from_secs(1);

/// The most that it grows to. Source: our choice.
pub const POOL_RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// What a member is taken to use before one was measured, bytes. Source: measured: a Python agent with a web framework.
pub const POOL_MEMBER_BYTES: u64 = 64 << 20;

/// The part of the host's memory, one in so many, that all pools together may use unless a setting says how much. Source: our choice.
pub const POOL_MEMORY_SHARE: u64 = 4;

/// The part of the host's memory, one in so many, that has to be available before pools take any, and below which they give some
/// back. Source: our choice.
pub const POOL_HOST_FLOOR: u64 = 10;

/// Interpreters that wait to fork, on one host; the one that forked the longest ago ends for another. Source: our choice: each keeps what
/// its agent imports in memory, some 50 MiB.
pub const MAX_ZYGOTES: usize = 16;

/// Time without a fork after which such an interpreter ends. Source: our choice, the default idle timeout of a session.
pub const ZYGOTE_IDLE: Duration = Duration::from_secs(15 * 60);

/// Time since its last fork in which no such interpreter ends for another version's. Source: our choice: what is wanted once a minute is
/// worth its place.
pub const ZYGOTE_KEPT: Duration = Duration::from_secs(60);

/// Time in which a version whose interpreter ended for another's gets none again: to import once costs as much as a plain start, and more
/// versions than there are places would have one another's ended in turn. Source: our choice.
pub const ZYGOTE_EVICTED: Duration = Duration::from_secs(5 * 60);

/// Time after which such an interpreter ends whatever it does, and with it one that no server knows any more. Source: our choice; three
/// times the longest default life of a session.
pub const ZYGOTE_LIFETIME: Duration = Duration::from_secs(24 * 3600);
