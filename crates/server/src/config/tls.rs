//! The settings of TLS: which certificate the listener shows, and how clients know it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use rustls::pki_types::ServerName;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Config, Error};

/// Whether a certificate is made where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Plain HTTP, unless `tls_cert` and `tls_key` are there.
    #[default]
    Off,
    /// The server is its own certificate authority.
    Auto,
}

impl FromStr for TlsMode {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "off" => Ok(Self::Off),
            "auto" => Ok(Self::Auto),
            other => Err(format!("unknown mode of TLS {other:?}; it is auto or off")),
        }
    }
}

/// Which certificate the listener shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate<'a> {
    /// None: plain HTTP.
    None,
    /// One of the server's own authority.
    Generated,
    /// One of these files.
    Files {
        /// The certificate, then those between it and its CA; PEM.
        cert: &'a Path,
        /// Its key; PEM.
        key: &'a Path,
    },
}

impl Config {
    /// Returns which certificate the settings ask for, [`Config::check`]ed.
    pub(crate) fn certificate(&self) -> Certificate<'_> {
        match (self.tls, &self.tls_cert, &self.tls_key) {
            (_, Some(cert), Some(key)) => Certificate::Files { cert, key },
            (TlsMode::Auto, ..) => Certificate::Generated,
            (TlsMode::Off, ..) => Certificate::None,
        }
    }

    /// Returns the server's URL when it listens on `addr`.
    pub(crate) fn url(&self, addr: SocketAddr) -> String {
        if self.certificate() == Certificate::None {
            return format!("http://{addr}");
        }
        // What clients ask for must be what the certificate is for, which no certificate is for all addresses.
        let host = match (self.tls_names.first(), addr.ip()) {
            (Some(name), _) if name.contains(':') => format!("[{name}]"),
            (Some(name), _) => name.clone(),
            (None, IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            (None, IpAddr::V6(ip)) if ip.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
            (None, IpAddr::V4(ip)) => ip.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        format!("https://{host}:{}", addr.port())
    }

    /// Checks that the settings of TLS fit each other.
    pub(super) fn check_tls(&self) -> Result<(), Error> {
        let refuse = |problem: &str| Err(Error::Tls(problem.to_owned()));
        match (self.tls, &self.tls_cert, &self.tls_key) {
            (_, Some(_), None) => {
                return refuse("tls_cert needs tls_key (--tls-key FILE), the file with its private key");
            }
            (_, None, Some(_)) => {
                return refuse("tls_key needs tls_cert (--tls-cert FILE), the file with its certificate");
            }
            (TlsMode::Auto, Some(_), _) => {
                return refuse("tls = \"auto\" makes a certificate, tls_cert names one; leave one of the two out");
            }
            _ => {}
        }
        if self.tls_ca.is_some() && self.tls_cert.is_none() {
            return refuse("tls_ca names the CA of tls_cert, which is not set; one that is generated has its own");
        }
        if !self.tls_names.is_empty() && self.certificate() == Certificate::None {
            return refuse(
                "tls_names are names in a certificate, and there is none; set tls = \"auto\", or tls_cert and tls_key",
            );
        }
        Ok(())
    }
}

/// Reads a list of host names and addresses, or a text with commas between them, as variables have it.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = super::values::list(deserializer)?;
    for name in &names {
        if ServerName::try_from(name.as_str()).is_err() {
            return Err(de::Error::custom(format!("tls_names: {name:?} is neither a host name nor an IP address")));
        }
    }
    Ok(names)
}
