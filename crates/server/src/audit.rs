//! The audit log: takes events from wherever something is decided, and writes them off the request path, in batches, to the store and
//! to `audit_file`. Nothing waits for it: refusals beyond a rate are counted and not written, what does not fit into the queue is
//! lost, and the log has a line for either.

mod bucket;
mod file;
mod heard;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use innkeep_sandbox::tasks::Tasks;
use innkeep_store::Store;
use innkeep_types::{AuditEvent, AuditOutcome, Clock, limits};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::error;

use self::bucket::Bucket;
use self::file::File;

pub(crate) use self::heard::{Asked, Heard, Subject, Who, is_reading};

/// Events of one batch.
const BATCH: usize = 512;

/// How often what was only counted gets a line, if there is any.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Handle to the log; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    queue: mpsc::Sender<AuditEvent>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    /// Of those who have proven nothing, and of those who have: a flood of the first hides none of the others.
    refusals: [Mutex<Bucket>; 2],
    counted: AtomicU64,
    lost: AtomicU64,
}

/// Writes what the handles take.
#[derive(Debug)]
pub(crate) struct Writer {
    events: mpsc::Receiver<AuditEvent>,
    shared: Arc<Shared>,
    store: Store,
    file: Option<File>,
}

impl Audit {
    /// Returns a log that is written to `store` and, if there is one, to `file`, and what writes it.
    ///
    /// # Errors
    /// A file that cannot be appended to.
    pub(crate) fn open(store: Store, file: Option<&Path>, clock: Arc<dyn Clock>) -> std::io::Result<(Self, Writer)> {
        let file = file.map(File::open).transpose()?;
        // Full: the event is lost, and counted.
        let (queue, events) = mpsc::channel(limits::AUDIT_QUEUE);
        let (counted, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        let refusals = [(); 2].map(|()| Mutex::new(Bucket::full(clock.now())));
        let shared = Arc::new(Shared { clock, refusals, counted, lost });
        Ok((Self { queue, shared: shared.clone() }, Writer { events, shared, store, file }))
    }

    /// Takes an event. Never waits.
    pub(crate) fn record(&self, event: AuditEvent) {
        if event.outcome == AuditOutcome::Denied || event.principal.is_none() {
            let [unproven, proven] = &self.shared.refusals;
            let bucket = if event.principal.is_some() { proven } else { unproven };
            // By our clock: an event's own time is when its request began, which may be long ago.
            if !bucket.lock().take(self.shared.clock.now()) {
                self.shared.counted.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        if self.queue.try_send(event).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Runs until no handle is left, or the tasks are cut off, and what was taken is written.
    pub(crate) async fn run(mut self, tasks: Tasks) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut count = tokio::time::interval(COUNT_EVERY);
        loop {
            let is_over = tokio::select! {
                n_taken = self.events.recv_many(&mut batch, BATCH) => n_taken == 0,
                _ = count.tick() => { self.count_into(&mut batch); false }
                () = tasks.cut().cancelled() => { self.events.close(); false }
            };
            if is_over {
                self.count_into(&mut batch);
            }
            self.write(std::mem::take(&mut batch)).await;
            if is_over {
                return;
            }
        }
    }

    /// Adds lines for what has none of its own.
    fn count_into(&self, batch: &mut Vec<AuditEvent>) {
        let counts = [
            (&self.shared.counted, "RefusalsCounted", AuditOutcome::Denied),
            (&self.shared.lost, "EventsLost", AuditOutcome::Failed),
        ];
        for (counter, action, outcome) in counts {
            let count = counter.swap(0, Ordering::Relaxed);
            if count > 0 {
                batch.push(AuditEvent { count, ..AuditEvent::new(self.shared.clock.now(), action, outcome) });
            }
        }
    }

    async fn write(&mut self, events: Vec<AuditEvent>) {
        if events.is_empty() {
            return;
        }
        let n_events = events.len();
        if let Some(file) = &self.file
            && let Err(error) = file.append(events.clone()).await
        {
            error!(%error, "{n_events} audit events could not be written to audit_file");
        }
        if let Err(error) = self.store.append_audit(events).await {
            error!(error = &error as &dyn std::error::Error, "{n_events} audit events could not be stored");
            self.shared.lost.fetch_add(u64::try_from(n_events).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
