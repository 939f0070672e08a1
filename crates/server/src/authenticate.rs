//! Who calls the control plane or the operator API: SigV4 over a request whose body is read here. (The data plane's bodies are
//! large; the gateway reads those itself.)

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use innkeep_auth::sigv4::{self, Signed, SigningKeys};
use innkeep_gateway::Inbound;
use innkeep_store::AccessKey;
use innkeep_types::{Clock, ErrorKind};
use tokio::time::timeout;

use crate::keys::Keys;
use crate::respond::Refused;

/// The largest body of a control-plane or operator request, bytes; uploads are read by their own rule. Source: our choice: the
/// largest valid Create is about 300 KB.
const MAX_SMALL_BODY: usize = 1 << 20;

/// Verifies signatures with the keys of this server.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) keys: Keys,
    pub(crate) signing: Arc<SigningKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The longest pause within an upload; a small body must arrive whole in this time.
    pub(crate) body_stall_timeout: Duration,
}

/// A request whose head is in order and whose key exists; its signature is checked once the body's digest is known.
#[derive(Debug)]
pub(crate) struct Pending {
    signed: Signed,
    key: Arc<AccessKey>,
}

impl Authenticator {
    /// Checks the head alone.
    pub(crate) fn head(&self, parts: &Parts) -> Result<Pending, Refused> {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let signed = Signed::parse(&parts.method, target, &parts.headers, self.clock.now()).map_err(refused)?;
        // Every key here is a lasting one: a session token belongs to somebody else's.
        let key = self.keys.get(signed.access_key_id()).filter(|_| signed.session_token().is_none());
        Ok(Pending { key: key.ok_or(sigv4::Error::UnknownKey).map_err(refused)?, signed })
    }

    /// Checks the signature over the body's digest and returns whose it is.
    pub(crate) fn verify(&self, pending: Pending, digest: &[u8; 32]) -> Result<Arc<AccessKey>, Refused> {
        pending.signed.verify(&self.signing, &pending.key.secret, digest).map_err(refused)?;
        Ok(pending.key)
    }

    /// Reads a small body and checks the signature over it.
    pub(crate) async fn small(&self, parts: &Parts, body: &mut Inbound) -> Result<(Arc<AccessKey>, Bytes), Refused> {
        let pending = self.head(parts)?;
        let too_large = |_| {
            Refused::new(
                ErrorKind::Validation,
                format!("The request body could not be read, or exceeds {MAX_SMALL_BODY} bytes"),
            )
        };
        let body = timeout(self.body_stall_timeout, Limited::new(body, MAX_SMALL_BODY).collect());
        let body = body.await.map_err(|_| self.stalled())?.map_err(too_large)?.to_bytes();
        let key = self.verify(pending, &innkeep_auth::digest(&body))?;
        Ok((key, body))
    }

    /// Returns the refusal of a body that does not come.
    pub(crate) fn stalled(&self) -> Refused {
        let message = format!("the request body did not arrive; nothing came for {:?}", self.body_stall_timeout);
        Refused::new(ErrorKind::Validation, message)
    }
}

fn refused(error: sigv4::Error) -> Refused {
    Refused::new(error.kind(), error.to_string())
}
