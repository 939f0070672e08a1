//! `innkeep serve`: the server, until it is told to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use innkeep_server::{Config, ConfigError, Error, Isolation, Purpose, Server, TlsMode};
use serde_json::json;

use crate::context::Context;
use crate::failure::{self, Code, Failure};
use crate::output::Output;
use crate::signals::Signals;

/// Run the server
///
/// Settings come from flags, INNKEEP_… variables, and innkeep.toml, in this order. SIGTERM and Ctrl-C end it and every session
/// (or leave them to the next start: sessions_at_shutdown = "detach"); a second one waits for nothing.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The settings file [default: innkeep.toml in the data directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:7080]; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    /// off, or auto: make a certificate, signed by a CA that is kept in the data directory [default: off]
    #[arg(long, value_name = "MODE", conflicts_with_all = ["tls_cert", "tls_key"])]
    tls: Option<TlsMode>,
    /// The certificate to show, then those between it and its CA, in PEM; loaded anew when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen beyond loopback without TLS: the network is trusted, or a TLS proxy stands in front
    #[arg(long)]
    allow_plain_http: bool,
    /// How sessions are kept apart: auto, the strongest that this host can do; container; or process, not at all
    #[arg(long, value_name = "TIER")]
    isolation: Option<Isolation>,
    /// For development: have an issuer of tokens that `innkeep token` signs for; whoever can read the data directory can be anybody.
    /// On loopback only
    #[arg(long)]
    dev_issuer: bool,
    /// Print the effective settings as a settings file, and do nothing
    #[arg(long)]
    print_config: bool,
}

impl Serve {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut config = load(context, Purpose::Serve, self.config.as_deref())?;
        config.listen = self.listen.unwrap_or(config.listen);
        config.isolation = self.isolation.unwrap_or(config.isolation);
        config.dev_issuer |= self.dev_issuer;
        let print_only = self.print_config;
        self.set_tls(&mut config);
        if print_only {
            return print(context.out, &config);
        }
        log(&config)?;
        let mut signals = Signals::new()?;
        let drain = Duration::from_secs(config.shutdown_grace_secs);
        let server = Server::start(config).await.map_err(|error| failure(&error))?;
        if context.out.json {
            context.out.json(&json!({"url": server.url(), "pid": std::process::id()}))?;
        }
        context.out.note(format!("innkeep listening on {}", server.url()));
        signals.recv().await;
        shutdown(context.out, server, drain, &mut signals).await;
        Ok(())
    }

    /// A flag replaces what the settings say of the certificate's origin, as a whole.
    fn set_tls(self, config: &mut Config) {
        config.allow_plain_http |= self.allow_plain_http;
        if self.tls.is_some() || self.tls_cert.is_some() {
            config.tls = self.tls.unwrap_or_default();
            (config.tls_cert, config.tls_key) = (self.tls_cert, self.tls_key);
        }
    }
}

/// Reads `ADDRESS:PORT`.
pub(crate) fn listen_address(s: &str) -> Result<SocketAddr, String> {
    let address = s.replacen("localhost:", "127.0.0.1:", 1);
    address.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:7080".to_owned())
}

/// Returns the settings without flags.
pub(crate) fn load(context: &Context, purpose: Purpose, file: Option<&std::path::Path>) -> Result<Config, Failure> {
    let variables = context.environment.iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
    let loaded = Config::load(purpose, &context.data_dir, file, variables);
    let mut config = loaded.map_err(|error| failure(&error.into()))?;
    if context.data_dir_is_named {
        config.data_dir.clone_from(&context.data_dir);
    }
    Ok(config)
}

/// Sends the server's log to standard error.
pub(crate) fn log(config: &Config) -> Result<(), Failure> {
    innkeep_server::init_logging(config).map_err(Failure::usage)
}

/// Ends the server and its sessions; a further signal ends the wait.
pub(crate) async fn shutdown(out: Output, server: Server, drain: Duration, signals: &mut Signals) {
    tokio::select! {
        () = server.shutdown(drain) => {}
        () = signals.recv() => out.note("not waiting any longer; the next start takes over what is left"),
    }
}

/// Returns why the server did not start.
pub(crate) fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Config(
            ConfigError::PlainHttp(_) | ConfigError::DevIssuer(_) | ConfigError::Tls(_) | ConfigError::Unknown { .. },
        ) => Code::Usage,
        _ => Code::Failed,
    };
    Failure { cause: failure::root_cause(error), fix: error.fix(), ..Failure::new(code, error.to_string()) }
}

fn print(out: Output, config: &Config) -> Result<(), Failure> {
    if out.json { out.json(&json!({"config": config})) } else { out.bytes(config.to_toml().as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(listen_address("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(listen_address("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert!(listen_address("7080").is_err());
    }
}
