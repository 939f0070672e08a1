//! Why a token, a key set or an authorizer is refused.

use innkeep_types::ErrorKind;

/// Why a bearer token is refused, or why none can be checked. The messages are the wire's and hold nothing of the token.
/// Source: AgentCore developer guide; field reports of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This is no token. The cause is for our log: the service does not tell it.
    #[error("OAuth authorization failed: Failed to parse token")]
    Unparsable(#[source] Flaw),
    /// It is signed with something else than a public key, or not at all.
    #[error(
        "The token's algorithm is not accepted: sign with RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA"
    )]
    Algorithm,
    /// Its header demands what we do not have.
    #[error("The token's header has 'crit': no extension is understood here")]
    Critical,
    /// It is a JWT for another purpose: a logout token, a DPoP proof.
    #[error("The token's 'typ' is another than that of an access or ID token: send an access token")]
    Type,
    /// No key of the issuer is the one that it names, or is for its algorithm.
    #[error("The token is signed with a key that its issuer does not publish for this algorithm")]
    NoKey,
    /// More than one key of the issuer may be meant.
    #[error("The token does not say which of its issuer's keys it is signed with ('kid')")]
    AmbiguousKey,
    /// The signature is not the key's.
    #[error("The token's signature does not match")]
    Signature,
    /// `exp` is past.
    #[error("The token has expired: get a new one")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("The token is not valid yet: compare the clocks of issuer and server")]
    NotYetValid,
    /// A claim that every token must have is not there.
    #[error("Claim '{0}' is missing")]
    Missing(&'static str),
    /// A claim that every token may have is of another type than its own.
    #[error("Claim '{0}' does not have the type that RFC 7519 gives it")]
    Malformed(&'static str),
    /// A claim is another than the runtime demands. The name is the runtime's, not the token's.
    #[error("Claim '{0}' value mismatch with configuration.")]
    Mismatch(String),
    /// The issuer's keys cannot be read.
    #[error("The issuer's key set cannot be read")]
    KeySet(#[source] Flaw),
    /// The authorizer cannot be acted on; never empty.
    #[error("customJWTAuthorizer cannot be acted on: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Configuration(Vec<Broken>),
}

impl Error {
    /// Returns who is to blame: 403 for what is no token and 401 for one that is refused, as the service has it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unparsable(_) => ErrorKind::AccessDenied,
            Self::KeySet(_) => ErrorKind::Unavailable,
            Self::Configuration(_) => ErrorKind::Validation,
            _ => ErrorKind::Unauthorized,
        }
    }
}

/// One rule that an authorizer breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{sentence}", .at, if .at.is_empty() { "" } else { ": " })]
pub struct Broken {
    /// The member, from `customJWTAuthorizer` on: `customClaims[0].inboundTokenClaimName`; empty for the whole.
    pub at: String,
    /// What to do about it.
    pub sentence: String,
}

/// What is wrong with bytes that should be a token or a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Longer than we read.
    #[error("it is longer than is read")]
    TooLong,
    /// Not three parts.
    #[error("it does not have three non-empty parts, separated by dots")]
    Parts,
    /// A part is not base64url.
    #[error("a part is not base64url without padding")]
    Base64,
    /// Not JSON, or not an object.
    #[error("it is not a JSON object")]
    Json,
    /// A member occurs twice.
    #[error("a member of an object occurs twice")]
    Duplicate,
    /// Nested deeper than we read.
    #[error("it is nested deeper than is read")]
    TooDeep,
    /// More values than we read.
    #[error("it has more values than are read")]
    TooMany,
    /// A member of the header, or of the key set, is absent or of another type than its own.
    #[error("'{0}' is absent, or not of its type")]
    Member(&'static str),
}
