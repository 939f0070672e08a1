//! The server's own certificate authority: made at the first start with `tls = "auto"`, kept in the data directory.
//!
//! Its key signs nothing but this server's certificates. Those and their keys are only in memory: each start makes a new one, and so
//! does a server that runs for long.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use innkeep_types::UnixMillis;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::{Error, files};
use crate::data_dir::{DataDir, write_private};

/// Where the authority's certificate is, which clients trust.
pub(crate) const CERTIFICATE: &str = "ca.pem";

/// Where its key is.
pub(crate) const KEY: &str = "ca.key";

/// For how long a certificate is good. Source: our choice; the CA/Browser Forum allowed 398 days when this was written.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long before its end the next one is made.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// For how long it is good already: clocks of clients are late.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// The authority, and what it issues.
#[derive(Debug)]
pub(super) struct Authority {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    certificate_file: PathBuf,
    key_file: PathBuf,
    /// What certificates are for.
    names: Vec<String>,
    /// When the last one was issued.
    issued: UnixMillis,
}

impl Authority {
    /// Opens the authority in `data_dir`; the first time it makes one.
    pub(super) fn open(data_dir: &DataDir, names: Vec<String>) -> Result<Self, Error> {
        let (certificate_file, key_file) = (data_dir.path().join(CERTIFICATE), data_dir.path().join(KEY));
        let key = match fs::read(&key_file) {
            Ok(pem) => read_key(&pem).map_err(|problem| Error::Authority { path: key_file.clone(), problem })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                write_private(data_dir.path(), KEY, pem("PRIVATE KEY", key.serialized_der()).as_bytes())?;
                // One that lost its key signs nothing any more.
                write_private(data_dir.path(), CERTIFICATE, certificate_of(&key)?.as_bytes())?;
                key
            }
            Err(source) => return Err(Error::Read { path: key_file, source }),
        };
        if !certificate_file.exists() {
            // It is the same for whoever trusts it: the same name, the same key.
            write_private(data_dir.path(), CERTIFICATE, certificate_of(&key)?.as_bytes())?;
        }
        let certificate = files::certificates(&certificate_file)?.swap_remove(0);
        Ok(Self { certificate, key, certificate_file, key_file, names, issued: UnixMillis(0) })
    }

    pub(super) fn certificate_file(&self) -> PathBuf {
        self.certificate_file.clone()
    }

    /// Tells whether it is time for the next certificate, also because the clock was wrong when the last one was made.
    pub(super) fn is_due(&self, now: UnixMillis) -> bool {
        now.since(self.issued) >= LIFETIME - RENEWED_BEFORE || self.issued.since(now) >= BACKDATED
    }

    /// Issues a certificate with a key of its own, and proves that it is good for who trusts the authority's file.
    pub(super) fn issue(&mut self, now: UnixMillis) -> Result<CertifiedKey, Error> {
        let mut leaf = CertificateParams::new(self.names.clone())?;
        leaf.distinguished_name = named("Innkeep");
        leaf.not_before = date(now) - BACKDATED;
        leaf.not_after = date(now) + LIFETIME;
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let signed = leaf.signed_by(&leaf_key, &Issuer::new(parameters(), &self.key))?;

        let chain = vec![signed.der().clone()];
        self.prove(&chain[0], now)?;
        self.issued = now;
        let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).map_err(|problem| self.unusable(problem))?;
        CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).map_err(Error::Setup)
    }

    /// Fails if the two files of the authority do not belong together.
    fn prove(&self, leaf: &CertificateDer<'_>, now: UnixMillis) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(|error| self.unusable(error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| self.unusable(error))?;
        let localhost = ServerName::try_from("localhost").map_err(|error| self.unusable(error))?;
        let at = UnixTime::since_unix_epoch(now.since(UnixMillis(0)));
        let proven = verifier.verify_server_cert(leaf, &[], &localhost, &[], at);
        proven.map(drop).map_err(|error| self.unusable(error))
    }

    fn unusable(&self, problem: impl ToString) -> Error {
        Error::Authority { path: self.key_file.clone(), problem: problem.to_string() }
    }
}

/// Returns what the authority's certificate says. Nothing in it is of the moment: of one key there is one authority.
fn parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named("Innkeep CA of one data directory");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = date_time_ymd(2026, 1, 1);
    // It ends when its files are removed. Source: RFC 5280 section 4.1.2.5, "no well-defined expiration date".
    parameters.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(24 * 60 * 60 - 1);
    parameters
}

fn certificate_of(key: &KeyPair) -> Result<String, Error> {
    Ok(pem("CERTIFICATE", parameters().self_signed(key)?.der()))
}

fn read_key(pem: &[u8]) -> Result<KeyPair, String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    KeyPair::try_from(&der).map_err(|error| error.to_string())
}

/// Source: RFC 7468 section 2.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: String = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn date(at: UnixMillis) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
