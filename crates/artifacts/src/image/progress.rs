//! How far pulls are, for those who wait for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::Progress;

/// The pulls that are going on, by the reference that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Pulls(Mutex<HashMap<String, Arc<[Layer]>>>);

/// A layer that is being pulled.
#[derive(Debug)]
pub(crate) struct Layer {
    bytes: u64,
    done: AtomicU64,
}

/// One pull; it is told of no more once this is dropped.
#[derive(Debug)]
pub(crate) struct Pull<'a> {
    pulls: &'a Pulls,
    uri: &'a str,
    pub(crate) layers: Arc<[Layer]>,
}

impl Pulls {
    /// Notes that layers of these sizes are pulled for `uri`.
    pub(crate) fn begin<'a>(&'a self, uri: &'a str, sizes: impl Iterator<Item = u64>) -> Pull<'a> {
        let layers: Arc<[Layer]> = sizes.map(|bytes| Layer { bytes, done: AtomicU64::new(0) }).collect();
        self.0.lock().insert(uri.to_owned(), layers.clone());
        Pull { pulls: self, uri, layers }
    }

    /// Tells how far the pull of `uri` is, if there is one.
    pub(crate) fn of(&self, uri: &str) -> Option<Progress> {
        let layers = self.0.lock().get(uri)?.clone();
        let mut progress = Progress::default();
        for layer in layers.iter() {
            let done = layer.done.load(Ordering::Relaxed);
            progress.layers += 1;
            progress.layers_done += usize::from(done > layer.bytes);
            progress.bytes += layer.bytes;
            progress.bytes_done += done.min(layer.bytes);
        }
        Some(progress)
    }
}

impl Layer {
    /// So much of it is here.
    pub(crate) fn has(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    /// It is unpacked.
    pub(crate) fn is_done(&self) {
        self.has(self.bytes.saturating_add(1));
    }
}

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        let mut pulls = self.pulls.0.lock();
        // Another of the same reference may have taken its place.
        if pulls.get(self.uri).is_some_and(|layers| Arc::ptr_eq(layers, &self.layers)) {
            pulls.remove(self.uri);
        }
    }
}
