//! Finds programs of the host and runs them with a text on their standard input. Nobody's `PATH` is asked: as root it would be a way in.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where system programs are. Source: file system hierarchy standard.
pub(super) const SYSTEM: [&str; 6] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// Returns the first of `directories` with `name` in it.
pub(super) fn find<D: AsRef<Path>>(name: &str, directories: &[D]) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.as_ref().join(name)).find(|path| path.is_file())
}

/// Runs a program to its end and returns what it printed. Blocks. An exit status other than 0 is an error with the program's words.
pub(super) fn run(program: &Path, arguments: &[&str], input: &str) -> io::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // A program that fails before it has read everything closes the pipe; its own words say more than the broken pipe does.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{}: {}: {}", program.display(), output.status, words.trim())));
    }
    written?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
