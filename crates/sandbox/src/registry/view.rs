//! What can be seen of the sessions from outside, without a part in them.

use std::sync::Arc;

use innkeep_types::SessionKey;

use crate::deployment::Deployment;
use crate::registry::Registry;
use crate::session::SessionInfo;

impl Registry {
    /// Returns what the session's sandbox is started from, if it has one; the endpoint may serve another version by now.
    pub fn deployment(&self, key: &SessionKey) -> Option<Arc<Deployment>> {
        self.shared.sessions.lock().by_key.get(key).map(|session| session.deployment.clone())
    }

    /// Returns the sessions that have a sandbox.
    pub fn list(&self) -> Vec<SessionInfo> {
        let sessions: Vec<_> = self.shared.sessions.lock().by_key.values().cloned().collect();
        // One may have ended since.
        sessions.iter().filter_map(|s| s.info()).collect()
    }
}
