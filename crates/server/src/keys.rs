//! The access keys of this server, kept in memory so that no request reads the store.

use std::collections::HashMap;
use std::sync::Arc;

use innkeep_store::{AccessKey, Store};
use innkeep_types::UnixMillis;
use parking_lot::RwLock;

/// Handle to the keys; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    by_id: Arc<RwLock<HashMap<String, Arc<AccessKey>>>>,
}

impl Keys {
    /// Loads every key; makes the root key at the first start. Returns the keys and the root key.
    pub(crate) async fn load(store: &Store, now: UnixMillis) -> Result<(Self, AccessKey), innkeep_store::Error> {
        let mut stored = store.list_access_keys().await?;
        // The oldest one is the root key: it was made before there was any way to make others.
        stored.sort_by_key(|key| key.created_at);
        let root = match stored.first() {
            Some(root) => root.clone(),
            None => {
                let root = AccessKey {
                    id: format!("AKIA{}", random_text(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
                    secret: random_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
                    operator: true,
                    created_at: now,
                };
                store.put_access_key(root.clone()).await?;
                stored.push(root.clone());
                root
            }
        };
        let by_id = stored.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect();
        Ok((Self { by_id: Arc::new(RwLock::new(by_id)) }, root))
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.by_id.read().get(id).cloned()
    }
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
