//! Node.js: `NODE_22` is run by the host's `node`, if that is new enough.

use std::path::PathBuf;

use tokio::process::Command;

use super::{Host, probe};
use crate::Error;
use crate::home::Home;

/// The oldest major version that may stand in for Node.js 22.
const OLDEST: u32 = 20;

/// The host's Node.js.
#[derive(Debug)]
pub(crate) struct Node {
    /// The program.
    pub(crate) program: PathBuf,
    /// As it prints it: `v22.4.1`.
    pub(crate) version: String,
}

impl Host {
    /// Returns the host's Node.js.
    pub(crate) async fn node(&self, home: &Home) -> Result<Node, Error> {
        let missing = |found: String| {
            Error::NoInterpreter(format!(
                "{found}, and NODE_22 needs version {OLDEST} or newer; install it (`apt install nodejs`, or \
                 https://nodejs.org) and deploy again"
            ))
        };
        let program = self.find("node").ok_or_else(|| missing("there is no Node.js on this host".to_owned()))?;
        let mut command = Command::new(&program);
        command.arg("--version");
        let version = probe(home, command).await?.unwrap_or_default();
        let major =
            version.strip_prefix('v').and_then(|v| v.split('.').next()).and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            return Err(missing(format!("{} is Node.js {version:?}", program.display())));
        }
        Ok(Node { program, version })
    }
}
