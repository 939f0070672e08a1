//! Why no answer came, or not all of it.

use std::io;
use std::time::Duration;

/// Why no answer came, or not all of it. Continues a sentence about what was asked for.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "their messages say it")]
pub enum Error {
    #[error("{0:?} is no http or https URL with a host")]
    Url(String),
    #[error("the name {host} was not found")]
    Name {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{host} is a link-local address, or one for the metadata of clouds; such a registry is asked only if it is named below \
         [registries] in innkeep.toml"
    )]
    LinkLocal { host: String },
    #[error("{host} has no public address")]
    Private { host: String },
    #[error("{authority} would be spoken to without TLS")]
    PlainHttp { authority: String },
    #[error("{authority} cannot be reached")]
    Unreachable {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("{authority} {doing} within {} s", after.as_secs())]
    Late { authority: String, doing: &'static str, after: Duration },
    #[error("{authority} sends too slowly: less than {bytes} bytes within {} s", after.as_secs())]
    Slow { authority: String, bytes: u64, after: Duration },
    #[error(
        "this system has no CA certificates; install them (`apt install ca-certificates`) or name them by SSL_CERT_FILE"
    )]
    NoCertificates,
    #[error(
        "{authority} shows a certificate that is not trusted here; add its CA to this system's, or to those that SSL_CERT_FILE names"
    )]
    Untrusted {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("{authority} does not speak TLS as it should")]
    NotTls {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("the connection to {authority} broke off")]
    Broken {
        authority: String,
        #[source]
        source: Box<hyper::Error>,
    },
    #[error("{authority} sent more than {limit} bytes")]
    TooLarge { authority: String, limit: usize },
}

impl Error {
    /// Tells whether the same request may fare better a little later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Late { .. } | Self::Broken { .. })
    }
}
