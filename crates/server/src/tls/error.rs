//! Why there is no certificate to show, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::data_dir;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is too long to be what it should be.
    #[error("{path} is longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// A file has no certificate.
    #[error("{path} has no certificate in PEM")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key.
    #[error("{path} has no private key in PEM")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key needs a passphrase.
    #[error("the private key in {path} is encrypted")]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate or key is of no use.
    #[error("the certificate in {cert} with the key in {key} cannot be used")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The key is another certificate's.
    #[error("the key in {key} is not the one of the first certificate in {cert}")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The server's own authority cannot be used.
    #[error("the certificate authority in {path} cannot be used: {problem}")]
    Authority {
        /// The key's file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// No certificate could be made.
    #[error("could not make a certificate")]
    Issue(#[from] rcgen::Error),
    /// The authority could not be kept in the data directory.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// The library refused its set-up.
    #[error("could not set TLS up")]
    Setup(#[source] rustls::Error),
}

impl Error {
    /// Returns what to do about it, where that is known.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Read { path, .. } => {
                format!("let the user of the server read {}, or name another file", path.display())
            }
            Self::NoCertificate { .. } | Self::TooLong { .. } => {
                "name a file with `-----BEGIN CERTIFICATE-----`: the server's certificate first, then those between it and \
                 the CA; one in DER becomes PEM by `openssl x509 -inform der -in FILE -out FILE.pem`"
                    .to_owned()
            }
            Self::NoKey { .. } => "name a file with `-----BEGIN PRIVATE KEY-----` (PKCS#8, or RSA or EC PRIVATE KEY)".to_owned(),
            Self::EncryptedKey { path } => format!(
                "nobody is there to type its passphrase; take it off: `openssl pkey -in {} -out server.key`",
                path.display()
            ),
            Self::Unusable { .. } => {
                "use an RSA key of 2048 bits or more, an ECDSA key on P-256, P-384 or P-521, or an Ed25519 key".to_owned()
            }
            Self::Mismatch { .. } => {
                "name the two files that belong together; the server's certificate comes first in its file".to_owned()
            }
            Self::Authority { path, .. } => format!(
                "remove {} and ca.pem beside it; the next start makes new ones, which clients then must trust anew",
                path.display()
            ),
            Self::Issue(_) | Self::DataDir(_) | Self::Setup(_) => return None,
        })
    }
}
