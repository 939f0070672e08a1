//! Runs other programs, showing each command line before it runs. Knows nothing of what they are for.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// One command line, to be shown and run.
#[derive(Debug)]
pub(crate) struct Run(Command);

impl Run {
    /// Returns the command that runs `program` without arguments.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self(Command::new(program))
    }

    /// Returns `cargo` with these arguments, in the environment of a cargo that is called by hand: what the cargo that runs us has
    /// set of itself would make build scripts run again (ring's does), and with them all that is built on them.
    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        let mut run = Self::new(env!("CARGO")).args(arguments);
        let of_outer = |name: &str| {
            ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix)) || name == "CARGO"
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_outer)) {
            run.0.env_remove(name);
        }
        run
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Sets the working directory.
    pub(crate) fn dir(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it with this terminal and reports how long it took.
    ///
    /// # Errors
    /// When it cannot be started or does not end with status 0.
    pub(crate) fn go(mut self) -> Result<()> {
        let line = self.line();
        println!("\n$ {line}");
        #[expect(clippy::disallowed_methods, reason = "no async runtime here whose clock tests could pause")]
        let started = Instant::now();
        let status = self.0.status().with_context(|| format!("could not run `{line}`"))?;
        ensure!(status.success(), "`{line}` failed: {status}");
        println!("  done in {:.1} s", started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Runs it silently and tells whether it could be started and ended with status 0.
    pub(crate) fn works(mut self) -> bool {
        self.0.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.0.status().is_ok_and(|status| status.success())
    }

    /// Runs it and returns its standard output, or `None` where it fails.
    pub(crate) fn output(mut self) -> Option<Vec<u8>> {
        let output = self.0.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then_some(output.stdout)
    }

    fn line(&self) -> String {
        let program = Path::new(self.0.get_program());
        let program = if program.is_absolute() { program.file_name().unwrap_or_default() } else { program.as_os_str() };
        let mut line = program.to_string_lossy().into_owned();
        for argument in self.0.get_args() {
            line.push(' ');
            line.push_str(&argument.to_string_lossy());
        }
        line
    }
}
