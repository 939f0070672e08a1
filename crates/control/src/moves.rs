//! What goes on after a change of a named endpoint was answered: its version is checked on this host before it serves, and its
//! sessions end before it goes.
//!
//! ```text
//! CREATING ─┬─► READY            UPDATING ─┬─► READY           READY ──► DELETING ──► (gone)
//!           └─► CREATE_FAILED              └─► UPDATE_FAILED
//! ```
//! A move whose version is still being made begins when that has ended. The store knows what is unfinished, so a server started
//! after a crash begins it again: all of it is idempotent.

use innkeep_sandbox::tasks::Kind;
use innkeep_store::{EndpointRecord, Error, Moved};
use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion};

use crate::Control;
use crate::maker::MakeFailed;
use crate::queue::Check;

impl Control {
    /// Begins to move an endpoint that is CREATING or UPDATING as soon as its turn comes.
    pub(crate) fn spawn_move(&self, endpoint: &EndpointRecord) {
        self.spawn_check(Check::Endpoint(endpoint.runtime.clone(), endpoint.name.clone()));
    }

    /// Moves the endpoint whose turn it is.
    pub(crate) async fn move_or_leave(&self, runtime: &RuntimeId, name: &EndpointName) {
        if let Err(error) = self.move_endpoint(runtime, name).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(runtime.id = %runtime, error, "endpoint {name} of {runtime} is left for the next start");
        }
    }

    /// Begins the moves that waited for the version, whose making has ended, well or not.
    pub(crate) async fn begin_waiting_moves(&self, runtime: &RuntimeId, version: RuntimeVersion) -> Result<(), Error> {
        let unfinished = self.inner.store.unfinished_endpoints(Some(runtime)).await?;
        let waiting = unfinished.into_iter().filter(|e| e.status != RuntimeStatus::Deleting && e.target == version);
        waiting.for_each(|endpoint| self.spawn_move(&endpoint));
        Ok(())
    }

    /// Begins to end the sessions of an endpoint that is DELETING.
    pub(crate) fn spawn_delete_endpoint(&self, runtime: RuntimeId, name: EndpointName) {
        let control = self.clone();
        self.inner.tasks.spawn(Kind::Make, async move {
            control.inner.maker.unmake_endpoint(&control.arn(&runtime).endpoint(&name)).await;
            match control.inner.store.finish_delete_endpoint(&runtime, &name).await {
                Ok(()) => tracing::info!(runtime.id = %runtime, "endpoint {name} of {runtime} is deleted"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(runtime.id = %runtime, error, "delete of endpoint {name} of {runtime} is left for the next start");
                }
            }
        });
    }

    /// Takes up what a dead server left unfinished of named endpoints. Call it before versions are taken up: theirs begin the moves
    /// that wait for them.
    pub(crate) async fn resume_moves(&self) -> Result<(), Error> {
        for endpoint in self.inner.store.unfinished_endpoints(None).await? {
            match endpoint.status {
                RuntimeStatus::Deleting => self.spawn_delete_endpoint(endpoint.runtime, endpoint.name),
                _ if self.is_made(&endpoint).await? => self.spawn_move(&endpoint),
                _ => {}
            }
        }
        Ok(())
    }

    async fn is_made(&self, endpoint: &EndpointRecord) -> Result<bool, Error> {
        let version = self.inner.store.get_version(&endpoint.runtime, Some(endpoint.target)).await?;
        Ok(version.is_none_or(|version| !version.status.in_progress()))
    }

    async fn move_endpoint(&self, runtime: &RuntimeId, name: &EndpointName) -> Result<(), Error> {
        // It may be queued twice, by who asked for it and by the making of its version, and be at rest or moved again by now.
        let moves = |e: &EndpointRecord| matches!(e.status, RuntimeStatus::Creating | RuntimeStatus::Updating);
        let found = self.inner.store.get_endpoint(runtime, name).await?;
        let Some(endpoint) = found.filter(moves) else { return Ok(()) };
        let target = endpoint.target;
        let Some(version) = self.inner.store.get_version(runtime, Some(target)).await? else {
            return Err(Error::NoVersion(runtime.clone(), target));
        };
        // Also a version that serves elsewhere: it may have been made long ago, or on another host.
        let checked = match version.status {
            RuntimeStatus::Ready => self.inner.maker.check(&version).await,
            // The end of its making begins this move.
            status if status.in_progress() => return Ok(()),
            _ => {
                let why = version.failure_reason.unwrap_or_else(|| version.status.as_str().to_owned());
                let reason = format!("version {target} could not be made: {why}");
                Err(MakeFailed::Failed { reason, log: version.failure_log })
            }
        };
        let (moved, ended) = match checked {
            Ok(()) => (Moved::Done, format!("serves version {target}")),
            Err(MakeFailed::Failed { reason, log }) => {
                let ended = format!("cannot serve version {target}: {reason}");
                (Moved::Failed { reason, log }, ended)
            }
            Err(MakeFailed::ShuttingDown) => return Ok(()),
        };
        if self.inner.store.finish_move(&endpoint, moved, self.inner.clock.now()).await? {
            tracing::info!(runtime.id = %runtime, "endpoint {name} of {runtime} {ended}");
        }
        Ok(())
    }
}
