//! What settings can be refused for, with what to do instead.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the settings could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: line {line}: {problem}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Which line. What it says is not shown: it may be a secret's.
        line: usize,
        /// Why.
        problem: String,
    },
    /// A variable that stands for a table holds none.
    #[error("{variable} must hold a table as JSON, or as TOML has it inline: {example}")]
    Table {
        /// The variable.
        variable: String,
        /// What it could hold.
        example: &'static str,
    },
    /// There is no such setting.
    #[error("unknown setting {key:?} in {origin}; the nearest known one is {nearest:?}")]
    Unknown {
        /// As written.
        key: String,
        /// Which file or variable.
        origin: String,
        /// What was probably meant.
        nearest: String,
    },
    /// A value is of the wrong kind.
    #[error("bad value for a setting")]
    Value(#[source] Box<toml::de::Error>),
    /// A registry's credentials are a user and a password.
    #[error("registries.{0:?} must have username and password, or neither")]
    HalfCredentials(String),
    /// A file of CA certificates cannot be used.
    #[error("jwt_ca_file is {path}, which cannot be used: {source}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: innkeep_fetch::BadRoots,
    },
    /// Settings of TLS contradict each other.
    #[error("{0}")]
    Tls(String),
    /// Listening beyond loopback needs TLS, or a word of consent.
    #[error(
        "{0} is not a loopback address and there is no TLS; make a certificate (--tls auto), name one (--tls-cert FILE --tls-key FILE), \
         or, if the network is trusted or a TLS proxy stands in front, say so: --allow-plain-http \
         (allow_plain_http = true, INNKEEP_ALLOW_PLAIN_HTTP=true)"
    )]
    PlainHttp(SocketAddr),
    /// The dev issuer believes everybody who can read a file: not for a server that others reach.
    #[error(
        "dev_issuer is for development on this machine, and the server is meant to be reached from others ({0}); leave it out, and let \
         runtimes take tokens of a real issuer"
    )]
    DevIssuer(String),
}
