//! Why a signature was refused. The texts are those of AWS where it has one for the case, because people search for them.

use innkeep_types::ErrorKind;

/// Why a signature was refused, or could not be made. Carries nothing secret, nor which part of a secret comparison failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no `Authorization` header.
    #[error("Missing Authentication Token")]
    Missing,
    /// The `Authorization` header is of another scheme, such as `Bearer`.
    #[error("Unsupported authorization: expected a header signature of the algorithm '{}'", super::ALGORITHM)]
    Algorithm,
    /// A header that may be there once is there twice.
    #[error("The request has more than one '{header}' header")]
    Repeated {
        /// Its name.
        header: &'static str,
    },
    /// A part of the request is of absurd size.
    #[error("The {part} is longer than {limit} bytes")]
    TooLong {
        /// Which one.
        part: &'static str,
        /// What it may have.
        limit: usize,
    },
    /// The `Authorization` header is not a list of `key=value`.
    #[error("Invalid key=value pair in Authorization header")]
    Pair,
    /// One of the three parameters of the `Authorization` header is not there.
    #[error("Authorization header requires '{0}' parameter")]
    Parameter(&'static str),
    /// `Credential` is malformed.
    #[error("Credential must have exactly 5 slash-delimited elements: keyid/date/region/service/term")]
    Credential,
    /// The scope names another service.
    #[error("Credential should be scoped to correct service: '{expected}'")]
    Service {
        /// The one that it has to name.
        expected: &'static str,
    },
    /// The scope ends in another word.
    #[error("Credential should be scoped with a valid terminator: '{}'", super::TERMINATOR)]
    Terminator,
    /// The scope is of another day than the request.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != '{date}'"
    )]
    ScopeDate {
        /// The scope's day.
        scope: String,
        /// The request's day.
        date: String,
    },
    /// A presigned request lacks a part of its signature.
    #[error("AWS query-string parameters must include '{0}'. Re-examine the query-string parameters")]
    QueryParameter(&'static str),
    /// A part of a presigned request's signature is there twice, or in another spelling.
    #[error("The query string must have '{0}' once, spelled so")]
    RepeatedParameter(&'static str),
    /// A presigned request is signed in its head too.
    #[error("Only one auth mechanism allowed: a presigned request must have no '{0}' header")]
    TwoSignatures(&'static str),
    /// A presigned request asks for a life that it may not have.
    #[error("X-Amz-Expires must be a number of seconds from 1 to {limit}")]
    Expires {
        /// The longest, seconds.
        limit: u64,
    },
    /// A presigned request's time is over.
    #[error("Signature expired: {until} is now earlier than {now}")]
    Over {
        /// Until when it was good.
        until: String,
        /// Our time.
        now: String,
    },
    /// `SignedHeaders` is malformed.
    #[error("SignedHeaders must be lower-case header names in ascending order, separated by ';'")]
    SignedHeaders,
    /// A header that every signature covers is not covered.
    #[error("'{header}' must be a 'SignedHeader' in the AWS Authorization")]
    NotSigned {
        /// Its name.
        header: &'static str,
    },
    /// A header that the signature covers is not there.
    #[error("'{header}' is a 'SignedHeader' in the AWS Authorization but not in the request")]
    Absent {
        /// Its name.
        header: String,
    },
    /// `Signature` is malformed.
    #[error("Signature must be 64 lower-case hexadecimal digits")]
    Signature,
    /// There is no date.
    #[error("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header")]
    NoDate,
    /// The date is malformed.
    #[error("Date must be in ISO-8601 'basic format', such as 20150830T123600Z")]
    Date,
    /// The request was signed too long ago.
    #[error("Signature expired: {signed} is now earlier than {earliest} ({now} - 5 min.)")]
    Expired {
        /// When it was signed.
        signed: String,
        /// When it had to be signed at the earliest.
        earliest: String,
        /// Our time.
        now: String,
    },
    /// The request was signed in the future.
    #[error("Signature not yet current: {signed} is still later than {latest} ({now} + 5 min.)")]
    NotYetCurrent {
        /// When it was signed.
        signed: String,
        /// When it may have been signed at the latest.
        latest: String,
        /// Our time.
        now: String,
    },
    /// The body is not covered by the signature, or is signed chunk by chunk.
    #[error(
        "x-amz-content-sha256 must be the lower-case SHA-256 of the body: unsigned and streaming payloads are refused"
    )]
    Payload,
    /// The body is another than was signed.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed")]
    Content,
    /// No such access key, or not with this session token. Nothing here looks keys up: this is for who does.
    #[error("The security token included in the request is invalid")]
    UnknownKey,
    /// The access key was good until a time that is over. Nothing here looks keys up: this is for who does.
    #[error("The security token included in the request is expired")]
    KeyExpired,
    /// The signature is another than ours.
    #[error(
        "The request signature we calculated does not match the signature you provided. \
         Check your AWS Secret Access Key and signing method"
    )]
    Mismatch,
    /// What was to be signed with cannot stand in a header.
    #[error("The {0} cannot be written into a header")]
    Unsignable(&'static str),
}

impl Error {
    /// Returns [`ErrorKind::AccessDenied`]: the contract answers 403 to all of these.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::AccessDenied
    }

    /// Returns the name that AWS has for it beyond `AccessDeniedException`: SDKs get themselves other credentials when they read
    /// one of these. Source: AgentCore API reference, "Common errors".
    pub fn exception(&self) -> Option<&'static str> {
        match self {
            Self::UnknownKey => Some("UnrecognizedClientException"),
            Self::KeyExpired => Some("ExpiredTokenException"),
            _ => None,
        }
    }
}
