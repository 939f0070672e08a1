//! Whose a session is: the one place that says whether somebody may have it. Where a version keeps sessions to those who started them,
//! an id belongs to its first user for as long as it is on record, whatever becomes of the sandboxes.

use std::fmt;

use innkeep_types::{RequestId, SessionKey, SessionOwner};

use crate::deployment::Deployment;
use crate::registry::Registry;
use crate::registry::error::Error;
use crate::session::Session;

/// Who asks for a session.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// By which request.
    pub request: &'a RequestId,
    /// Returns who that is, if it can be told. Asked only where it matters: the answer is a digest.
    pub owner: &'a (dyn Fn() -> Option<SessionOwner> + Send + Sync),
    /// Called once the session is being started for this request, whatever becomes of the start. It must not block.
    pub on_start: &'a (dyn Fn() + Send + Sync),
}

impl<'a> Asker<'a> {
    /// Returns one of whom nothing is known but the request.
    pub fn unknown(request: &'a RequestId) -> Self {
        Self { request, owner: &|| None, on_start: &|| {} }
    }
}

impl fmt::Debug for Asker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Deployment {
    /// Tells whether its sessions are open only to those who started them.
    pub(crate) fn keeps_owners(&self) -> bool {
        self.settings.session_owner == Some(true)
    }

    /// Refuses whoever could not be told from others, where that matters.
    pub(crate) fn check_named(&self, asker: Asker<'_>) -> Result<(), Error> {
        if self.keeps_owners() && (asker.owner)().is_none() { Err(Error::Nameless) } else { Ok(()) }
    }
}

impl Session {
    /// Refuses a stranger, if the session's version, or the one that he asks for, keeps sessions to their owners.
    pub(crate) fn check_owner(
        &self,
        owner: impl FnOnce() -> Option<SessionOwner>,
        asked: Option<&Deployment>,
    ) -> Result<(), Error> {
        if !self.deployment.keeps_owners() && !asked.is_some_and(Deployment::keeps_owners) {
            return Ok(());
        }
        check(self.origin.owner, owner())
    }
}

impl Registry {
    /// Tells whether the session has a sandbox that this caller may use or end. `asked` is what its endpoint serves now.
    pub fn is_open_to(&self, key: &SessionKey, owner: Option<SessionOwner>, asked: Option<&Deployment>) -> bool {
        let session = self.shared.sessions.lock().by_key.get(key).cloned();
        session.is_some_and(|session| session.check_owner(|| owner, asked).is_ok())
    }

    /// Refuses a stranger to a session that has no sandbox now. Returns how many sessions had ended before it was looked up: none of
    /// those that ended since is known of.
    pub(crate) async fn check_record(&self, key: &SessionKey, owner: Option<SessionOwner>) -> Result<u64, Error> {
        let n_ended = self.shared.sessions.lock().n_ended;
        let record = self.shared.journal.last(key).await.map_err(Error::Record)?;
        record.map_or(Ok(()), |record| check(record.owner, owner))?;
        Ok(n_ended)
    }
}

/// What belongs to nobody is for nobody: whose it was is not known.
fn check(of: Option<SessionOwner>, asks: Option<SessionOwner>) -> Result<(), Error> {
    let is_same = of.zip(asks).is_some_and(|(of, asks)| of.is(&asks));
    if is_same { Ok(()) } else { Err(Error::NotOwner) }
}
