//! One at a time for each key: who comes second waits for the first and then finds its work done.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// The keys that somebody works on.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl SingleFlight {
    /// Waits until nobody else works on `key`; it is the caller's until the guard is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue and nothing else.
    pub(crate) async fn enter(&self, key: &str) -> OwnedMutexGuard<()> {
        let gate = {
            let mut gates = self.0.lock();
            gates.retain(|_, gate| gate.strong_count() > 0);
            let gate = gates.get(key).and_then(Weak::upgrade).unwrap_or_default();
            gates.insert(key.to_owned(), Arc::downgrade(&gate));
            gate
        };
        gate.lock_owned().await
    }
}
