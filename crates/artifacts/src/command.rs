//! Runs a program of the host for a bounded time and keeps the end of what it printed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// How much of the output is looked at, bytes.
const TAIL_BYTES: u64 = 8 << 10;

/// Why a program did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be started, or its output not be kept.
    Io(io::Error),
    /// It ended otherwise than by exit code 0, or was ended; `how` says which.
    Failed { how: String, output: String },
}

/// Runs `command` for at most `limit` with stdout and stderr going to the new file `log`; returns the end of what it printed.
///
/// A file and not a pipe, because nobody vouches for how much is printed.
///
/// # Cancel safety
/// Dropping the future kills the program and all that it started, as the time limit does.
pub(crate) async fn run(mut command: Command, log: &Path, limit: Duration) -> Result<String, Failure> {
    let out = File::options().write(true).create(true).truncate(true).open(log).map_err(Failure::Io)?;
    let err = out.try_clone().map_err(Failure::Io)?;
    hide_settings(&mut command);
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).kill_on_drop(true);
    let mut group = Group(command.spawn().map_err(Failure::Io)?);
    let ended = tokio::time::timeout(limit, group.0.wait()).await;
    drop(group);
    let output = tail(log).map_err(Failure::Io)?;
    match ended {
        Ok(Ok(status)) if status.success() => Ok(output),
        Ok(Ok(status)) => Err(Failure::Failed { how: status.to_string(), output }),
        Ok(Err(error)) => Err(Failure::Io(error)),
        Err(_) => Err(Failure::Failed { how: format!("it was stopped after {} s", limit.as_secs()), output }),
    }
}

/// Keeps the server's settings, which hold secrets, from a program.
pub(crate) fn hide_settings(command: &mut Command) {
    // Not configuration: only the names are looked at.
    hide(command, std::env::vars_os().map(|(name, _)| name));
}

fn hide(command: &mut Command, names: impl Iterator<Item = OsString>) {
    for name in names.filter(|name| name.as_encoded_bytes().starts_with(b"INNKEEP_")) {
        command.env_remove(name);
    }
}

/// A program and what it started, killed together unless it was waited for.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            // It may have just ended by itself.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let skip = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(skip))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, limit: Duration) -> Result<String, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, &dir.path().join("log"), limit).await
    }

    #[tokio::test]
    async fn the_end_of_the_output_is_kept() {
        let output = sh("echo out; echo err >&2", Duration::from_secs(60)).await.unwrap();
        assert_eq!(output, "out\nerr");
        let Err(Failure::Failed { how, output }) =
            sh("yes | head -c 100000; echo last; exit 3", Duration::from_secs(60)).await
        else {
            panic!("it should fail");
        };
        assert_eq!(how, "exit status: 3");
        assert!(output.len() < 10_000 && output.ends_with("y\nlast"));
    }

    #[test]
    fn settings_of_the_server_are_not_inherited() {
        let mut command = Command::new("/bin/sh");
        hide(
            &mut command,
            ["INNKEEP_S3_SECRET_ACCESS_KEY", "PATH", "INNKEEP_REGISTRIES"].map(OsString::from).into_iter(),
        );
        let removed: Vec<_> =
            command.as_std().get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert_eq!(removed, ["INNKEEP_REGISTRIES", "INNKEEP_S3_SECRET_ACCESS_KEY"]);
    }

    #[tokio::test]
    async fn the_limit_ends_all_that_was_started() {
        let started = sh("sleep 1000 & echo $!; wait", Duration::from_millis(300)).await;
        let Err(Failure::Failed { how, output }) = started else { panic!("it should be stopped") };
        assert!(how.starts_with("it was stopped after"), "{how}");
        let stat = format!("/proc/{}/stat", output.trim());
        let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        tokio::time::timeout(Duration::from_secs(10), async {
            while !is_gone() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}
