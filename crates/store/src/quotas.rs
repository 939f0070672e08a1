//! How many there may be of what.

use innkeep_types::limits;

/// What an account may have; the contract's by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Runtimes.
    pub runtimes: u32,
    /// Versions of one runtime.
    pub versions: u32,
    /// Endpoints of one runtime, `DEFAULT` counted.
    pub endpoints: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { runtimes: limits::MAX_RUNTIMES, versions: limits::MAX_VERSIONS, endpoints: limits::MAX_ENDPOINTS }
    }
}
