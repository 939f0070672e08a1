//! (runtime, endpoint, session) to what the session is started from. What an endpoint serves, all parts of a split, is remembered
//! until the store says that it may have changed. Misses are remembered too.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use innkeep_sandbox::Deployment;
use innkeep_store::{Share, Store, VersionRecord};
use innkeep_types::{EndpointName, RuntimeStatus, SessionId};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use crate::authorizer::Gate;
use crate::error::{BoxError, Error, Unmade};
use crate::recent::{Ring, Rings};
use crate::split::{Part, Split};
use crate::target::Target;

/// Makes a stored version startable through an endpoint; may read the disk.
pub type Deploy = Arc<dyn Fn(&VersionRecord, EndpointName) -> Result<Deployment, BoxError> + Send + Sync>;

/// Answers remembered at one time; a caller who asks for more names than this costs the others a look-up. Source: our choice.
const REMEMBERED: usize = 4096;

/// Resolves targets.
pub(crate) struct Resolver {
    store: Store,
    deploy: Deploy,
    rings: Rings,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    generation: u64,
    by_target: HashMap<Target, Served>,
    /// What serves nothing. Apart, because anybody can make some up, and must not push out what is there.
    missing: HashSet<Target>,
}

/// What a request is served from, and the way in to it.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) gate: Gate,
    /// Where its runtime's requests are noted.
    pub(crate) ring: Arc<Ring>,
}

/// What an endpoint serves.
#[derive(Debug, Clone)]
enum Served {
    /// There is no such endpoint, or it is not READY.
    Nothing,
    /// The common case, which costs one counter.
    One(Arc<Resolved>),
    Parts(Arc<Split>),
}

impl Resolver {
    pub(crate) fn new(store: Store, deploy: Deploy, rings: Rings) -> Self {
        Self { store, deploy, rings, answers: Mutex::default() }
    }

    /// Returns what the session is started from if it has no sandbox; none if runtime or endpoint is absent or not READY.
    pub(crate) async fn resolve(&self, target: &Target, session: &SessionId) -> Result<Option<Arc<Resolved>>, Error> {
        Ok(match self.served(target).await? {
            Served::Nothing => None,
            Served::One(resolved) => Some(resolved),
            Served::Parts(split) => match split.pick(target, session).map(|part| &part.resolved) {
                None => None,
                Some(Ok(resolved)) => Some(resolved.clone()),
                // Once more: what was amiss on the disk may have been mended.
                Some(Err(version)) => Some(self.deploy(version, &target.endpoint).await?),
            },
        })
    }

    /// Returns why DEFAULT serves nothing, if the runtime is there and none of its versions became READY yet.
    pub(crate) async fn unmade(&self, target: &Target) -> Result<Option<Unmade>, Error> {
        if target.endpoint != EndpointName::default_endpoint() {
            return Ok(None);
        }
        let newest = self.store.get_version(&target.runtime, None).await.map_err(|e| Error::Resolve(e.into()))?;
        Ok(newest.filter(|newest| newest.status != RuntimeStatus::Ready).map(|newest| Unmade {
            version: newest.version,
            status: newest.status,
            reason: newest.failure_reason,
            log_tail: newest.failure_log,
        }))
    }

    /// Returns all that sessions of the endpoint may be started from; of several, those that can be.
    pub(crate) async fn parts(&self, target: &Target) -> Result<Vec<Arc<Resolved>>, Error> {
        Ok(match self.served(target).await? {
            Served::Nothing => Vec::new(),
            Served::One(resolved) => vec![resolved],
            Served::Parts(split) => split.0.iter().filter_map(|part| part.resolved.as_ref().ok().cloned()).collect(),
        })
    }

    async fn served(&self, target: &Target) -> Result<Served, Error> {
        // Read before the store is: an answer that a commit overtakes is remembered as of the time before it.
        let generation = self.store.generation();
        if let Some(served) = generation.and_then(|generation| self.answers.lock().get(generation, target)) {
            return Ok(served);
        }
        let shares = self.store.resolve(&target.runtime, &target.endpoint).await;
        let shares = shares.map_err(|e| Error::Resolve(e.into()))?;
        let served = match shares.as_slice() {
            [] => Served::Nothing,
            [only] => Served::One(self.deploy(&only.version, &target.endpoint).await?),
            _ => {
                let mut parts = Vec::with_capacity(shares.len());
                for Share { version, weight } in shares {
                    let deployed = self.deploy(&version, &target.endpoint).await;
                    let number = version.version;
                    let resolved = deployed.map_err(|_| Box::new(version));
                    parts.push(Part { version: number, weight, resolved });
                }
                Served::Parts(Arc::new(Split(parts)))
            }
        };
        if let Some(generation) = generation {
            self.answers.lock().remember(generation, target, served.clone());
        }
        Ok(served)
    }

    async fn deploy(&self, version: &VersionRecord, endpoint: &EndpointName) -> Result<Arc<Resolved>, Error> {
        let (deploy, version, endpoint) = (self.deploy.clone(), version.clone(), endpoint.clone());
        let made = spawn_blocking(move || deploy(&version, endpoint)).await;
        let deployment = made.map_err(BoxError::from).flatten().map(Arc::new).map_err(Error::Resolve)?;
        let gate = Gate::of(&deployment);
        if let Gate::Closed(error) = &gate {
            tracing::warn!("version {} of {} lets nobody in: {error}", deployment.version, deployment.arn);
        }
        let ring = self.rings.of(&deployment.arn.runtime);
        Ok(Arc::new(Resolved { deployment, gate, ring }))
    }
}

impl Answers {
    fn get(&self, generation: u64, target: &Target) -> Option<Served> {
        if self.generation != generation {
            return None;
        }
        let missing = || self.missing.contains(target).then_some(Served::Nothing);
        self.by_target.get(target).cloned().or_else(missing)
    }

    fn remember(&mut self, generation: u64, target: &Target, served: Served) {
        if generation < self.generation {
            return;
        }
        if generation > self.generation {
            *self = Self { generation, ..Self::default() };
        }
        if let Served::Nothing = served {
            if self.missing.len() >= REMEMBERED {
                self.missing.clear();
            }
            self.missing.insert(target.clone());
        } else {
            if self.by_target.len() >= REMEMBERED {
                self.by_target.clear();
            }
            self.by_target.insert(target.clone(), served);
        }
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
        answers.remember(3, &target(1), Served::Nothing);
        assert!(matches!(answers.get(3, &target(1)), Some(Served::Nothing)));
        assert!(answers.get(4, &target(1)).is_none(), "may have changed");
        answers.remember(4, &target(2), Served::Nothing);
        answers.remember(3, &target(1), Served::Nothing);
        assert!(answers.get(4, &target(1)).is_none(), "an overtaken answer is not remembered");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut answers = Answers::default();
        let there = || Served::Parts(Arc::new(Split(Vec::new())));
        answers.remember(1, &target(0), there());
        for n in 1..=REMEMBERED + 1 {
            answers.remember(1, &target(n), Served::Nothing);
        }
        assert_eq!(answers.missing.len(), 1);
        assert!(matches!(answers.get(1, &target(0)), Some(Served::Parts(_))), "what is not there pushes nothing out");
        for n in 1..=REMEMBERED {
            answers.remember(1, &target(n), there());
        }
        assert_eq!(answers.by_target.len(), 1);
    }
}
