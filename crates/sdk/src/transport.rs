//! What a connection runs over: TCP, or TLS over it; and whom the client trusts then.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The most that is read of a file of certificates, bytes. Source: our choice; all CAs of a system are 250 KB.
const MAX_CA_BYTES: u64 = 4 << 20;

/// Bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// TLS with one server.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Tls {
    /// Returns TLS with `host`, whose certificate must come from a CA in the file `ca`; without one, from a CA of this system.
    pub(crate) fn new(host: &str, ca: Option<&Path>) -> io::Result<Self> {
        let server = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        match ca {
            Some(ca) => {
                for certificate in read(ca)? {
                    roots.add(certificate).map_err(io::Error::other)?;
                }
            }
            None => {
                // Those that this system has and nobody can read are not trusted, which the handshake says if it matters.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { config: Arc::new(config), server })
    }

    pub(crate) async fn handshake(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let stream = TlsConnector::from(self.config.clone()).connect(self.server.clone(), stream).await?;
        Ok(Box::new(stream))
    }
}

/// Returns the certificates in `path`, at least one.
fn read(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut pem = Vec::new();
    File::open(path)?.take(MAX_CA_BYTES).read_to_end(&mut pem)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let some = certificates.ok().filter(|certificates| !certificates.is_empty());
    some.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no certificate in PEM"))
}
