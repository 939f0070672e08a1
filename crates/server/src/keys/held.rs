//! A key as it is held: its record, and what a request needs of it, made once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use innkeep_auth::{Principal, policy, sigv4};
use innkeep_gateway::Signer;
use innkeep_store::AccessKey;
use innkeep_types::{AccountId, UnixMillis};
use tracing::warn;

/// A key.
#[derive(Debug)]
pub(super) struct Held {
    record: AccessKey,
    signer: Arc<Signer>,
}

impl Held {
    /// Compiles the key's policies. One that cannot be read denies everything.
    pub(super) fn new(record: AccessKey, account: &AccountId) -> Self {
        let (policies, unreadable) = Principal::stored_policies(record.policies.iter().map(|policy| document(policy)));
        for error in unreadable {
            warn!(
                key.id = record.id,
                "access key {} is denied everything: one of its policies cannot be read: {error}", record.id
            );
        }
        let signer = Signer {
            key_id: record.id.clone(),
            secret: record.secret.clone(),
            session: None,
            principal: Arc::new(Principal::user(&record.name, account, policies, record.operator)),
            used_at: Arc::new(record.last_used_at.map_or(0, |at| at.0).into()),
        };
        Self { record, signer: Arc::new(signer) }
    }

    /// Returns what it is, with its last use as far as this process knows of it.
    pub(super) fn record(&self) -> AccessKey {
        let used_at = self.signer.used_at.load(Ordering::Relaxed);
        AccessKey { last_used_at: (used_at > 0).then_some(UnixMillis(used_at)), ..self.record.clone() }
    }

    /// Returns when it was used, if that is not written down yet.
    pub(super) fn unwritten_use(&self) -> Option<UnixMillis> {
        let used_at = UnixMillis(self.signer.used_at.load(Ordering::Relaxed));
        (used_at > self.record.last_used_at.unwrap_or(UnixMillis(0))).then_some(used_at)
    }

    /// Notes that this use was written down.
    pub(super) fn written(&mut self, used_at: UnixMillis) {
        self.record.last_used_at = Some(used_at);
    }

    /// Returns it for a request, if it is good.
    pub(super) fn good_at(&self, now: UnixMillis) -> Result<Arc<Signer>, sigv4::Error> {
        if !self.record.active {
            return Err(sigv4::Error::UnknownKey);
        }
        if self.record.expires_at.is_some_and(|end| end <= now) {
            return Err(sigv4::Error::KeyExpired);
        }
        Ok(self.signer.clone())
    }
}

/// Tells a policy document from the name of a ready-made one.
pub(super) fn is_document(policy: &str) -> bool {
    policy.trim_ascii_start().starts_with('{')
}

/// Returns the document; of an unknown name itself, which cannot be read as one.
fn document(policy: &str) -> &str {
    if is_document(policy) { policy } else { policy::ready(policy).unwrap_or(policy) }
}
