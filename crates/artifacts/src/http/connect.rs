//! From a URL to a connection: name look-up, TCP, TLS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::http::{Error, authority_of};

/// How long one of several addresses of a host may take to accept, before the next is tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(5);

/// A connection.
pub(super) type Stream = Box<dyn Duplex>;

/// A byte stream in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Makes connections. The certificates are read once, at the first that needs them.
#[derive(Default)]
pub(super) struct Connector {
    tls: OnceCell<TlsConnector>,
}

impl Connector {
    /// Connects to the host of `uri`.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Stream, Error> {
        let bad_url = || Error::Url(uri.to_string());
        let authority = authority_of(uri).ok_or_else(bad_url)?;
        let host = host_of(uri).ok_or_else(bad_url)?;
        match uri.scheme_str() {
            Some("http") => Ok(Box::new(dial(host, uri.port_u16().unwrap_or(80), &authority).await?)),
            Some("https") => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_url())?;
                let tls = self.tls.get_or_try_init(trust).await?;
                let stream = dial(host, uri.port_u16().unwrap_or(443), &authority).await?;
                let shaken = tls.connect(name, stream).await;
                Ok(Box::new(shaken.map_err(|source| refused(authority, source))?))
            }
            _ => Err(bad_url()),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Tells whether `uri` names this machine by its loopback interface.
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let Some(host) = host_of(uri) else { return false };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns the host without the brackets of an IPv6 address.
fn host_of(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
}

async fn dial(host: &str, port: u16, authority: &str) -> Result<TcpStream, Error> {
    let found = lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|source| Error::Name { host: host.to_owned(), source })?.collect();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(ADDRESS_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(Error::Unreachable { authority: authority.to_owned(), source: last })
}

async fn trust() -> Result<TlsConnector, Error> {
    let load = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!("a file of CA certificates was passed over: {error}");
        }
        roots.add_parsable_certificates(found.certs);
        roots
    };
    let roots = tokio::task::spawn_blocking(load).await.unwrap_or_else(|_| RootCertStore::empty());
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

fn refused(authority: String, source: io::Error) -> Error {
    let cause = source.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => Error::Untrusted { authority, source },
        Some(_) => Error::NotTls { authority, source },
        None => Error::Unreachable { authority, source },
    }
}
