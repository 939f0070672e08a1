//! Idempotency tokens, and what tells whether two requests with the same one are the same request.

use innkeep_store::ClientToken;
use innkeep_types::Settings;
use ring::hmac;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;

/// Makes digests of requests. They are stored in the clear and requests have secrets in their environment: without a key, who has
/// a copy of the database could guess those until the digest fits.
#[derive(Debug)]
pub(crate) struct Digests {
    key: hmac::Key,
}

impl Digests {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// Returns the token of a Create or an Update, if there is one; its body has these members.
    pub(crate) fn of_body(
        &self,
        members: &Map<String, Value>,
        settings: Option<&Settings>,
    ) -> Result<Option<ClientToken>, Error> {
        let mut members = members.clone();
        match members.remove("clientToken") {
            Some(Value::String(token)) => self.of(Some(token), &(members, settings)),
            _ => Ok(None),
        }
    }

    /// Returns the token, if there is one, with a digest of everything else that the caller asks for. Members are written in one
    /// order and maps are sorted: equal requests have equal digests, however the client wrote them.
    pub(crate) fn of(&self, token: Option<String>, asked: &impl Serialize) -> Result<Option<ClientToken>, Error> {
        let Some(token) = token else { return Ok(None) };
        let canonical = serde_json::to_vec(asked).map_err(Error::Unwritable)?;
        let digest = hmac::sign(&self.key, &canonical);
        let digest = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(ClientToken { token, digest }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_key_a_digest_tells_nothing_of_its_request() {
        let digest = |key| Digests::new(&[key; 32]).of(Some("token".to_owned()), &"hunter2").unwrap().unwrap().digest;
        assert_eq!(digest(7), digest(7));
        assert_ne!(digest(7), digest(8));
    }
}
