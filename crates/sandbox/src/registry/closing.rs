//! Endpoints that are deleted: their sessions end, and a request that found the endpoint before does not start one any more. One that
//! comes later does: an endpoint of the same name may be made again.

use std::collections::HashMap;
use std::time::Duration;

use innkeep_types::{EndpointArn, EndpointName, RuntimeId, SessionKey, StopReason, limits};
use tokio::time::Instant;

use crate::pool::PoolKey;
use crate::registry::{PATIENCE, Registry};
use crate::session::Session;

/// When endpoints were deleted.
#[derive(Debug, Default)]
pub(super) struct Closings(HashMap<(RuntimeId, EndpointName), Instant>);

/// No request waits longer than this for its session.
const LONGEST_WAIT: Duration = limits::MAX_START_TIMEOUT.saturating_add(PATIENCE);

impl Closings {
    fn note(&mut self, endpoint: &EndpointArn, now: Instant) {
        self.0.retain(|_, at| now.duration_since(*at) <= LONGEST_WAIT);
        self.0.insert((endpoint.runtime.runtime.clone(), endpoint.endpoint.clone()), now);
    }

    /// Tells whether the session's endpoint was deleted at that time, or later.
    pub(super) fn since(&self, time: Instant, key: &SessionKey) -> bool {
        // Mostly there are none.
        !self.0.is_empty()
            && self.0.get(&(key.runtime.clone(), key.endpoint.clone())).is_some_and(|closed| time <= *closed)
    }
}

impl Registry {
    /// Ends every sandbox of an endpoint and waits until they are gone. Who waits for one is refused.
    pub async fn stop_endpoint(&self, endpoint: &EndpointArn, reason: StopReason) {
        self.shared.sessions.lock().closings.note(endpoint, Instant::now());
        let (runtime, name) = (&endpoint.runtime.runtime, &endpoint.endpoint);
        let is_pool = |key: &PoolKey| key.runtime == *runtime && key.endpoint == *name;
        let members = self.shared.pools.end(is_pool, limits::STOP_GRACE);
        let is_of = |s: &Session| s.key.runtime == *runtime && s.key.endpoint == *name;
        tokio::join!(members, self.stop_all(is_of, &reason, limits::STOP_GRACE));
        self.shared.driver.forget(&is_pool);
    }
}
