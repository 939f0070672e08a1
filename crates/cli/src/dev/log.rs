//! The agent's log, shown while something else goes on.

use std::pin::pin;

use innkeep_sdk::{Client, LogQuery, LogStream};
use innkeep_types::{Clock, RuntimeId, SystemClock, UnixMillis};

use crate::logs;
use crate::output::Output;

/// The agent's log, once there is an agent.
#[derive(Debug)]
pub(super) struct Log {
    /// Lines before this time were shown, or are not of this run.
    since: UnixMillis,
    lines: Option<LogStream>,
}

impl Log {
    /// Returns the log of what is written from now on.
    pub(super) fn new() -> Self {
        Self { since: SystemClock.now(), lines: None }
    }

    pub(super) async fn follow(&mut self, client: &Client, runtime: &RuntimeId) {
        if self.lines.is_none() {
            let query = LogQuery {
                runtime: Some(runtime.clone()),
                since: Some(self.since),
                follow: true,
                ..LogQuery::default()
            };
            // Without a log the agent is still served; the next deployment tries again.
            self.lines = client.logs(&query).await.ok();
        }
    }

    /// Shows log lines until `work` is done.
    pub(super) async fn shown_while<T>(&mut self, out: Output, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.show_next(out) => {}
            }
        }
    }

    async fn show_next(&mut self, out: Output) {
        let Some(lines) = &mut self.lines else { return std::future::pending().await };
        match lines.next().await {
            Ok(Some(entry)) => {
                self.since = UnixMillis(entry.time_ms.saturating_add(1));
                logs::note(out, &entry);
            }
            Ok(None) | Err(_) => self.lines = None,
        }
    }
}
