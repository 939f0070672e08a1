//! Whether a caller came by the one way that a version is open to: signatures, or the tokens of one issuer.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request;
use innkeep_auth::jwt::{self, Identity, Rules, Token};
use innkeep_sandbox::Deployment;
use innkeep_types::{Authorizer, Clock};
use serde_json::Value;

use crate::error::Error;
use crate::issuers::Issuers;

/// The way in to a version.
#[derive(Debug)]
pub(crate) enum Gate {
    Signatures,
    Tokens(Box<Rules>),
    /// Its authorizer cannot be acted on, so it lets nobody in.
    Closed(jwt::Error),
}

impl Gate {
    /// Returns the way in to a deployment.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        match deployment.authorizer {
            Authorizer::SigV4 => Self::Signatures,
            Authorizer::CustomJwt => {
                let rules = deployment.custom_jwt_authorizer.as_deref().unwrap_or(&Value::Null);
                Rules::from_configuration(rules).map_or_else(Self::Closed, |rules| Self::Tokens(Box::new(rules)))
            }
        }
    }

    /// Tells whether it is for tokens, whatever becomes of them.
    pub(crate) fn is_for_tokens(&self) -> bool {
        !matches!(self, Self::Signatures)
    }
}

/// Tells whether the way in to one deployment is the way in to the other.
pub(crate) fn is_same(one: &Deployment, other: &Deployment) -> bool {
    one.authorizer == other.authorizer && one.custom_jwt_authorizer == other.custom_jwt_authorizer
}

/// What a caller shows of who he is.
#[derive(Debug)]
pub(crate) enum Shown {
    Nothing,
    /// A signature, or what may be meant for one.
    Signature,
    /// A token, of which nothing is proven; or what is none.
    Bearer(Result<Token, jwt::Error>),
}

impl Shown {
    /// Returns what the head of a request shows.
    pub(crate) fn of(head: &request::Parts) -> Self {
        let mut values = head.headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            // A presigned request has its signature in the query.
            (None, _) if head.uri.query().is_some_and(|query| query.contains("X-Amz-Signature=")) => Self::Signature,
            (None, _) => Self::Nothing,
            (Some(value), None) => bearer(value.as_bytes()).map_or(Self::Signature, |token| {
                // What is no text is no token either.
                Self::Bearer(Token::parse(std::str::from_utf8(token).unwrap_or_default()))
            }),
            // Which of two would be meant? No signature is good with two, so that is what they are taken for.
            (Some(_), Some(_)) => Self::Signature,
        }
    }
}

/// Returns the credentials of the scheme `Bearer`. Source: RFC 6750 section 2.1, RFC 9110 section 11.1.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer".len())?;
    let is_alone = token.first().is_none_or(|byte| *byte == b' ');
    (scheme.eq_ignore_ascii_case(b"Bearer") && is_alone).then(|| token.trim_ascii())
}

/// Holds tokens against rules, with the keys of their issuers.
pub(crate) struct Gatekeeper {
    pub(crate) issuers: Issuers,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Gatekeeper {
    /// Refuses whoever comes by another way than this one, or by this one and may not. Signatures are verified by then: nobody else is
    /// told of the mismatch who would learn from it that there is such a version. Returns whose the token is.
    pub(crate) async fn admit(&self, gate: &Gate, shown: &Shown) -> Result<Option<Identity>, Error> {
        match (gate, shown) {
            (Gate::Signatures, Shown::Signature) => Ok(None),
            (Gate::Tokens(_) | Gate::Closed(_), Shown::Nothing) => Err(Error::NoToken),
            (Gate::Tokens(rules), Shown::Bearer(token)) => {
                let token = token.as_ref().map_err(|error| Error::Token(error.clone()))?;
                self.verify(rules, token).await.map(Some)
            }
            (Gate::Closed(error), Shown::Bearer(_)) => Err(Error::ClosedAuthorizer(error.clone())),
            (Gate::Signatures, _) | (_, Shown::Signature) => Err(Error::WrongAuthorizer),
        }
    }

    async fn verify(&self, rules: &Rules, token: &Token) -> Result<Identity, Error> {
        let published = self.issuers.published(rules, token).await.map_err(Error::Issuer)?;
        jwt::verify(token, &published.keys, &published.issuer, rules, self.clock.now()).map_err(Error::Token)
    }
}

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check(uri: &str, values: &[&str], expect: &str) {
        let request = values.iter().fold(Request::get(uri), |request, value| request.header(AUTHORIZATION, *value));
        let word = match Shown::of(&request.body(()).unwrap().into_parts().0) {
            Shown::Nothing => "nothing",
            Shown::Signature => "signature",
            Shown::Bearer(_) => "bearer",
        };
        assert_eq!(word, expect, "{uri} {values:?}");
    }

    #[test]
    fn what_a_caller_shows_is_one_thing() {
        check("/", &[], "nothing");
        check("/?qualifier=DEFAULT", &[], "nothing");
        check("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00", &[], "signature");
        check("/", &["AWS4-HMAC-SHA256 Credential=a"], "signature");
        check("/", &["Basic YTpi"], "signature");
        check("/", &["Bearer a.b.c"], "bearer");
        check("/", &["bearer  a.b.c "], "bearer");
        check("/", &["Bearer"], "bearer");
        check("/", &["Bearerx a.b.c"], "signature");
        check("/", &["Bearer a.b.c", "Bearer a.b.c"], "signature");
        check("/?X-Amz-Signature=00", &["Bearer a.b.c"], "bearer");
    }
}
