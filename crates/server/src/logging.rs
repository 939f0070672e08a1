//! Where the server's own log goes: standard error, as text for people or as JSON for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::Config;

/// Installs the process's logger. A filter that cannot be parsed is an error before anything is started; a logger that is
/// installed already (by an embedding program) is kept.
///
/// # Errors
/// The words of what is wrong with `config.log`.
pub fn init(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log).map_err(|e| format!("bad value for log: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    let colour = io::stderr().is_terminal();
    // The error says that there is a logger already.
    let _ = if config.log_json { builder.json().try_init() } else { builder.with_ansi(colour).try_init() };
    Ok(())
}
