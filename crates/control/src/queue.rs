//! Versions that wait to be made, and endpoints whose version waits to be checked. At most so many are done at one time, first come
//! first served: each is a boot, and some are downloads besides. Knows nothing of how it is done.

use std::collections::VecDeque;
use std::sync::Arc;

use innkeep_types::{EndpointName, RuntimeId, RuntimeVersion};
use parking_lot::Mutex;

/// What waits, by name alone: records hold decrypted environments, and are read when the turn comes.
#[derive(Debug)]
pub(crate) enum Check {
    /// A version that is CREATING or UPDATING.
    Version(RuntimeId, RuntimeVersion),
    /// An endpoint that is.
    Endpoint(RuntimeId, EndpointName),
}

/// The queue and who works on it.
#[derive(Debug)]
pub(crate) struct Queue {
    max_workers: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Check>,
    n_workers: usize,
}

impl Queue {
    /// Returns an empty queue. Without workers, 0, what comes waits for the next start of a server.
    pub(crate) fn new(max_workers: usize) -> Self {
        Self { max_workers, state: Mutex::default() }
    }

    /// Puts a check at the end. Returns a worker if one more may work; whoever gets it calls [`Worker::next`] until there is nothing.
    pub(crate) fn push(self: &Arc<Self>, check: Check) -> Option<Worker> {
        let mut state = self.state.lock();
        state.waiting.push_back(check);
        let is_welcome = state.n_workers < self.max_workers;
        is_welcome.then(|| {
            state.n_workers += 1;
            Worker { queue: Arc::clone(self), is_counted: true }
        })
    }
}

/// One who does them, one after the other. Dropped, he makes place for another.
#[derive(Debug)]
pub(crate) struct Worker {
    queue: Arc<Queue>,
    is_counted: bool,
}

impl Worker {
    /// Returns the check whose turn it is. With none his work is over: what is pushed from then on gives another worker.
    pub(crate) fn next(&mut self) -> Option<Check> {
        let mut state = self.queue.state.lock();
        let next = state.waiting.pop_front();
        if next.is_none() && std::mem::take(&mut self.is_counted) {
            state.n_workers -= 1;
        }
        next
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.is_counted {
            self.queue.state.lock().n_workers -= 1;
        }
    }
}
