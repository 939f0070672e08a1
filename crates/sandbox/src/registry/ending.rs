//! How sessions, and what waits for some, end or are left when their server ends.

use std::time::Duration;

use innkeep_types::StopReason;
use innkeep_types::lifecycle::State;
use tokio::sync::oneshot;

use crate::pool::Leave;
use crate::registry::Registry;
use crate::session::{Command, Session};

impl Registry {
    /// Ends all sandboxes and waits; new sessions are refused from now on.
    pub async fn shutdown(&self, grace: Duration) {
        self.shared.sessions.lock().closed = true;
        let members = self.shared.pools.close(Leave::End(grace));
        tokio::join!(members, self.stop_all(|_| true, &StopReason::ServerShutdown, grace));
        self.shared.driver.close().await;
    }

    /// Leaves all sandboxes to the next server: their agents live on, at most to their `maxLifetime`. New sessions are refused
    /// from now on.
    pub async fn detach(&self) {
        let all: Vec<_> = {
            let mut sessions = self.shared.sessions.lock();
            sessions.closed = true;
            sessions.by_key.values().cloned().collect()
        };
        for session in &all {
            // An actor that has ended has nothing left to leave.
            let _ = session.commands.send(Command::Detach).await;
        }
        self.shared.pools.close(Leave::Detach).await;
        for session in all {
            let mut status = session.status.clone();
            while status.changed().await.is_ok() {}
        }
        self.shared.driver.close().await;
    }

    pub(super) async fn stop_all(&self, matches: impl Fn(&Session) -> bool, reason: &StopReason, grace: Duration) {
        let chosen: Vec<_> = self.shared.sessions.lock().by_key.values().filter(|s| matches(s)).cloned().collect();
        for session in &chosen {
            let (reply, _) = oneshot::channel();
            let stop = Command::Stop { reason: reason.clone(), grace, reply };
            // An actor that has ended takes no more commands; that is what we want of it.
            let _ = session.commands.send(stop).await;
        }
        for session in chosen {
            let mut status = session.status.clone();
            let _ = status.wait_for(|s| matches!(s.state, State::Stopped { .. })).await;
        }
    }
}
