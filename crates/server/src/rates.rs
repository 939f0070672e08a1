//! How often the control plane may be asked, by the kind of what is asked, shared out among those who ask.

use std::sync::atomic::{AtomicU64, Ordering};

use innkeep_gateway::CallerRate;
use innkeep_types::ErrorKind;

use crate::config::Rates;
use crate::respond::Refused;

/// The rates of the control plane.
#[derive(Debug)]
pub(crate) struct ControlRates {
    changes: Kind,
    gets: Kind,
    lists: Kind,
}

#[derive(Debug)]
struct Kind {
    /// The setting.
    name: &'static str,
    rate: CallerRate,
    crossed: AtomicU64,
}

impl Kind {
    fn new(name: &'static str, per_second: u32) -> Self {
        Self { name, rate: CallerRate::new(per_second), crossed: AtomicU64::new(0) }
    }
}

impl ControlRates {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            changes: Kind::new("max_changes_per_second", rates.changes),
            gets: Kind::new("max_gets_per_second", rates.gets),
            lists: Kind::new("max_lists_per_second", rates.lists),
        }
    }

    /// Lets one request in of whoever `principal` names, for the operation of this name.
    pub(crate) fn try_take(&self, operation: &str, principal: &str) -> Result<(), Refused> {
        let kind = match operation {
            get if get.starts_with("Get") => &self.gets,
            list if list.starts_with("List") => &self.lists,
            _ => &self.changes,
        };
        kind.rate.try_take(|| principal).map_err(|seconds| {
            kind.crossed.fetch_add(1, Ordering::Relaxed);
            let message =
                format!("Rate exceeded: the server answers no more {operation} at present; try again in {seconds} s");
            let mut refused = Refused::new(ErrorKind::Throttled, message);
            refused.retry_after = Some(seconds);
            refused
        })
    }

    /// Returns how often each was crossed, by the names of their settings.
    pub(crate) fn crossings(&self) -> [(&'static str, u64); 3] {
        [&self.changes, &self.gets, &self.lists].map(|kind| (kind.name, kind.crossed.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_request_has_a_rate_of_its_own() {
        let rates = ControlRates::new(Rates { requests: 0, changes: 1, gets: 0, lists: 2 });
        let granted = |operation: &str| (0..50).filter(|_| rates.try_take(operation, "alice").is_ok()).count();
        let operations = ["CreateAgentRuntime", "DeleteAgentRuntime", "GetAgentRuntime", "ListAgentRuntimes"];
        assert_eq!(operations.map(granted), [4, 0, 50, 8]);
        let refused = rates.try_take("TagResource", "alice").unwrap_err();
        assert_eq!((refused.kind, refused.retry_after), (ErrorKind::Throttled, Some(1)));
        let expect = [("max_changes_per_second", 97), ("max_gets_per_second", 0), ("max_lists_per_second", 42)];
        assert_eq!(rates.crossings(), expect);
    }
}
