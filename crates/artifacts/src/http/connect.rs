//! From a URL to a connection: name look-up, TCP, TLS.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// Where clouds answer questions about their machines, credentials included, besides link-local addresses: Alibaba, Oracle, Azure,
/// and AWS over IPv6. Source: their manuals.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// A connection.
pub(super) type Stream = Box<dyn Duplex>;

/// A byte stream in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Makes connections. The certificates are read once, at the first that needs them.
#[derive(Default)]
pub(super) struct Connector {
    tls: OnceCell<TlsConnector>,
    /// The only hosts that may be link-local; without it all may.
    link_local: Option<HashSet<String>>,
}

impl Connector {
    /// Returns one that connects to link-local and metadata addresses only for these hosts.
    pub(super) fn beyond_link_local(except: HashSet<String>) -> Self {
        Self { tls: OnceCell::new(), link_local: Some(except) }
    }

    /// Connects to the host of `uri`.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Stream, Error> {
        let bad_url = || Error::Url(uri.to_string());
        let authority = authority_of(uri).ok_or_else(bad_url)?;
        let host = host_of(uri).ok_or_else(bad_url)?;
        let may_be_link_local = self.link_local.as_ref().is_none_or(|except| except.contains(&authority));
        match uri.scheme_str() {
            Some("http") => {
                let addresses = look_up(host, uri.port_u16().unwrap_or(80), may_be_link_local).await?;
                Ok(Box::new(dial(addresses, &authority).await?))
            }
            Some("https") => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_url())?;
                let tls = self.tls.get_or_try_init(trust).await?;
                let addresses = look_up(host, uri.port_u16().unwrap_or(443), may_be_link_local).await?;
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
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let Some(host) = host_of(uri) else { return false };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns the host without the brackets of an IPv6 address.
fn host_of(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
}

/// Returns the addresses of `host`. What its name says nothing of is seen here, however it is spelled.
async fn look_up(host: &str, port: u16, may_be_link_local: bool) -> Result<Vec<SocketAddr>, Error> {
    let found = lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map_err(|source| Error::Name { host: host.to_owned(), source })?.collect();
    let may_be = |address: &SocketAddr| may_be_link_local || !is_link_local(address.ip());
    let addresses: Vec<SocketAddr> = found.iter().copied().filter(may_be).collect();
    if addresses.is_empty() && !found.is_empty() {
        return Err(Error::LinkLocal { host: host.to_owned() });
    }
    Ok(addresses)
}

/// Tells whether `ip` is of this machine's link, or one that clouds keep for their metadata.
fn is_link_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    METADATA.contains(&ip)
        || match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_known_in_every_spelling() {
        for ip in
            ["169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "fe80::1", "100.100.100.200", "fd00:ec2::254"]
        {
            assert!(is_link_local(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["169.253.0.1", "127.0.0.1", "10.0.0.1", "::1", "fd00::1", "2001:db8::1"] {
            assert!(!is_link_local(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn link_local_addresses_are_for_who_is_excepted() {
        for (host, may_be) in
            [("169.254.169.254", false), ("2852039166", false), ("169.254.169.254", true), ("127.0.0.1", false)]
        {
            let found = look_up(host, 80, may_be).await;
            let expect = may_be || host == "127.0.0.1";
            assert!(expect == found.is_ok() && (expect || matches!(found, Err(Error::LinkLocal { .. }))), "{host}");
        }
    }
}
