//! What goes on after the answer: making versions and finishing deletes.
//!
//! ```text
//! CREATING ─┬─► READY            UPDATING ─┬─► READY           any ──► DELETING ──► (gone)
//!           └─► CREATE_FAILED              └─► UPDATE_FAILED
//! ```
//!
//! The store knows what is unfinished, so a server started after a crash begins it again: both are idempotent.

use std::collections::BTreeSet;

use innkeep_sandbox::tasks::Kind;
use innkeep_store::{Error, Outcome, VersionRecord};
use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion};

use crate::Control;
use crate::maker::MakeFailed;
use crate::queue::Check;

impl Control {
    /// Takes up what a dead server left unfinished: makes versions, finishes deletes.
    /// # Errors
    /// Fails where the store cannot be read; the work itself goes on after the return.
    pub async fn resume(&self) -> Result<(), Error> {
        self.resume_moves().await?;
        let mut deletes = BTreeSet::new();
        for record in self.inner.store.unfinished().await? {
            if record.status != RuntimeStatus::Deleting {
                self.spawn_make(&record);
            } else if self.is_deleting(&record.runtime, None).await? {
                deletes.insert((record.runtime, None));
            } else {
                deletes.insert((record.runtime, Some(record.version)));
            }
        }
        for (runtime, version) in deletes {
            self.spawn_delete(runtime, version);
        }
        Ok(())
    }

    /// Begins to make a version that is CREATING or UPDATING as soon as its turn comes.
    pub(crate) fn spawn_make(&self, record: &VersionRecord) {
        self.spawn_check(Check::Version(record.runtime.clone(), record.version));
    }

    /// Does a check as soon as its turn comes; what is waiting when the server is told to end is left for the next start.
    pub(crate) fn spawn_check(&self, check: Check) {
        let Some(mut worker) = self.inner.queue.push(check) else { return };
        let control = self.clone();
        self.inner.tasks.spawn(Kind::Make, async move {
            let stopping = control.inner.tasks.stopping();
            while !stopping.is_cancelled()
                && let Some(check) = worker.next()
            {
                // In a task of its own: a check that panics must not leave those behind it without a worker.
                let (control, what) = (control.clone(), format!("{check:?}"));
                let checked = control.clone().inner.tasks.spawn(Kind::Make, async move { control.check(&check).await });
                if let Err(error) = checked.await {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "{what} is left for the next start");
                }
            }
        });
    }

    async fn check(&self, check: &Check) {
        match check {
            Check::Version(runtime, version) => self.make_or_leave(runtime, *version).await,
            Check::Endpoint(runtime, name) => self.move_or_leave(runtime, name).await,
        }
    }

    /// Begins to end what runs of a runtime, or of one version of it, that is DELETING.
    pub(crate) fn spawn_delete(&self, runtime: RuntimeId, version: Option<RuntimeVersion>) {
        let control = self.clone();
        self.inner.tasks.spawn(Kind::Make, async move {
            control.inner.maker.unmake(&control.arn(&runtime), version).await;
            match control.inner.store.finish_delete(&runtime, version).await {
                Ok(()) => tracing::info!(runtime.id = %runtime, "delete of {runtime} is finished"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(runtime.id = %runtime, error, "delete of {runtime} is left for the next start");
                }
            }
        });
    }

    /// Tells whether a runtime as a whole, or one version, is on its way out. Only the former takes DEFAULT along.
    pub(crate) async fn is_deleting(
        &self,
        runtime: &RuntimeId,
        version: Option<RuntimeVersion>,
    ) -> Result<bool, Error> {
        let store = &self.inner.store;
        Ok(match version {
            Some(_) => store.get_version(runtime, version).await?.is_some_and(|v| v.status == RuntimeStatus::Deleting),
            None => {
                let default = store.get_endpoint(runtime, &EndpointName::default_endpoint()).await?;
                default.is_some_and(|endpoint| endpoint.status == RuntimeStatus::Deleting)
            }
        })
    }

    async fn make_or_leave(&self, runtime: &RuntimeId, version: RuntimeVersion) {
        if let Err(error) = self.make(runtime, version).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(runtime.id = %runtime, error, "version {version} of {runtime} is left for the next start");
            return;
        }
        if let Err(error) = self.begin_waiting_moves(runtime, version).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(runtime.id = %runtime, error,
                "endpoints of {runtime} that wait for version {version} are left for the next start");
        }
    }

    async fn make(&self, runtime: &RuntimeId, version: RuntimeVersion) -> Result<(), Error> {
        let found = self.inner.store.get_version(runtime, Some(version)).await?;
        let unmade =
            |record: &VersionRecord| matches!(record.status, RuntimeStatus::Creating | RuntimeStatus::Updating);
        let Some(record) = found.filter(unmade) else { return Ok(()) };
        let outcome = match self.inner.maker.make(&record).await {
            Ok(bundle) => {
                tracing::info!(runtime.id = %runtime, "version {version} of {runtime} is ready");
                Outcome::Ready { bundle }
            }
            Err(MakeFailed::Failed { reason, log }) => {
                tracing::info!(runtime.id = %runtime, "version {version} of {runtime} failed: {reason}");
                Outcome::Failed { reason, log }
            }
            Err(MakeFailed::ShuttingDown) => return Ok(()),
        };
        self.inner.store.finish_version(runtime, version, outcome, self.inner.clock.now()).await
    }
}
