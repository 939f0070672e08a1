//! Node.js: `NODE_22` is run by the host's `node`, if that is new enough.

use std::path::PathBuf;

use tokio::process::Command;

use super::{Host, misnamed, probe};
use crate::Error;
use crate::home::Home;

/// The word for it.
const WORD: &str = "NODE_22";

/// The oldest major version that may stand in for Node.js 22.
pub(super) const OLDEST: u32 = 20;

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
        let named = self.named(WORD)?;
        let is_named = named.is_some();
        let Some(program) = named.or_else(|| self.find("node")) else {
            return Err(self.no_node(home, "there is no Node.js on this host").await);
        };
        let mut command = Command::new(&program);
        command.arg("--version");
        let version = probe(home, command).await?.unwrap_or_default();
        let major =
            version.strip_prefix('v').and_then(|v| v.split('.').next()).and_then(|major| major.parse::<u32>().ok());
        match major {
            Some(OLDEST..) => Ok(Node { program, version }),
            _ if is_named => {
                Err(misnamed(WORD, &program, &format!("answers {version:?} and not version {OLDEST} or newer")))
            }
            _ => Err(self.no_node(home, &format!("{} is Node.js {version:?}", program.display())).await),
        }
    }
}
