//! What is attached to runtimes and endpoints that says who may use them: policies, parsed, and tags. Remembered until the store
//! says that it may have changed; what has not is not parsed again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use innkeep_auth::policy::{Guarded, Kind, Policy};
use innkeep_store::{Attached, Store, Tagged};
use innkeep_types::RuntimeArn;
use parking_lot::Mutex;

use crate::error::Error;
use crate::target::{Home, Target};

/// Targets remembered at one time, of which not all need exist. Source: our choice, as for what they are resolved to.
const REMEMBERED: usize = 4096;

/// Finds what guards a target.
#[derive(Debug)]
pub(crate) struct Guards {
    store: Store,
    home: Home,
    known: Mutex<HashMap<Target, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    /// Of the store, when it was read.
    generation: u64,
    attached: Arc<[Attached]>,
    guards: Arc<[Guard]>,
}

/// What guards one resource.
#[derive(Debug)]
pub(crate) struct Guard {
    arn: String,
    policy: Option<Policy>,
    tags: BTreeMap<String, String>,
}

impl Guard {
    pub(crate) fn as_guarded(&self) -> Guarded<'_> {
        Guarded { arn: &self.arn, policy: self.policy.as_ref(), tags: &self.tags }
    }
}

impl Guards {
    pub(crate) fn new(store: Store, home: Home) -> Self {
        Self { store, home, known: Mutex::default() }
    }

    /// Returns the guards of the target's runtime and of its endpoint, whether they exist or not.
    pub(crate) async fn of(&self, target: &Target) -> Result<Arc<[Guard]>, Error> {
        // Read before the store is: what a commit overtakes is remembered as of the time before it.
        let generation = self.store.generation();
        let known = self.known.lock().get(target).cloned();
        if let Some(known) = known.as_ref().filter(|known| Some(known.generation) == generation) {
            return Ok(known.guards.clone());
        }
        let resources = vec![
            Tagged::Runtime(target.runtime.clone()),
            Tagged::Endpoint(target.runtime.clone(), target.endpoint.clone()),
        ];
        let attached = self.store.get_attached(resources).await.map_err(|error| Error::Resolve(error.into()))?;
        let guards = match known.filter(|known| *known.attached == *attached) {
            Some(known) => known.guards,
            None => self.read(target, &attached),
        };
        if let Some(generation) = generation {
            self.remember(target, Known { generation, attached: attached.into(), guards: guards.clone() });
        }
        Ok(guards)
    }

    fn read(&self, target: &Target, attached: &[Attached]) -> Arc<[Guard]> {
        let runtime = RuntimeArn::new(self.home.region.clone(), self.home.account.clone(), target.runtime.clone());
        let arns = [runtime.to_string(), runtime.endpoint(&target.endpoint).to_string()];
        arns.into_iter().zip(attached).map(|(arn, attached)| guard(arn, attached)).collect()
    }

    fn remember(&self, target: &Target, known: Known) {
        let mut all = self.known.lock();
        if all.get(target).is_some_and(|newer| newer.generation > known.generation) {
            return;
        }
        if all.len() >= REMEMBERED && !all.contains_key(target) {
            all.clear();
        }
        all.insert(target.clone(), known);
    }
}

/// A policy that cannot be read denies everything: what it would have denied is not known.
fn guard(arn: String, attached: &Attached) -> Guard {
    let policy = attached.policy.as_deref().map(|document| {
        Policy::parse(document, Kind::Resource(&arn)).unwrap_or_else(|error| {
            tracing::error!("the policy of {arn} cannot be read, so nobody may use it until it is replaced: {error}");
            Policy::deny_everything()
        })
    });
    Guard { arn, policy, tags: attached.tags.clone() }
}
