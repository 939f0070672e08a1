//! Changes of keys: stored first, then in effect for the next request. Losing who asked does not lose the change.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use innkeep_sandbox::tasks::Kind;
use innkeep_store::AccessKey;
use innkeep_types::UnixMillis;
use innkeep_types::limits::{MAX_ACCESS_KEYS, MAX_ROTATION_GRACE, ROTATION_GRACE};
use tracing::{info, warn};

use super::held::Held;
use super::{Error, Keys, own, validate};

/// A key to be made.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) policies: Vec<String>,
    pub(crate) operator: bool,
    pub(crate) description: Option<String>,
    pub(crate) expires_in_secs: Option<u64>,
}

/// What to make of a key; what is none stays.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) active: Option<bool>,
    pub(crate) policies: Option<Vec<String>>,
    /// None inside: for ever.
    pub(crate) expires_in_secs: Option<Option<u64>>,
}

impl Keys {
    /// Makes a key.
    pub(crate) async fn create(&self, new: NewKey) -> Result<AccessKey, Error> {
        validate::name("name", &new.name)?;
        validate::policies(&new.policies)?;
        new.description.as_deref().map_or(Ok(()), validate::description)?;
        let lifetime = new.expires_in_secs.map(validate::lifetime).transpose()?;
        let keys = self.clone();
        self.in_turn(async move {
            keys.check_room()?;
            let now = keys.now();
            let key = AccessKey {
                policies: new.policies,
                operator: new.operator,
                description: new.description,
                expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
                ..fresh(new.name, now)
            };
            keys.save(vec![key.clone()]).await?;
            info!(key.id = key.id, "access key {} of {} is made", key.id, key.name);
            Ok(key)
        })
        .await
    }

    /// Changes a key.
    pub(crate) async fn change(&self, id: &str, change: Change) -> Result<AccessKey, Error> {
        change.policies.as_deref().map_or(Ok(()), validate::policies)?;
        let lifetime = change.expires_in_secs.map(|secs| secs.map(validate::lifetime).transpose()).transpose()?;
        let (keys, id) = (self.clone(), id.to_owned());
        self.in_turn(async move {
            let mut key = keys.get(&id)?;
            key.active = change.active.unwrap_or(key.active);
            key.policies = change.policies.unwrap_or(key.policies);
            if let Some(lifetime) = lifetime {
                key.expires_at = lifetime.map(|lifetime| keys.now().plus(lifetime));
            }
            keys.save(vec![key.clone()]).await?;
            info!(key.id = key.id, "access key {} of {} is changed", key.id, key.name);
            Ok(key)
        })
        .await
    }

    /// Makes a key in place of one, which stays good for `grace_secs` more: no longer than it would have been. The new one is good
    /// for as long as the old one was to be. Returns the new one.
    pub(crate) async fn rotate(&self, id: &str, grace_secs: Option<u64>) -> Result<AccessKey, Error> {
        let grace = grace_secs.map(|secs| validate::duration("graceSecs", secs, 0, MAX_ROTATION_GRACE)).transpose()?;
        let (keys, id) = (self.clone(), id.to_owned());
        self.in_turn(async move { keys.replace(&id, grace.unwrap_or(ROTATION_GRACE)).await }).await
    }

