//! Whether a caller came by the one way that a version is open to.

use innkeep_sandbox::Deployment;
use innkeep_types::Authorizer;

use crate::error::Error;

/// Refuses a caller who signed where tokens are asked for. Called once the signature is verified: nobody else is told.
pub(crate) fn admit_signed(deployment: &Deployment) -> Result<(), Error> {
    match deployment.authorizer {
        Authorizer::SigV4 => Ok(()),
        Authorizer::CustomJwt => Err(Error::WrongAuthorizer),
    }
}
