//! Every task of the server has a kind, a span and an owner that waits for it. Read [`Kind`] and you know what runs.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// How long the last answers may take to reach their clients. Source: our choice.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Owns one session: `supervisor`.
    Session,
    /// Follows the sidecar of one sandbox to its end, then cleans up.
    Sandbox,
    /// Makes sandboxes in advance, as far as that goes.
    Spare,
    /// Keeps the pools, or stays with one sandbox that waits for a session: `pool`.
    Pool,
    /// Owns one interpreter that agents are forked from.
    Zygote,
    /// Boots a version once, or unmakes a deleted one.
    Make,
    /// Serves one client connection.
    Connection,
    /// Serves one request of an HTTP/2 connection.
    Stream,
    /// Runs one invocation whose caller does not wait.
    Invocation,
    /// Keeps the certificate of the listener fresh.
    Certificate,
    /// Makes bundles anew that this host lacks, once after a start.
    Restore,
    /// Takes connections in.
    Listener,
    /// Owns one terminal: `shells` of the gateway.
    Shell,
    /// Asks one issuer of tokens for its keys.
    Issuer,
    /// Changes access keys, and writes down now and then when they were used.
    Keys,
    /// Brings one change to its end, whether or not who asked for it waits.
    Change,
    /// Writes the audit log.
    Audit,
    /// Removes old logs and artifacts that nothing uses.
    Housekeeping,
}

/// Spawns and owns tasks; clones share ownership.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    cut: CancellationToken,
}

impl Tasks {
    /// Runs `task` to its end. It must end by itself soon after [`Tasks::stopping`] is cancelled.
    pub fn spawn<F>(&self, kind: Kind, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(task.instrument(tracing::debug_span!("task", kind = ?kind)))
    }

    /// Returns the token that is cancelled when the tasks are to end.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Returns the token that is cancelled when what others can hold up for ever (a client that does not read) is to be cut off.
    pub fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// Tells all tasks to end, leaves them [`LAST_WORDS`] for it, cuts off what others still hold up, and waits until nothing runs.
    pub async fn finish(&self) {
        self.stopping.cancel();
        self.tracker.close();
        if tokio::time::timeout(LAST_WORDS, self.tracker.wait()).await.is_err() {
            self.cut.cancel();
            self.tracker.wait().await;
        }
    }
}
