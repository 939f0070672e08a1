//! After a start: what the server before this one left.
//!
//! ```text
//! record says running            ► failed: it was interrupted; what there is of its answer can still be streamed
//! record says done, no such file ► failed: its answer is lost
//! file without a record          ► removed
//! ```

use std::collections::HashMap;

use innkeep_store::InvocationRecord;
use innkeep_types::{ErrorKind, InvocationFailure, InvocationState};
use tracing::{info, warn};

use super::entry::Entry;
use super::{Invocations, file};
use crate::error::Error;

/// What is said of one that its server did not finish.
pub(crate) const INTERRUPTED: &str = "The server ended before the agent had answered. Agents are not idempotent, so the \
                                      invocation was not made again: see in the session what it did, and invoke it anew";

/// What is said of one whose answer is gone.
const LOST: &str = "The agent had answered, but its answer is lost: the data directory does not hold it any more";

impl Invocations {
    /// Takes over what the store knows of. Called once, before any request.
    pub(crate) async fn load(&self) -> Result<(), Error> {
        let stored = |error: innkeep_store::Error| Error::Resolve(error.into());
        let files = file::list(&self.directory).await.map_err(Error::Invocations)?;
        let mut files: HashMap<String, u64> = files.into_iter().collect();
        let mut interrupted = 0;
        let mut records = Vec::new();
        for record in self.store.list_invocations().await.map_err(stored)? {
            let bytes = files.remove(record.id.as_str()).unwrap_or_default();
            let mended = self.mended(&record, bytes);
            interrupted += usize::from(record.state == InvocationState::Running);
            if let Some(mended) = &mended {
                self.store.put_invocation(mended.clone()).await.map_err(stored)?;
            }
            records.push(mended.unwrap_or(record));
        }
        for name in files.into_keys() {
            if let Err(error) = file::remove_stray(&self.directory, &name).await {
                warn!(
                    "cannot remove {name} from {}, which belongs to no invocation: {error}",
                    self.directory.display()
                );
            }
        }
        // In the order in which they ended, which is the one in which they become too old.
        records.sort_by_key(|record| record.ended_at);
        let mut table = self.table.lock();
        for record in records {
            table.add(record.owner, |room| Entry::of(record, [&self.room, room]));
        }
        if interrupted > 0 {
            info!(
                invocations.interrupted = interrupted,
                "{interrupted} invocations without waiting callers were interrupted"
            );
        }
        Ok(())
    }

    /// Returns what the record should say, if that is another thing.
    fn mended(&self, record: &InvocationRecord, bytes: u64) -> Option<InvocationRecord> {
        let message = match record.state {
            InvocationState::Running => INTERRUPTED,
            InvocationState::Done if bytes != record.bytes => LOST,
            _ => return None,
        };
        let failure =
            InvocationFailure { kind: ErrorKind::Internal, message: message.to_owned(), log_tail: Vec::new() };
        let ended_at = record.ended_at.or_else(|| Some(self.clock.now()));
        let failure = Some(failure);
        Some(InvocationRecord { state: InvocationState::Failed, ended_at, bytes, failure, ..record.clone() })
    }
}
