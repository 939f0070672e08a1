//! Temporary keys: made for a lasting key, stored nowhere, known again by their session tokens. They may do what the lasting key
//! may at the time of the request, less what their session policy leaves out, and are good as long as it is.

use std::collections::HashMap;
use std::sync::Arc;

use innkeep_auth::policy::{self, Kind, Policy};
use innkeep_auth::{Digest, Principal, SessionTokens, Temporary, sigv4};
use innkeep_gateway::Signer;
use innkeep_types::UnixMillis;
use innkeep_types::limits::{MAX_TEMPORARY_LIFETIME, TEMPORARY_LIFETIME};
use parking_lot::RwLock;

use super::changes::{new_id, new_secret};
use super::{Error, Keys, validate};

/// Tokens that are remembered open, so that a warm request costs no decryption and no parsing of policies. Source: our choice.
const CAPACITY: usize = 1024;

/// What a temporary key is called, unless asked.
const SESSION: &str = "temporary";

/// A temporary key that is asked for.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub(crate) key_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) duration_secs: Option<u64>,
    pub(crate) policy: Option<String>,
}

/// A temporary key that was made.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) token: String,
    /// Whose it is.
    pub(crate) name: String,
    pub(crate) key: Temporary,
}

impl Keys {
    /// Makes a temporary key.
    pub(crate) fn make_temporary(&self, ask: Ask) -> Result<Made, Error> {
        let session = ask.session.unwrap_or_else(|| SESSION.to_owned());
        validate::name("sessionName", &session)?;
        ask.policy.as_deref().map_or(Ok(()), validate::session_policy)?;
        let asked = ask.duration_secs.map(|secs| validate::duration("durationSecs", secs, 1, MAX_TEMPORARY_LIFETIME));
        let duration = asked.transpose()?.unwrap_or(TEMPORARY_LIFETIME);
        let now = self.now();
        let is_good = |key: &innkeep_store::AccessKey| self.lasting(&key.id, now).is_ok();
        let maker = match (ask.key_id, ask.name) {
            (Some(id), None) => Some(self.get(&id)?).filter(is_good).ok_or(Error::NotGood(id))?,
            (None, Some(name)) => {
                let newest = self.list().into_iter().rfind(|key| key.name == name && is_good(key));
                newest.ok_or(Error::NoGoodKey(name))?
            }
            _ => {
                return Err(Error::Invalid(
                    "one of accessKeyId and name must say whose rights it is to have".to_owned(),
                ));
            }
        };
        let end = now.plus(duration);
        let key = Temporary {
            secret: new_secret(),
            made_by: maker.id,
            session,
            policy: ask.policy,
            expires_at: maker.expires_at.map_or(end, |last| last.min(end)),
        };
        let id = new_id("ASIA");
        let token = self.inner.temporaries.tokens.seal(&id, &key)?;
        tracing::info!(key.id = id, "temporary key {id} of {} is made by {}", maker.name, key.made_by);
        Ok(Made { id, token, name: maker.name, key })
    }
}

/// What temporary keys are known by.
pub(super) struct Temporaries {
    tokens: SessionTokens,
    /// By the digest of id and token: nothing here could be replayed.
    opened: RwLock<HashMap<[u8; 32], Opened>>,
}

/// A token that was opened before.
#[derive(Clone)]
struct Opened {
    expires_at: UnixMillis,
    made_by: Arc<str>,
    /// What the signer was made of: it is made anew once this is another.
    maker: Arc<Signer>,
    signer: Arc<Signer>,
}

impl Temporaries {
    pub(super) fn new(tokens: SessionTokens) -> Self {
        Self { tokens, opened: RwLock::default() }
    }

    /// Returns the temporary key `id`, if `token` is its own and its time is not over. `lasting` finds a lasting key that is good.
    pub(super) fn signer(
        &self,
        id: &str,
        token: &str,
        now: UnixMillis,
        lasting: impl Fn(&str) -> Result<Arc<Signer>, sigv4::Error>,
    ) -> Result<Arc<Signer>, sigv4::Error> {
        let place = place(id, token);
        let known = self.opened.read().get(&place).cloned();
        if let Some(known) = known {
            check_time(known.expires_at, now)?;
            let maker = lasting(&known.made_by)?;
            if Arc::ptr_eq(&maker, &known.maker) {
                return Ok(known.signer);
            }
        }
        let temporary = self.tokens.open(id, token).ok_or(sigv4::Error::UnknownKey)?;
        check_time(temporary.expires_at, now)?;
        let maker = lasting(&temporary.made_by)?;
        let signer = Arc::new(signer(id, &temporary, &maker));
        let (expires_at, made_by) = (temporary.expires_at, temporary.made_by.into());
        let mut opened = self.opened.write();
        // Those that are over go this way too.
        if opened.len() >= CAPACITY {
            opened.clear();
        }
        opened.insert(place, Opened { expires_at, made_by, maker, signer: signer.clone() });
        Ok(signer)
    }
}

fn signer(id: &str, temporary: &Temporary, maker: &Signer) -> Signer {
    let session_policy = temporary.policy.as_deref().map(|text| {
        let document = policy::ready(text).unwrap_or(text);
        // It was read when the key was made; a later server may read another language.
        Arc::new(Policy::parse(document, Kind::Identity).unwrap_or_else(|_| Policy::deny_everything()))
    });
    let principal = Principal {
        // No session policy can speak of the operator API.
        operator: maker.principal.operator && session_policy.is_none(),
        session_policy,
        ..(*maker.principal).clone()
    };
    Signer {
        key_id: id.to_owned(),
        secret: temporary.secret.clone(),
        session: Some(temporary.session.clone()),
        principal: Arc::new(principal),
        used_at: maker.used_at.clone(),
    }
}

fn check_time(expires_at: UnixMillis, now: UnixMillis) -> Result<(), sigv4::Error> {
    if now < expires_at { Ok(()) } else { Err(sigv4::Error::KeyExpired) }
}

/// An id has no line break, so no two pairs are the same text.
fn place(id: &str, token: &str) -> [u8; 32] {
    let mut digest = Digest::new();
    [id, "\n", token].iter().for_each(|part| digest.update(part.as_bytes()));
    digest.finish()
}
