//! Settings of request rates, and whose pages may call. Where the server is reached from this machine alone rates are off: nobody is to
//! be protected from anybody there, and load tests are not to measure a limit.

use innkeep_gateway::Origin;
use innkeep_types::limits;
use serde::{Deserializer, de};

use super::{Config, values};

/// Requests per second; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Of the data plane.
    pub(crate) requests: u32,
    /// Of the control plane: what changes something.
    pub(crate) changes: u32,
    /// Of the control plane: Get.
    pub(crate) gets: u32,
    /// Of the control plane: List.
    pub(crate) lists: u32,
}

impl Rates {
    /// Returns them by the names of their settings.
    pub(super) fn named(&self) -> [(&'static str, u32); 4] {
        [
            ("max_requests_per_second", self.requests),
            ("max_changes_per_second", self.changes),
            ("max_gets_per_second", self.gets),
            ("max_lists_per_second", self.lists),
        ]
    }
}

impl Config {
    /// Returns the rates that hold.
    pub(crate) fn rates(&self) -> Rates {
        let is_reached_by_others = !self.listen.ip().is_loopback() || self.public_url.is_some();
        let rate = |set: Option<u32>, default| set.unwrap_or(if is_reached_by_others { default } else { 0 });
        Rates {
            requests: rate(self.max_requests_per_second, limits::MAX_REQUESTS_PER_SECOND),
            changes: rate(self.max_changes_per_second, limits::MAX_CHANGES_PER_SECOND),
            gets: rate(self.max_gets_per_second, limits::MAX_GETS_PER_SECOND),
            lists: rate(self.max_lists_per_second, limits::MAX_LISTS_PER_SECOND),
        }
    }

    /// Returns the rates that no setting gives, as a comment for a file of settings.
    pub(super) fn rates_unset(&self) -> String {
        let set = [
            self.max_requests_per_second,
            self.max_changes_per_second,
            self.max_gets_per_second,
            self.max_lists_per_second,
        ];
        let unset = self.rates().named().into_iter().zip(set).filter(|(_, set)| set.is_none());
        unset.map(|((name, rate), _)| format!("# {name} is not set; at this address it is {rate}\n")).collect()
    }
}

/// Origins as a list, or as a text with commas between them, as variables have it.
pub(super) mod origins {
    use serde::{Serialize, Serializer};

    use super::{Deserializer, Origin, de, values};

    pub(in crate::config) fn serialize<S: Serializer>(origins: &[Origin], serializer: S) -> Result<S::Ok, S::Error> {
        origins.iter().map(ToString::to_string).collect::<Vec<_>>().serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Origin>, D::Error> {
        let parse = |text: &String| text.parse().map_err(|e| de::Error::custom(format!("cors_origins: {e}")));
        values::list(deserializer)?.iter().map(parse).collect()
    }
}
