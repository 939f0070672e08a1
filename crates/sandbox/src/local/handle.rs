//! A process of a sandbox as the host sees it: held by descriptor, so that its pid cannot become another's.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use innkeep_protocol::link::SandboxFacts;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// A process, alive or not.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    descriptor: AsyncFd<OwnedFd>,
}

impl Process {
    /// Takes hold of the process that has `pid` now; none if there is none.
    fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(valid) = Pid::from_raw(pid) else { return Ok(None) };
        match rustix::process::pidfd_open(valid, PidfdFlags::empty()) {
            Ok(descriptor) => Ok(Some(Self { pid, descriptor: sys::watch(descriptor, Interest::READABLE)? })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes hold of the sidecar that `facts` describe; none if it is gone. The sandbox in `directory` can have written them: only a
    /// process of the directory's owner is taken for a sidecar, and nobody else's ever killed for one.
    pub(crate) fn find_sidecar(facts: &SandboxFacts, directory: &Path) -> io::Result<Option<Self>> {
        if fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim() != facts.boot_id {
            return Ok(None);
        }
        let process = Self::open(facts.pid)?;
        // Read with the descriptor in hand: a start time that fits is then that of the process held.
        let owner = directory.metadata()?.uid();
        Ok(process.filter(|_| start_time(facts.pid) == Some(facts.start_time) && user(facts.pid) == Some(owner)))
    }

    /// Returns its number, which is another's once it has ended.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Kills it.
    pub(super) fn kill(&self) {
        // One that is gone already is what we want.
        let _ = rustix::process::pidfd_send_signal(self.descriptor.get_ref(), Signal::KILL);
    }

    /// Waits for its end.
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn ended(&self) {
        // A pidfd stays readable once its process has ended. An error is the runtime's own end.
        let _ = self.descriptor.readable().await;
        reap(self.descriptor.get_ref().as_fd());
    }
}

/// Takes note of a process's end, if it is ours to do so. Returns whether nothing is left to do: it has ended, or is not our child.
pub(crate) fn reap(process: BorrowedFd<'_>) -> bool {
    !matches!(waitid(WaitId::PidFd(process), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
}

/// Returns the real user id of a process.
fn user(pid: i32) -> Option<u32> {
    status(pid, "Uid:")?.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns what `/proc/PID/status` says behind `field`, `Uid:`. None if the process is gone.
pub(crate) fn status(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned)
}

/// Returns field 22 of `/proc/PID/stat`: clock ticks from boot to the start of the process. None if it has ended, even if nobody has
/// taken note of that yet.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, field 2, may hold anything; field 3 follows the last bracket.
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(22 - 4)?.parse().ok(),
    }
}
