//! Who calls the control plane or the operator API: SigV4 over a request whose body is read here. (The data plane's bodies are
//! large; the gateway reads those itself.)

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use innkeep_auth::sigv4;
use innkeep_gateway::{Claim, Inbound};
use innkeep_store::AccessKey;
use innkeep_types::ErrorKind;
use tokio::time::timeout;

use crate::respond::Refused;

/// The largest body of a control-plane or operator request, bytes; uploads are read by their own rule. Source: our choice: the
/// largest valid Create is about 300 KB.
const MAX_SMALL_BODY: usize = 1 << 20;

/// Verifies signatures as the gateway does, and reads the bodies that come with them.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) signatures: innkeep_gateway::Authenticator,
    /// The longest pause within an upload; a small body must arrive whole in this time.
    pub(crate) body_stall_timeout: Duration,
}

impl Authenticator {
    /// Checks the head alone.
    pub(crate) fn head(&self, parts: &Parts) -> Result<Claim, Refused> {
        self.signatures.claim(parts).map_err(refused)
    }

    /// Checks the signature over the body's digest and returns whose it is.
    pub(crate) fn verify(&self, claim: &Claim, digest: &[u8; 32]) -> Result<Arc<AccessKey>, Refused> {
        self.signatures.verify(claim, digest).map_err(refused)
    }

    /// Reads a small body and checks the signature over it.
    pub(crate) async fn small(&self, parts: &Parts, body: &mut Inbound) -> Result<(Arc<AccessKey>, Bytes), Refused> {
        let claim = self.head(parts)?;
        let too_large = |_| {
            Refused::new(
                ErrorKind::Validation,
                format!("The request body could not be read, or exceeds {MAX_SMALL_BODY} bytes"),
            )
        };
        let body = timeout(self.body_stall_timeout, Limited::new(body, MAX_SMALL_BODY).collect());
        let body = body.await.map_err(|_| self.stalled())?.map_err(too_large)?.to_bytes();
        let key = self.verify(&claim, &innkeep_auth::digest(&body))?;
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
