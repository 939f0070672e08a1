//! A certificate and its key in two PEM files that somebody else writes and renews.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_types::UnixMillis;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use super::Error;

/// The most that is read of a file, bytes. Source: our choice; a chain of four certificates has 8 KB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What changes when a file is written or replaced: changed when, which file, how long.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The two files, and as what they were last seen.
#[derive(Debug)]
pub(super) struct Files {
    cert: PathBuf,
    key: PathBuf,
    seen: [Stamp; 2],
}

impl Files {
    pub(super) fn new(cert: PathBuf, key: PathBuf) -> Self {
        Self { cert, key, seen: [None; 2] }
    }

    /// Tells whether either file is another one than when it was loaded, or failed to load.
    pub(super) fn have_changed(&self) -> bool {
        self.stamps() != self.seen
    }

    /// Loads both files as they are. One that is out of date is loaded, and said to be.
    pub(super) fn load(&mut self, now: UnixMillis) -> Result<CertifiedKey, Error> {
        // Noted first: a change while they are read is seen the next time.
        self.seen = self.stamps();
        let chain = certificates(&self.cert)?;
        let key = private_key(&self.key)?;
        if fs::metadata(&self.key).is_ok_and(|file| file.mode() & 0o004 != 0) {
            let path = self.key.display();
            tracing::warn!(
                "everybody on this host can read the private key in {path}; `chmod 600` keeps it to its owner"
            );
        }
        if let Some(problem) = out_of_date(&chain[0], now) {
            let path = self.cert.display();
            tracing::warn!("clients will refuse the certificate in {path}, renew it: {problem}");
        }
        let (cert, key_file) = (self.cert.clone(), self.key.clone());
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
        certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Error::Mismatch { cert, key: key_file },
            source => Error::Unusable { cert, key: key_file, source },
        })
    }

    fn stamps(&self) -> [Stamp; 2] {
        [&self.cert, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.ctime(), file.ctime_nsec(), file.ino(), file.len()))
        })
    }
}

/// Returns the certificates in `path`, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| Error::NoCertificate { path: path.to_owned() })
}

/// Returns why the certificate is not good at this time, if it is its time that is wrong.
pub(super) fn out_of_date(certificate: &CertificateDer<'static>, now: UnixMillis) -> Option<CertificateError> {
    // Whom to trust is the clients' to know; the time is looked at before that.
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    let at = UnixTime::since_unix_epoch(now.since(UnixMillis(0)));
    match verifier.verify_server_cert(certificate, &[], &name, &[], at) {
        Err(rustls::Error::InvalidCertificate(
            problem @ (CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }),
        )) => Some(problem),
        _ => None,
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let path = path.to_owned();
        let encrypted = pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        if encrypted { Error::EncryptedKey { path } } else { Error::NoKey { path } }
    })
}

/// In the first line of an encrypted PKCS#8 key, and in a header of older ones. Source: RFC 7468 section 11, RFC 1421.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut content = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::TooLong { path: path.to_owned(), limit: MAX_FILE_BYTES });
    }
    Ok(content)
}
