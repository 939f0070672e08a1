//! Limits of invocations whose callers do not wait.

use std::time::Duration;

use super::MAX_BODY_BYTES;

/// Time from acceptance to the end of the answer. Source: AgentCore quotas, "8 h async".
pub const TIMEOUT: Duration = Duration::from_secs(8 * 60 * 60);

/// How long one is kept after its end. Source: our choice.
pub const RETENTION: Duration = Duration::from_secs(60 * 60);

/// The answers of all that are kept, together, bytes. Source: our choice: twenty of the largest.
pub const TOTAL_BYTES: u64 = 20 * MAX_BODY_BYTES;

/// Those that run at one time. Source: our choice.
pub const MAX_RUNNING: usize = 1000;

/// Those that run or are kept. Source: our choice.
pub const MAX_KEPT: usize = 10_000;

/// One caller may have the n-th part of each of these, so that there is always some for another. Source: our choice.
pub const CALLER_PART: usize = 2;
