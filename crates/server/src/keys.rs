//! The access keys of this server, kept in memory so that no request reads the store.
//!
//! ```text
//! keys.rs             which key may sign now
//! keys/held.rs        a key as it is held: its record, and its policies compiled
//! keys/changes.rs     create, change, rotate, remove; what must not be
//! keys/temporary.rs   temporary keys: made, and known again by their tokens
//! keys/usage.rs       writes down when keys were used
//! keys/validate.rs    what may be asked for
//! ```
//!
//! One key is the server's own: the oldest one that may do everything and is good for ever. It is in the file `credentials`, there
//! always is one, and the first start makes it.

mod changes;
mod held;
mod temporary;
#[cfg(test)]
mod tests;
mod usage;
mod validate;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use innkeep_auth::SessionTokens;
use innkeep_auth::sigv4;
use innkeep_gateway::Signer;
use innkeep_sandbox::tasks::Tasks;
use innkeep_store::{AccessKey, Store};
use innkeep_types::{AccountId, Clock, ErrorKind, UnixMillis};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::credentials_file::CredentialsFile;
use crate::data_dir;

pub(crate) use changes::{Change, NewKey};
use held::Held;
pub(crate) use temporary::Ask;
use temporary::Temporaries;

/// Why something could not be done about a key. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error("access key {0} does not exist")]
    NotFound(String),
    #[error("{0} has no access key that is good at present")]
    NoGoodKey(String),
    #[error(
        "access key {0} is the only one left that may do everything and is good for ever: make another first, with policy admin, \
         operator rights and without an end (innkeep keys create --name NAME --operator)"
    )]
    LastAdmin(String),
    #[error("access key {id} was replaced by {by} already: rotate that one")]
    Replaced { id: String, by: String },
    #[error("access key {0} is not good at present: make it active, or another")]
    NotGood(String),
    #[error(
        "there are {0} access keys, which is as many as there may be: remove those that nobody uses (innkeep keys ls)"
    )]
    TooMany(usize),
    #[error(transparent)]
    Token(#[from] innkeep_auth::SessionTokenError),
    #[error(transparent)]
    Store(#[from] innkeep_store::Error),
    #[error("the server is being shut down")]
    ShuttingDown,
}

impl Error {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Token(innkeep_auth::SessionTokenError::TooLong) => ErrorKind::Validation,
            Self::NotFound(_) | Self::NoGoodKey(_) => ErrorKind::NotFound,
            Self::LastAdmin(_) | Self::Replaced { .. } | Self::NotGood(_) => ErrorKind::Conflict,
            Self::TooMany(_) => ErrorKind::Quota,
            Self::Token(_) => ErrorKind::Internal,
            Self::Store(source) => source.kind(),
            Self::ShuttingDown => ErrorKind::Unavailable,
        }
    }
}

/// What keys are made of and kept with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) account: AccountId,
    pub(crate) credentials: CredentialsFile,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
}

/// Handle to the keys; clones share them.
#[derive(Clone)]
pub(crate) struct Keys {
    inner: Arc<Inner>,
}

struct Inner {
    by_id: RwLock<HashMap<String, Held>>,
    temporaries: Temporaries,
    parts: Parts,
    /// Changes take turns: each looks at what there is before it adds or takes away.
    turn: Semaphore,
}

/// Why the keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Store(#[from] innkeep_store::Error),
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
}

impl Keys {
    /// Loads every key, makes the server's own if there is none, and writes that into the file `credentials`.
    pub(crate) async fn load(parts: Parts) -> Result<Self, LoadError> {
        let mut stored = parts.store.list_access_keys().await?;
        if own(&stored).is_none() {
            let root = changes::root(parts.clock.now());
            parts.store.put_access_keys(vec![root.clone()]).await?;
            stored.push(root);
        }
        let tokens = SessionTokens::new(parts.store.derive_key("session tokens"));
        let held = stored.into_iter().map(|key| (key.id.clone(), Held::new(key, &parts.account))).collect();
        let inner =
            Inner { by_id: RwLock::new(held), temporaries: Temporaries::new(tokens), parts, turn: Semaphore::new(1) };
        let keys = Self { inner: Arc::new(inner) };
        let own = keys.own();
        keys.inner.parts.credentials.set_default(&own.id, &own.secret)?;
        Ok(keys)
    }

    /// Returns the key that may sign at `now`, as `innkeep_gateway::KeyLookup` asks for it.
    pub(crate) fn signer(&self, id: &str, token: Option<&str>, now: UnixMillis) -> Result<Arc<Signer>, sigv4::Error> {
        match token {
            None => self.lasting(id, now),
            Some(token) => self.inner.temporaries.signer(id, token, now, |maker| self.lasting(maker, now)),
        }
    }

    /// Returns the server's own key.
    pub(crate) fn own(&self) -> AccessKey {
        own(&self.list()).cloned().expect("no change takes the last one away")
    }

    /// Returns every key, oldest first.
    pub(crate) fn list(&self) -> Vec<AccessKey> {
        let mut keys: Vec<_> = self.inner.by_id.read().values().map(Held::record).collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        keys
    }

    /// Returns the key.
    pub(crate) fn get(&self, id: &str) -> Result<AccessKey, Error> {
        self.inner.by_id.read().get(id).map(Held::record).ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    fn lasting(&self, id: &str, now: UnixMillis) -> Result<Arc<Signer>, sigv4::Error> {
        self.inner.by_id.read().get(id).ok_or(sigv4::Error::UnknownKey)?.good_at(now)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("n_keys", &self.inner.by_id.read().len()).finish_non_exhaustive()
    }
}

/// Returns the server's own one of these keys.
fn own<'a>(keys: impl IntoIterator<Item = &'a AccessKey>) -> Option<&'a AccessKey> {
    let own = keys.into_iter().filter(|key| may_do_everything_for_ever(key));
    own.min_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)))
}

/// A document beside `admin` may deny something.
fn may_do_everything_for_ever(key: &AccessKey) -> bool {
    let is_admin =
        key.policies.iter().any(|policy| policy == "admin") && !key.policies.iter().any(|p| held::is_document(p));
    key.active && key.operator && key.expires_at.is_none() && is_admin
}
