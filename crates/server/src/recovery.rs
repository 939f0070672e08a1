//! After a restart: sessions whose sandbox lives go on, and those whose sandbox is gone are recorded as lost.
//!
//! ```text
//! sandbox lives, session on record      ► goes on, same agent process, same memory
//! sandbox lives, waited for a session   ► waits again, if its version is still served, and one made now would be like it
//! sandbox lives, not on record          ► ended: nobody was told of it (a first boot, a start that was cut off)
//! sandbox lives, of another tier        ► ended: this server gives another isolation than the one before it
//! session on record, sandbox is gone    ► HostLost, with the agent's exit where the sidecar could write it down
//! ```
//!
//! After a restore, a move of the data directory or a change of interpreters: bundles that do not fit are made again. Uploaded code is
//! before sandboxes are adopted, which run it. What may come over a network is afterwards: a registry that does not answer keeps
//! nobody waiting but those who ask for its images.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use innkeep_artifacts::Artifacts;
use innkeep_sandbox::driver::{Adopted, Sandbox};
use innkeep_sandbox::{Origin, Registry};
use innkeep_store::{PoolMemberRecord, SessionRecord, Store, VersionRecord};
use innkeep_types::{Artifact, Clock, SandboxId, StopReason};
use tracing::{info, warn};

use crate::deployer::Deployer;
use crate::pools;

/// Puts sessions and what is `left` of sandboxes together again.
pub(crate) async fn recover(
    left: Adopted,
    registry: &Registry,
    store: &Store,
    deployer: &Deployer,
    clock: &dyn Clock,
) -> Result<(), innkeep_store::Error> {
    let records = store.list_sessions(None, true, u32::MAX).await?;
    let mut records: HashMap<SandboxId, SessionRecord> = records.into_iter().map(|r| (r.sandbox.clone(), r)).collect();
    let waiting = store.list_pool_members().await?;
    let mut waiting: HashMap<_, _> = waiting.into_iter().map(|member| (member.sandbox.clone(), member)).collect();
    let (mut recovered, mut pooled) = (0, 0);
    for sandbox in left.living {
        let id = sandbox.id().clone();
        let Some(record) = records.get(&id) else {
            if let Some(member) = waiting.get(&id)
                && take_back(member, sandbox.clone(), registry, store, deployer).await?
            {
                waiting.remove(&id);
                pooled += 1;
                continue;
            }
            info!(sandbox.id = %id, "ending sandbox {id}, which belongs to no session and waits for none");
            sandbox.kill(Duration::ZERO).await;
            continue;
        };
        let tier = registry.capabilities().tier;
        if record.tier != tier {
            let (was, is) = (record.tier.as_str(), tier.as_str());
            warn!(sandbox.id = %id, "ending sandbox {id}, whose isolation is {was}; this server gives {is}");
            sandbox.kill(Duration::ZERO).await;
            continue;
        }
        if take_over(record, sandbox.clone(), registry, store, deployer).await? {
            records.remove(&id);
            recovered += 1;
        } else {
            warn!(sandbox.id = %id, "ending sandbox {id}, whose version is gone");
            sandbox.kill(Duration::ZERO).await;
        }
    }
    let exits: HashMap<_, _> = left.dead.into_iter().map(|(id, facts)| (id, facts.map(|f| f.exit))).collect();
    let lost = records.len();
    for (id, record) in records {
        let reason = StopReason::HostLost { exit: exits.get(&id).copied().flatten() };
        store.put_session(SessionRecord { stopped: Some((clock.now(), reason)), ..record }).await?;
    }
    for id in waiting.into_keys() {
        store.remove_pool_member(&id).await?;
    }
    if pooled > 0 {
        info!(pool.recovered = pooled, "{pooled} sandboxes go on waiting for sessions");
    }
    if recovered + lost > 0 {
        info!(sessions.recovered = recovered, sessions.lost = lost, "{recovered} sessions go on, {lost} were lost");
    }
    Ok(())
}

/// What bundles are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origins {
    /// What lies in the data directory: uploads, and code that was fetched once.
    Disk,
    /// What may have to be fetched: images, and code of which no copy is kept.
    Network,
}

/// Makes the bundles that endpoints serve and that are not here, or do not fit this host and directory. What cannot be made is named
/// in the log and keeps nothing else from being served.
///
/// # Cancel safety
/// Dropping the future may leave some of them.
pub(crate) async fn make_bundles(
    store: &Store,
    artifacts: &Artifacts,
    origins: Origins,
) -> Result<(), innkeep_store::Error> {
    for runtime in store.list_runtimes(None, u32::MAX).await? {
        for endpoint in store.list_endpoints(&runtime.runtime).await? {
            for share in store.resolve(&endpoint.runtime, &endpoint.name).await? {
                if origins == origins_of(&share.version, artifacts) {
                    make_bundle(&share.version, artifacts).await;
                }
            }
        }
    }
    Ok(())
}

fn origins_of(version: &VersionRecord, artifacts: &Artifacts) -> Origins {
    let is_kept = || version.bundle.as_ref().is_some_and(|bundle| artifacts.keeps_object_of(bundle));
    match &version.config.artifact {
        Artifact::Code { bucket, .. } if bucket == Artifact::BUILT_IN_BUCKET || is_kept() => Origins::Disk,
        Artifact::Code { .. } | Artifact::Container { .. } => Origins::Network,
    }
}

async fn make_bundle(version: &VersionRecord, artifacts: &Artifacts) {
    let Some(digest) = version.bundle.as_ref().filter(|digest| artifacts.bundle(digest).is_err()) else { return };
    let (id, number) = (&version.runtime, version.version);
    match artifacts.restore(&version.config.artifact, digest).await {
        Ok(_) => info!(runtime.id = %id, "made version {number} of {id} ready for this host"),
        Err(error) => warn!(runtime.id = %id, error = &error as &dyn std::error::Error,
            "version {number} of {id} cannot be run on this host until it is deployed anew: {error}"),
    }
}

/// Hands the sandbox to the registry. False if what it runs cannot be found any more.
async fn take_over(
    record: &SessionRecord,
    sandbox: Arc<dyn Sandbox>,
    registry: &Registry,
    store: &Store,
    deployer: &Deployer,
) -> Result<bool, innkeep_store::Error> {
    let Some(version) = store.get_version(&record.key.runtime, Some(record.version)).await? else { return Ok(false) };
    let Ok(deployment) = deployer.deploy(&version, record.key.endpoint.clone()) else { return Ok(false) };
    let origin = Origin { at: record.started_at, request: record.started_by.clone(), owner: record.owner };
    Ok(registry.adopt(record.key.clone(), Arc::new(deployment), sandbox, origin))
}

/// Lets the sandbox wait again. False if nobody could want it: its version is not served any more, or this server makes others, by its
/// settings, its host or its build.
async fn take_back(
    member: &PoolMemberRecord,
    sandbox: Arc<dyn Sandbox>,
    registry: &Registry,
    store: &Store,
    deployer: &Deployer,
) -> Result<bool, innkeep_store::Error> {
    if member.tier != registry.capabilities().tier {
        return Ok(false);
    }
    let shares = store.resolve(&member.runtime, &member.endpoint).await?;
    let Some(share) = shares.into_iter().find(|share| share.version.version == member.version) else {
        return Ok(false);
    };
    let deployment = pools::deploy(deployer, share.version, member.endpoint.clone()).await;
    Ok(deployment
        .is_some_and(|deployment| registry.adopt_pooled(deployment, sandbox, member.started_at, &member.made_of)))
}
