//! From a URL to a connection: name look-up, TCP, TLS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::authority_of;
use crate::{Error, Reach, Roots};

/// How long one of several addresses of a host may take to accept, before the next is tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(5);

/// A connection.
pub(crate) type Stream = Box<dyn Duplex>;

/// A byte stream in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Makes connections. The certificates are read once, at the first that needs them.
#[derive(Default)]
pub(crate) struct Connector {
    tls: OnceCell<TlsConnector>,
    reach: Reach,
    roots: Roots,
}

impl Connector {
    pub(crate) fn new(reach: Reach, roots: Roots) -> Self {
        Self { tls: OnceCell::new(), reach, roots }
    }

    /// Connects to the host of `uri`.
    pub(crate) async fn connect(&self, uri: &Uri) -> Result<Stream, Error> {
        let bad_url = || Error::Url(uri.to_string());
        let authority = authority_of(uri).ok_or_else(bad_url)?;
        let host = host_of(uri).ok_or_else(bad_url)?;
        match uri.scheme_str() {
            Some("http") => {
                let found = look_up(host, uri.port_u16().unwrap_or(80)).await?;
                let addresses = self.reach.plain(found, host, &authority)?;
                Ok(Box::new(dial(addresses, &authority).await?))
            }
            Some("https") => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_url())?;
                let tls = self.tls.get_or_try_init(|| self.roots.connector()).await?;
                let found = look_up(host, uri.port_u16().unwrap_or(443)).await?;
                let addresses = self.reach.among(found, host, &authority)?;
                let stream = dial(addresses, &authority).await?;
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
pub fn is_loopback(uri: &Uri) -> bool {
    let Some(host) = host_of(uri) else { return false };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns the host without the brackets of an IPv6 address.
fn host_of(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
}

/// Returns the addresses of `host`.
async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let found = lookup_host((host, port)).await;
    Ok(found.map_err(|source| Error::Name { host: host.to_owned(), source })?.collect())
}

async fn dial(addresses: Vec<SocketAddr>, authority: &str) -> Result<TcpStream, Error> {
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

fn refused(authority: String, source: io::Error) -> Error {
    let cause = source.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => Error::Untrusted { authority, source },
        Some(_) => Error::NotTls { authority, source },
        None => Error::Unreachable { authority, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_looked_at_after_look_up_however_they_are_spelled() {
        let connector = Connector::new(Reach::BeyondLinkLocal(Default::default()), Roots::default());
        for url in ["http://169.254.169.254/", "http://2852039166/", "https://[fe80::1]/"] {
            let refused = connector.connect(&url.parse().unwrap()).await.err().unwrap();
            assert!(matches!(refused, Error::LinkLocal { .. } | Error::NoCertificates), "{url}: {refused}");
        }
    }
}
