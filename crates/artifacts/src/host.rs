//! The programs of this host that run agents and install their packages.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::Error;
use crate::command::{self, Failure};
use crate::home::Home;

mod missing;
mod node;
mod python;

pub(crate) use python::{MINORS, Python};

/// The words of `runtime` that an interpreter stands for. Source: service model, `codeConfiguration.runtime`.
pub const INTERPRETERS: [&str; 6] =
    ["PYTHON_3_10", "PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13", "PYTHON_3_14", "NODE_22"];

/// How long a program may take to tell its version.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    search: Vec<PathBuf>,
    /// By word; what the operator names comes before what is found.
    named: BTreeMap<String, PathBuf>,
}

impl Host {
    /// Looks in `/usr/bin`, whose interpreters every sandbox can read, and then along `path`.
    ///
    /// Directories called `shims` (pyenv, asdf, mise) are left out: what is there starts something else, which depends on the
    /// working directory and lies in somebody's home.
    pub(crate) fn new(path: &OsStr, named: BTreeMap<String, PathBuf>) -> Self {
        let along = std::env::split_paths(path).filter(|dir| {
            dir.is_absolute() && dir.to_str().is_some() && dir.file_name().is_none_or(|name| name != "shims")
        });
        Self { search: std::iter::once(PathBuf::from("/usr/bin")).chain(along).collect(), named }
    }

    /// Returns the program that the operator named for `word`, if he did.
    fn named(&self, word: &str) -> Result<Option<PathBuf>, Error> {
        let Some(program) = self.named.get(word) else { return Ok(None) };
        if is_executable(program) {
            return Ok(Some(program.clone()));
        }
        Err(misnamed(word, program, "is no executable file"))
    }

    /// Returns the first program called `name`.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        self.search.iter().map(|dir| dir.join(name)).find(|path| is_executable(path))
    }
}

/// Tells whether `path` is a file that somebody may execute.
pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// What to say about a program that the operator named and that cannot be it.
fn misnamed(word: &str, program: &Path, problem: &str) -> Error {
    Error::NoInterpreter(format!(
        "{word} is {} by [interpreters] in innkeep.toml or INNKEEP_INTERPRETERS, and that {problem}; correct it and start the \
         server anew",
        program.display()
    ))
}

/// Returns what `command` prints, or `None` if it fails.
async fn probe(home: &Home, command: Command) -> Result<Option<String>, Error> {
    let io = |source| Error::Io { doing: "ask an interpreter for its version".to_owned(), source };
    let log = home.scratch_file().map_err(io)?;
    match command::run(command, log.path(), PROBE_LIMIT).await {
        Ok(printed) => Ok(Some(printed)),
        Err(Failure::Failed { .. }) => Ok(None),
        Err(Failure::Io(source)) => Err(io(source)),
    }
}
