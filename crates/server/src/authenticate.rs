//! Who calls the control plane or the operator API: SigV4 over a request whose body is read here; operators may show their token
//! instead. (The data plane's bodies are
//! large; the gateway reads those itself.)

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use innkeep_auth::{OperatorToken, sigv4};
use innkeep_gateway::{Claim, Inbound, Signer};
use innkeep_types::ErrorKind;
use tokio::time::timeout;

use crate::audit::Who;
use crate::respond::Refused;

/// The largest body of a control-plane or operator request, bytes; uploads are read by their own rule. Source: our choice:
/// a Create whose every list has as many items as it may, of ordinary length, is smaller.
const MAX_SMALL_BODY: usize = 1 << 20;

/// Who it is that shows the operator's token.
const OPERATOR_TOKEN: &str = "operator-token";

/// Verifies signatures as the gateway does, and reads the bodies that come with them.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) signatures: innkeep_gateway::Authenticator,
    pub(crate) operator_token: Arc<OperatorToken>,
    /// The longest pause within an upload; a small body must arrive whole in this time.
    pub(crate) body_stall_timeout: Duration,
}

/// A request that claims to come from an operator: by a signature, of which nothing is proven yet, or, without one, by the token,
/// which is proven.
#[derive(Debug)]
pub(crate) struct OperatorClaim(Option<Claim>);

impl OperatorClaim {
    /// Returns who that is, once it is proven.
    pub(crate) fn who(&self) -> Who {
        match &self.0 {
            Some(claim) => {
                Who { principal: claim.principal().arn.clone(), access_key_id: Some(claim.key_id().to_owned()) }
            }
            None => Who { principal: OPERATOR_TOKEN.to_owned(), access_key_id: None },
        }
    }
}

impl Authenticator {
    /// Reads a small body and checks the signature over it.
    pub(crate) async fn small(&self, parts: &Parts, body: &mut Inbound) -> Result<(Arc<Signer>, Bytes), Refused> {
        let claim = self.signatures.claim(parts).map_err(refused)?;
        let body = self.read(body).await?;
        let signer = self.signatures.verify(&claim, &innkeep_auth::digest(&body)).map_err(refused)?;
        Ok((signer, body))
    }

    /// Tells whether a request shows the operator's token.
    pub(crate) fn is_operator_token(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|token| self.operator_token.is(token))
    }

    /// Checks the head of what only operators may ask for.
    pub(crate) fn operator_head(&self, parts: &Parts) -> Result<OperatorClaim, Refused> {
        match bearer(&parts.headers) {
            Some(token) if self.operator_token.is(token) => Ok(OperatorClaim(None)),
            Some(_) => Err(Refused::new(ErrorKind::AccessDenied, "the bearer token is not the operator's")),
            None => self.signatures.claim(parts).map(|claim| OperatorClaim(Some(claim))).map_err(refused),
        }
    }

    /// Checks the head of an upload by an operator, and that the signature is good for the body that it announces: nobody else's is
    /// received. Whether that body came is then for [`Self::verify_operator`].
    pub(crate) fn upload_head(&self, parts: &Parts) -> Result<OperatorClaim, Refused> {
        let claim = self.operator_head(parts)?;
        if let OperatorClaim(Some(signed)) = &claim {
            let message = "an upload must announce its body in x-amz-content-sha256, the lower-case SHA-256 of it";
            let digest = signed.claimed_digest().ok_or_else(|| Refused::new(ErrorKind::AccessDenied, message))?;
            self.verify_operator(&claim, &digest)?;
        }
        Ok(claim)
    }

    /// Checks the rest of it, now that the body's digest is known.
    pub(crate) fn verify_operator(&self, claim: &OperatorClaim, digest: &[u8; 32]) -> Result<(), Refused> {
        let OperatorClaim(Some(claim)) = claim else { return Ok(()) };
        let signer = self.signatures.verify(claim, digest).map_err(refused)?;
        if signer.principal.operator {
            return Ok(());
        }
        Err(Refused::new(ErrorKind::AccessDenied, format!("access key {} has no operator rights", signer.key_id)))
    }

    /// Reads a small body of what only operators may ask for.
    pub(crate) async fn small_operator(
        &self,
        parts: &Parts,
        body: &mut Inbound,
    ) -> Result<(OperatorClaim, Bytes), Refused> {
        let claim = self.operator_head(parts)?;
        let body = self.read(body).await?;
        self.verify_operator(&claim, &innkeep_auth::digest(&body))?;
        Ok((claim, body))
    }

    async fn read(&self, body: &mut Inbound) -> Result<Bytes, Refused> {
        let too_large = |_| {
            Refused::new(
                ErrorKind::Validation,
                format!("The request body could not be read, or exceeds {MAX_SMALL_BODY} bytes"),
            )
        };
        let body = timeout(self.body_stall_timeout, Limited::new(body, MAX_SMALL_BODY).collect());
        Ok(body.await.map_err(|_| self.stalled())?.map_err(too_large)?.to_bytes())
    }

    /// Returns the refusal of a body that does not come.
    pub(crate) fn stalled(&self) -> Refused {
        let message = format!("the request body did not arrive; nothing came for {:?}", self.body_stall_timeout);
        Refused::new(ErrorKind::Validation, message)
    }
}

/// Returns the token that the request shows, if it shows one.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn refused(error: sigv4::Error) -> Refused {
    Refused::signature(&error)
}
