//! The first boot of a version, before anybody may have a session of it.

use innkeep_types::limits;

use crate::deployment::Deployment;
use crate::registry::Registry;
use crate::registry::error::Error;
use crate::start::{self, Failure};

impl Registry {
    /// Boots the deployment once without a session and ends it again: `Ok` if it answered its health check, and its warm-up request
    /// if there is one. Given up with [`Error::ShuttingDown`] when the tasks are told to end.
    ///
    /// # Cancel safety
    /// Not safe: run it to its end, or a sandbox may be left behind.
    pub async fn boot_once(&self, deployment: &Deployment) -> Result<(), Error> {
        self.check_tier(deployment)?;
        let booted = self.boot(deployment).await;
        if booted.is_err() {
            // Nobody will have a session of it.
            self.shared.driver.forget(&|key| *key == deployment.pool_key());
        }
        booted
    }

    async fn boot(&self, deployment: &Deployment) -> Result<(), Error> {
        let may_make_zygote = {
            let (room, n_sessions) = (self.room_for(deployment), self.shared.sessions.lock().by_key.len());
            self.has_place_for_zygote(&room, n_sessions, deployment)
        };
        let spec = deployment.launch_spec(self.shared.driver.name(), self.shared.clock.now(), may_make_zygote);
        let sandbox =
            self.shared.driver.launch(spec).await.map_err(|e| Error::from_failure(Failure::from_driver(e)))?;
        let ready = tokio::select! {
            ready = start::boot(&sandbox, deployment) => Some(ready),
            () = self.shared.tasks.stopping().cancelled() => None,
        };
        let facts = start::end(&sandbox, limits::STOP_GRACE).await;
        match ready {
            None => Err(Error::ShuttingDown),
            Some(Ok(())) => Ok(()),
            Some(Err(failure)) => Err(Error::from_failure(failure.with_last_words(facts))),
        }
    }
}
