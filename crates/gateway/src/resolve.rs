//! (runtime, endpoint) to what its sessions are started from, remembered until the store says that an answer may have changed.
//! Misses are remembered too.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use innkeep_sandbox::Deployment;
use innkeep_store::{Store, VersionRecord};
use innkeep_types::EndpointName;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use crate::error::{BoxError, Error};
use crate::target::Target;

/// Makes a stored version startable through an endpoint; may read the disk.
pub type Deploy = Arc<dyn Fn(&VersionRecord, EndpointName) -> Result<Deployment, BoxError> + Send + Sync>;

/// Answers remembered at one time; a caller who asks for more names than this costs the others a look-up. Source: our choice.
const REMEMBERED: usize = 4096;

/// Resolves targets.
pub(crate) struct Resolver {
    store: Store,
    deploy: Deploy,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    generation: u64,
    by_target: HashMap<Target, Option<Arc<Deployment>>>,
}

impl Resolver {
    pub(crate) fn new(store: Store, deploy: Deploy) -> Self {
        Self { store, deploy, answers: Mutex::default() }
    }

    /// Returns what the target's sessions are started from now; none if runtime or endpoint is absent or not READY.
    pub(crate) async fn resolve(&self, target: &Target) -> Result<Option<Arc<Deployment>>, Error> {
        // Read before the store is: an answer that a commit overtakes is remembered as of the time before it.
        let generation = self.store.generation();
        if let Some(answer) = self.answers.lock().get(generation, target) {
            return Ok(answer);
        }
        let version = self.store.resolve(&target.runtime, &target.endpoint).await;
        let answer = match version.map_err(|e| Error::Resolve(e.into()))? {
            None => None,
            Some(version) => Some(Arc::new(self.deploy(version, target.endpoint.clone()).await?)),
        };
        self.answers.lock().remember(generation, target, answer.clone());
        Ok(answer)
    }

    async fn deploy(&self, version: VersionRecord, endpoint: EndpointName) -> Result<Deployment, Error> {
        let deploy = self.deploy.clone();
        let made = spawn_blocking(move || deploy(&version, endpoint)).await;
        made.map_err(BoxError::from).flatten().map_err(Error::Resolve)
    }
}

impl Answers {
    fn get(&self, generation: u64, target: &Target) -> Option<Option<Arc<Deployment>>> {
        if self.generation == generation { self.by_target.get(target).cloned() } else { None }
    }

    fn remember(&mut self, generation: u64, target: &Target, answer: Option<Arc<Deployment>>) {
        if generation < self.generation {
            return;
        }
        if generation > self.generation || self.by_target.len() >= REMEMBERED {
            self.by_target.clear();
            self.generation = generation;
        }
        self.by_target.insert(target.clone(), answer);
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use innkeep_types::RuntimeId;

    use super::*;

    fn target(n: usize) -> Target {
        let runtime = RuntimeId::parse(format!("agent{n}-0123456789")).unwrap();
        Target { runtime, endpoint: EndpointName::default_endpoint() }
    }

    #[test]
    fn misses_are_remembered_until_the_store_changes() {
        let mut answers = Answers::default();
        answers.remember(3, &target(1), None);
        assert!(answers.get(3, &target(1)).unwrap().is_none());
        assert!(answers.get(4, &target(1)).is_none(), "may have changed");
        answers.remember(4, &target(2), None);
        answers.remember(3, &target(1), None);
        assert!(answers.get(4, &target(1)).is_none(), "an overtaken answer is not remembered");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut answers = Answers::default();
        for n in 0..=REMEMBERED {
            answers.remember(1, &target(n), None);
        }
        assert_eq!(answers.by_target.len(), 1);
    }
}
