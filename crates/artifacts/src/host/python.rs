//! Python interpreters: the system's first, then those on PATH, then those that uv manages.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{Host, is_executable, misnamed, probe};
use crate::Error;
use crate::home::Home;

/// The minor versions that the API names. Source: service model, `codeConfiguration.runtime`.
pub(crate) const MINORS: std::ops::RangeInclusive<u8> = 10..=14;

/// An interpreter of Python 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Python {
    /// The program; named with its minor version where the host has that name.
    pub(crate) program: PathBuf,
    /// 11 of 3.11.
    pub(crate) minor: u8,
    /// `3.11.2`.
    pub(crate) version: String,
}

impl Python {
    /// Returns `runtime` of the API.
    pub(crate) fn runtime(&self) -> String {
        format!("PYTHON_3_{}", self.minor)
    }

    /// Returns a command that runs the interpreter's `module` with the host's packages but nothing of the working directory:
    /// a project's `logging.py` must not become part of pip.
    pub(crate) fn module(&self, module: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-I", "-m", module]);
        command
    }
}

impl Host {
    /// Returns the interpreter of Python 3.`minor`; without `minor`, the system's own.
    pub(crate) async fn python(&self, home: &Home, minor: Option<u8>) -> Result<Python, Error> {
        let wanted: Vec<u8> = minor.map_or_else(|| MINORS.rev().collect(), |minor| vec![minor]);
        if let Some(system) = self.find("python3")
            && let Some(python) = identify(home, system).await?
            && wanted.contains(&python.minor)
            && !self.named.contains_key(&python.runtime())
        {
            return Ok(python);
        }
        for minor in wanted {
            if let Some(python) = self.named_python(home, minor).await? {
                return Ok(python);
            }
            let found = match self.find(&format!("python3.{minor}")) {
                Some(program) => Some(program),
                None => self.managed_by_uv(home, minor).await?,
            };
            if let Some(program) = found
                && let Some(python) = identify(home, program).await?
                && python.minor == minor
            {
                return Ok(python);
            }
        }
        Err(self.no_python(home, minor).await)
    }

    /// Returns the interpreter that the operator named for Python 3.`minor`, under the very name that he gave it.
    async fn named_python(&self, home: &Home, minor: u8) -> Result<Option<Python>, Error> {
        let word = format!("PYTHON_3_{minor}");
        let Some(program) = self.named(&word)? else { return Ok(None) };
        match identify(home, program.clone()).await? {
            Some(python) if python.minor == minor => Ok(Some(Python { program, ..python })),
            Some(python) => Err(misnamed(&word, &program, &format!("is Python {}", python.version))),
            None => Err(misnamed(&word, &program, "does not answer as Python 3 does")),
        }
    }

    pub(super) async fn managed_by_uv(&self, home: &Home, minor: u8) -> Result<Option<PathBuf>, Error> {
        let Some(uv) = self.find("uv") else { return Ok(None) };
        let mut command = Command::new(uv);
        command.args(["python", "find", "--quiet", "--no-project", "--no-config", &format!("3.{minor}")]);
        command.env("UV_PYTHON_PREFERENCE", "only-managed").env("UV_PYTHON_DOWNLOADS", "never").current_dir("/");
        let printed = probe(home, command).await?;
        Ok(printed.map(PathBuf::from).filter(|program| program.is_absolute() && is_executable(program)))
    }
}

/// Asks `program` for its version. `None` if it cannot tell, or is not Python 3.
pub(super) async fn identify(home: &Home, program: PathBuf) -> Result<Option<Python>, Error> {
    let mut command = Command::new(&program);
    command.args(["-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]);
    let Some(version) = probe(home, command).await? else { return Ok(None) };
    let minor = version.strip_prefix("3.").and_then(|rest| rest.split('.').next()).and_then(|minor| minor.parse().ok());
    Ok(minor.map(|minor| Python { program: with_minor(&program, minor), minor, version }))
}

/// Returns the name beside `program` that stays true when the host's default Python moves on.
fn with_minor(program: &Path, minor: u8) -> PathBuf {
    let named = program.with_file_name(format!("python3.{minor}"));
    if is_executable(&named) { named } else { program.to_owned() }
}
