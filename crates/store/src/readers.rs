//! A few read-only connections, used on blocking threads. A read that begins after a write was acknowledged sees it.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::db::Db;
use crate::error::{Error, Fault};
use crate::seal::Sealer;

/// Connections, and so reads at one time. Reads take microseconds; more would only cost memory.
const READERS: usize = 4;

/// The pool. Connections are opened when first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    sealer: Arc<Sealer>,
    idle: Mutex<Vec<Db>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Returns a pool for the database that `writer` has open.
    pub(crate) fn of(writer: &Db) -> Self {
        Self {
            path: writer.path.clone(),
            sealer: Arc::clone(&writer.sealer),
            idle: Mutex::new(Vec::with_capacity(READERS)),
            permits: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs `work` on a connection of the pool.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Db) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let pool = Arc::clone(self);
        let read = spawn_blocking(move || {
            let idle = pool.idle.lock().pop();
            let db = match idle {
                Some(db) => db,
                None => Db::open_reader(&pool.path, &pool.sealer)?,
            };
            let result = work(&db).map_err(|fault| fault.at(&db.path));
            pool.idle.lock().push(db);
            // Held to the end even if the caller has gone away: it counts connections, not callers.
            drop(permit);
            result
        });
        match read.await {
            Ok(result) => result,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Takes no more reads and closes the idle connections.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}