    async fn replace(&self, id: &str, grace: Duration) -> Result<AccessKey, Error> {
        let mut old = self.get(id)?;
        let now = self.now();
        if let Some(by) = old.replaced_by {
            return Err(Error::Replaced { id: old.id, by });
        }
        if !old.active || old.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::NotGood(old.id));
        }
        self.check_room()?;
        let new = AccessKey {
            policies: old.policies.clone(),
            operator: old.operator,
            description: old.description.clone(),
            expires_at: old.expires_at,
            ..fresh(old.name.clone(), now)
        };
        let end = now.plus(grace);
        old.expires_at = Some(old.expires_at.map_or(end, |before| before.min(end)));
        old.replaced_by = Some(new.id.clone());
        let (old_id, name) = (old.id.clone(), old.name.clone());
        self.save(vec![new.clone(), old]).await?;
        info!(key.id = new.id, "access key {old_id} of {name} is replaced by {}, and ends in {grace:?}", new.id);
        Ok(new)
    }

    /// Removes a key; it and its temporary ones are refused from now on.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Error> {
        let (keys, id) = (self.clone(), id.to_owned());
        self.in_turn(async move {
            let key = keys.get(&id)?;
            let before = keys.own();
            let left = keys.list();
            if own(left.iter().filter(|left| left.id != id)).is_none() {
                return Err(Error::LastAdmin(id));
            }
            keys.inner.parts.store.delete_access_key(&id).await?;
            keys.inner.by_id.write().remove(&id);
            keys.tell_own(&before);
            info!(key.id = id, "access key {id} of {} is removed", key.name);
            Ok(())
        })
        .await
    }

    /// Stores keys, and puts them into effect, unless that would leave none that may do everything.
    async fn save(&self, changed: Vec<AccessKey>) -> Result<(), Error> {
        let before = self.own();
        let mut after: HashMap<_, _> = self.list().into_iter().map(|key| (key.id.clone(), key)).collect();
        after.extend(changed.iter().map(|key| (key.id.clone(), key.clone())));
        if own(after.values()).is_none() {
            return Err(Error::LastAdmin(before.id));
        }
        self.inner.parts.store.put_access_keys(changed.clone()).await?;
        {
            let mut by_id = self.inner.by_id.write();
            for key in changed {
                by_id.insert(key.id.clone(), Held::new(key, &self.inner.parts.account));
            }
        }
        self.tell_own(&before);
        Ok(())
    }

    /// Writes the server's own key into the file `credentials`, if it is another than before.
    fn tell_own(&self, before: &AccessKey) {
        let own = self.own();
        if own.id == before.id {
            return;
        }
        match self.inner.parts.credentials.set_default(&own.id, &own.secret) {
            Ok(()) => info!(key.id = own.id, "the data directory's credentials hold access key {} from now on", own.id),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "the data directory's credentials could not be written; the next start will"
            ),
        }
    }

    /// Runs one change after the other, each to its end.
    async fn in_turn<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let keys = self.clone();
        let task = self.inner.parts.tasks.spawn(Kind::Keys, async move {
            let _turn = keys.inner.turn.acquire().await.map_err(|_| Error::ShuttingDown)?;
            change.await
        });
        task.await.map_err(|_| Error::ShuttingDown)?
    }

    fn check_room(&self) -> Result<(), Error> {
        let n_keys = self.inner.by_id.read().len();
        if n_keys < MAX_ACCESS_KEYS { Ok(()) } else { Err(Error::TooMany(n_keys)) }
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.inner.parts.clock.now()
    }
}

/// Returns the key that the first start makes.
pub(super) fn root(now: UnixMillis) -> AccessKey {
    AccessKey { policies: vec!["admin".to_owned()], operator: true, ..fresh("root".to_owned(), now) }
}

/// Returns a key that nobody has yet, and that may do nothing.
fn fresh(name: String, now: UnixMillis) -> AccessKey {
    AccessKey::new(new_id("AKIA"), new_secret(), name, now)
}

/// Returns the id of a key. Source: IAM API reference, `AccessKeyId`.
pub(super) fn new_id(kind: &str) -> String {
    format!("{kind}{}", random_text(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
}

pub(super) fn new_secret() -> String {
    random_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
}

/// Returns `len` characters of `alphabet`, each equally likely: bytes that would favour some are drawn again.
fn random_text(len: usize, alphabet: &[u8]) -> String {
    let fair = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(len);
    while text.len() < len {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes).expect("the kernel's random source answers after boot");
        let fair = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < fair);
        text.extend(fair.map(|b| char::from(alphabet[b % alphabet.len()])).take(len - text.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_text_has_its_length_and_alphabet() {
        let text = random_text(4000, b"ABC");
        assert_eq!(text.len(), 4000);
        for c in ['A', 'B', 'C'] {
            let n = text.matches(c).count();
            assert!((1100..1600).contains(&n), "{c} appears {n} times");
        }
    }
}
