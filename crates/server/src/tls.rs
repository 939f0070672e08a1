//! The certificate that the listener shows: of files that others renew, or of an authority of the server's own; kept fresh while the
//! server runs, and the file by which clients trust it.
//!
//! New connections get a new certificate; those that are open keep what they agreed on.

mod authority;
mod current;
mod error;
mod files;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeep_types::{Clock, UnixMillis};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use crate::config::{Certificate, Config};
use crate::data_dir::DataDir;
use authority::Authority;
use current::Current;
use files::Files;

pub use error::Error;

/// HTTP/2 first, which is what clients that speak both should take. Source: RFC 7301, RFC 9113 section 3.2.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How often it is looked whether the certificate's files changed, or its end is near. Source: our choice; it costs two `stat`s.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// TLS of one listener.
#[derive(Debug)]
pub(crate) struct Tls {
    server_config: Arc<ServerConfig>,
    ca: Option<PathBuf>,
    keeper: Keeper,
}

/// Holds the certificate against its origin.
#[derive(Debug)]
pub(crate) struct Keeper {
    origin: Origin,
    current: Arc<Current>,
}

#[derive(Debug)]
enum Origin {
    Files(Files),
    Authority(Box<Authority>),
}

impl Tls {
    /// Returns what the settings ask for, ready to serve; none if they ask for none.
    pub(crate) fn open(config: &Config, data_dir: &DataDir, now: UnixMillis) -> Result<Option<Self>, Error> {
        let (origin, ca) = match config.certificate() {
            Certificate::None => return Ok(None),
            Certificate::Files { cert, key } => {
                // One that names no CA would be found out by each client.
                config.tls_ca.as_deref().map(files::certificates).transpose()?;
                (Origin::Files(Files::new(cert.to_owned(), key.to_owned())), config.tls_ca.clone())
            }
            Certificate::Generated => {
                let authority = Authority::open(data_dir, names(config))?;
                let ca = Some(authority.certificate_file());
                (Origin::Authority(Box::new(authority)), ca)
            }
        };
        let keeper = Keeper::new(origin, now)?;
        let server_config = Arc::new(server_config(keeper.current.clone())?);
        Ok(Some(Self { server_config, ca, keeper }))
    }

    /// Returns what a handshake needs.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config.clone()
    }

    /// Returns the file with the certificate that clients must trust, where that is known; without it they trust it already.
    pub(crate) fn ca(&self) -> Option<&PathBuf> {
        self.ca.as_ref()
    }

    /// Returns who keeps the certificate fresh.
    pub(crate) fn into_keeper(self) -> Keeper {
        self.keeper
    }
}

impl Keeper {
    fn new(mut origin: Origin, now: UnixMillis) -> Result<Self, Error> {
        let first = match &mut origin {
            Origin::Files(files) => files.load(now)?,
            Origin::Authority(authority) => authority.issue(now)?,
        };
        Ok(Self { origin, current: Arc::new(Current::new(first)) })
    }

    /// Looks every second, until the server ends.
    pub(crate) async fn run(mut self, clock: Arc<dyn Clock>, stopping: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = clock.now();
            // Files may lie on a disk that hangs.
            let looked = tokio::task::spawn_blocking(move || {
                self.look(now);
                self
            });
            tokio::select! {
                () = stopping.cancelled() => return,
                looked = looked => match looked {
                    Ok(keeper) => self = keeper,
                    Err(_) => return,
                },
            }
        }
    }

    /// Takes a new certificate if there is one, or if it is time for one. What cannot be used is logged once, and what is in use
    /// stays so.
    fn look(&mut self, now: UnixMillis) {
        let new = match &mut self.origin {
            Origin::Files(files) if files.have_changed() => files.load(now),
            Origin::Authority(authority) if authority.is_due(now) => authority.issue(now),
            _ => return,
        };
        match new {
            Ok(new) => {
                self.current.set(new);
                tracing::info!("new connections get a new certificate");
            }
            Err(error) => {
                let fix = error.fix().unwrap_or_default();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the certificate stays the one that was loaded last: {error}; {fix}"
                );
            }
        }
    }
}

/// Returns every name and address by which clients may reach the server.
fn names(config: &Config) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let mut names = vec!["localhost".to_owned()];
    names.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| ip.to_string()));
    let listen = config.listen.ip();
    names.extend((!listen.is_unspecified()).then(|| listen.to_string()));
    names.extend(ServerName::try_from(host.as_str()).is_ok().then_some(host));
    names.extend(config.tls_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

fn server_config(current: Arc<Current>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // TLS 1.2 for clients that know no newer one.
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(Error::Setup)?.with_no_client_auth().with_cert_resolver(current);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    // Tickets instead of a table of sessions: clients that come back are cheap, and there is nothing to fill.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(Error::Setup)?;
    Ok(config)
}

#[cfg(test)]
mod tests;
