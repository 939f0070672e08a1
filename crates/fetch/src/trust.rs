//! Whose certificates are believed: those of the CA certificates of this system (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), and
//! of some besides.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::Error;

/// CA certificates that are trusted besides those of this system; none by default.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<CertificateDer<'static>>);

/// Why a file of CA certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadRoots {
    /// It is no PEM.
    #[error("it is not PEM: {0}")]
    Syntax(String),
    /// It is PEM, of something else.
    #[error("it has no certificate; a CA certificate begins with -----BEGIN CERTIFICATE-----")]
    None,
    /// What it has is no certificate of a CA.
    #[error("certificate {place} in it cannot be used: {problem}")]
    Certificate {
        /// From 1.
        place: usize,
        /// Why.
        problem: String,
    },
}

impl Roots {
    /// Returns the certificates of a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadRoots> {
        let mut certificates = Vec::new();
        for found in CertificateDer::pem_slice_iter(pem) {
            let certificate = found.map_err(|error| BadRoots::Syntax(error.to_string()))?;
            let place = certificates.len() + 1;
            let added = RootCertStore::empty().add(certificate.clone());
            added.map_err(|error| BadRoots::Certificate { place, problem: error.to_string() })?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err(BadRoots::None) } else { Ok(Self(certificates)) }
    }

    /// Returns these and those.
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Returns what speaks TLS with whom they vouch for. Reads the files of this system.
    pub(crate) async fn connector(&self) -> Result<TlsConnector, Error> {
        let load = || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!("a file of CA certificates was passed over: {error}");
            }
            roots.add_parsable_certificates(found.certs);
            roots
        };
        let mut roots = tokio::task::spawn_blocking(load).await.unwrap_or_else(|_| RootCertStore::empty());
        roots.add_parsable_certificates(self.0.iter().cloned());
        if roots.is_empty() {
            return Err(Error::NoCertificates);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring serves the protocol versions that rustls takes for safe")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told() {
        let check = |pem: &str, expect: &str| {
            let error = Roots::from_pem(pem.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("", "has no certificate");
        check("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "has no certificate");
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 in it cannot be used");
        check("-----BEGIN CERTIFICATE-----\nAAAA\n", "not PEM");
    }
}
