//! The one thread that writes: takes what is queued, runs each job in a savepoint, commits once, then answers all.
//!
//! A commit costs an `fsync`, some milliseconds on a common disk; a group pays it once. Knows nothing of what is
//! written.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::db::Db;
use crate::error::{Error, Fault};
use crate::readers::Readers;

/// Writes that wait. When it is full, `write` waits: callers slow down to what the disk can do.
const QUEUE: usize = 256;

/// Writes that share a commit. More would let one slow job delay too many others.
const MAX_GROUP: usize = 64;

/// Handle to the writer. The thread ends when it is dropped or closed; what is queued by then is still written.
#[derive(Debug)]
pub(crate) struct Writer {
    queue_tx: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    stopped_rx: watch::Receiver<Option<Result<(), Error>>>,
    generation: Arc<AtomicU64>,
    /// The same between commits, for those who wait; the counter is for those who look on every request.
    generation_rx: watch::Receiver<u64>,
}

/// Counts the commits of something that `Store::resolve` reads, each twice: odd from before readers may see it until all of them do.
#[derive(Debug)]
struct Generation {
    counter: Arc<AtomicU64>,
    level_tx: watch::Sender<u64>,
}

impl Generation {
    fn new() -> Self {
        Self { counter: Arc::default(), level_tx: watch::Sender::new(0) }
    }

    fn begin(&self) {
        self.counter.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends what was begun, if something was.
    fn end(&self) {
        let begun = self.counter.load(Ordering::Acquire);
        if !begun.is_multiple_of(2) {
            self.counter.store(begun + 1, Ordering::Release);
            self.level_tx.send_replace(begun + 1);
        }
    }
}

/// A queued write.
trait Job: Send {
    /// Does it, inside a savepoint that is rolled back on an error.
    fn run(&mut self, db: &Db) -> Result<(), Error>;
    /// Answers the caller, once it is known whether the group was committed.
    fn acknowledge(self: Box<Self>, committed: Result<(), Error>);
}

struct Write<T, F> {
    work: Option<F>,
    result: Result<T, Error>,
    answer_tx: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&Db) -> Result<T, Fault> + Send,
{
    fn run(&mut self, db: &Db) -> Result<(), Error> {
        if let Some(work) = self.work.take() {
            self.result = work(db).map_err(|fault| fault.at(&db.path));
        }
        self.result.as_ref().map(|_| ()).map_err(Error::clone)
    }

    fn acknowledge(self: Box<Self>, committed: Result<(), Error>) {
        // Fails if the caller has gone away, who then does not want to know.
        let _ = self.answer_tx.send(committed.and(self.result));
    }
}

impl Writer {
    /// Starts the thread. It closes `readers` before its own connection: the last one to close empties the log.
    pub(crate) fn spawn(db: Db, readers: Arc<Readers>) -> Result<Self, Error> {
        let (queue_tx, queue_rx) = mpsc::channel(QUEUE);
        let (stopped_tx, stopped_rx) = watch::channel(None);
        let of_thread = Generation::new();
        let (generation, generation_rx) = (Arc::clone(&of_thread.counter), of_thread.level_tx.subscribe());
        let path: PathBuf = db.path.clone();
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                serve(&db, queue_rx, &of_thread);
                readers.close();
                let checkpointed = db.checkpoint();
                drop(db);
                stopped_tx.send_replace(Some(checkpointed));
            })
            .map_err(|source| Error::Thread { path, source: Arc::new(source) })?;
        Ok(Self { queue_tx: Mutex::new(Some(queue_tx)), stopped_rx, generation, generation_rx })
    }

    /// Runs `work` in the next group and returns what it returned, once that is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Db) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer_tx, answer_rx) = oneshot::channel();
        let queue_tx = self.queue_tx.lock().clone().ok_or(Error::Closed)?;
        let job = Box::new(Write { work: Some(work), result: Err(Error::Closed), answer_tx });
        queue_tx.send(job).await.map_err(|_| Error::Closed)?;
        drop(queue_tx);
        answer_rx.await.map_err(|_| Error::Closed)?
    }

    /// Returns a number that rises when something that `Store::resolve` reads is committed; none while that is under way.
    pub(crate) fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Ordering::Acquire)).filter(|generation| generation.is_multiple_of(2))
    }

    /// Returns the level of the same number.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.generation_rx.clone()
    }

    /// Takes no more writes, and returns when those taken are done and the thread has closed the database.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        drop(self.queue_tx.lock().take());
        let mut stopped_rx = self.stopped_rx.clone();
        let stopped = stopped_rx.wait_for(Option::is_some).await.map_err(|_| Error::Closed)?;
        stopped.clone().unwrap_or(Ok(()))
    }
}

fn serve(db: &Db, mut queue_rx: mpsc::Receiver<Box<dyn Job>>, generation: &Generation) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while queue_rx.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let committed = commit(db, &mut group, generation);
        // After the commit and before the answers: whoever has an answer sees the new generation.
        generation.end();
        for job in group.drain(..) {
            job.acknowledge(committed.clone());
        }
    }
}

/// Runs the group in one transaction. An error means that nothing of it was kept.
fn commit(db: &Db, group: &mut [Box<dyn Job>], generation: &Generation) -> Result<(), Error> {
    let sql = |sql: &str| db.conn.execute_batch(sql).map_err(|e| Fault::from(e).at(&db.path));
    sql("BEGIN IMMEDIATE")?;
    // Of a group that came to no commit.
    db.take_resolve_changed();
    let run_all = || {
        for job in group {
            sql("SAVEPOINT job")?;
            match job.run(db) {
                Ok(()) => sql("RELEASE job")?,
                // On some failures (disk full, I/O error) SQLite ends the whole transaction by itself.
                Err(error) if db.conn.is_autocommit() => return Err(error),
                Err(_) => sql("ROLLBACK TO job; RELEASE job")?,
            }
        }
        // Readers see what is committed before we know: SQLite may copy its log into the database first.
        if db.take_resolve_changed() {
            generation.begin();
        }
        sql("COMMIT")
    };
    let committed = run_all();
    if committed.is_err() && !db.conn.is_autocommit() {
        sql("ROLLBACK")?;
    }
    committed
}

#[cfg(test)]
mod tests;
