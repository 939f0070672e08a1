//! Finds programs of the host and runs them with a text on their standard input. Nobody's `PATH` is asked: as root it would be a way in.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

/// Where system programs are. Source: file system hierarchy standard.
pub(super) const SYSTEM: [&str; 6] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// How long a program may take: one that hangs would keep every start waiting. Source: our choice; `nft` takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the first of `directories` with `name` in it.
pub(super) fn find<D: AsRef<Path>>(name: &str, directories: &[D]) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.as_ref().join(name)).find(|path| path.is_file())
}

/// Runs a program to its end and returns what it printed. Blocks, for [`PATIENCE`] at most. An exit status other than 0 is an error
/// with the program's words.
pub(super) fn run(program: &Path, arguments: &[&str], input: &str) -> io::Result<String> {
    run_within(PATIENCE, program, arguments, input)
}

fn run_within(patience: Duration, program: &Path, arguments: &[&str], input: &str) -> io::Result<String> {
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let process = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // Room for the one answer, so that the thread ends also when nobody waits for it any more.
    let (ended_tx, ended_rx) = mpsc::sync_channel(1);
    let input = input.to_owned();
    thread::Builder::new().name("program".into()).spawn(move || ended_tx.send(finish(child, &input)))?;
    let Ok(ended) = ended_rx.recv_timeout(patience) else {
        // Not waited for: in the kernel's hands it may take its time to die. The thread does that.
        let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
        let slow = format!("{}: did not end within {patience:?}, and was killed", program.display());
        return Err(io::Error::new(io::ErrorKind::TimedOut, slow));
    };
    let (written, output) = ended?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{}: {}: {}", program.display(), output.status, words.trim())));
    }
    written?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Also returns whether it took all of the input: a program that fails before it has read everything closes the pipe, and its own
/// words say more than the broken pipe does.
fn finish(mut child: Child, input: &str) -> io::Result<(io::Result<()>, Output)> {
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    Ok((written, child.wait_with_output()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_is_returned_and_what_it_complains_of_too() {
        let cat = find("cat", &SYSTEM).unwrap();
        assert_eq!(run(&cat, &[], "text").unwrap(), "text");
        assert!(run(&cat, &["/nowhere"], "").unwrap_err().to_string().contains("/nowhere"));
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let sleep = find("sleep", &SYSTEM).unwrap();
        let error = run_within(Duration::from_millis(50), &sleep, &["60"], "").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
