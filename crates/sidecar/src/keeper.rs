//! The sidecar of a zygote: its agent is an interpreter that forks, and its process namespace is where the sandboxes of all forks are.
//!
//! ```text
//! fork.sock ─────────────► interpreter ── imported, and fit to fork? ──► Healthy, or NotReady with the reason
//! interpreter ends, however ──► told at once ──► waits until the last sandbox inside has ended ──► gone
//! ```

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, LaunchPlan, MAX_FRAME};
use innkeep_protocol::ping::{Ping, PingStatus};
use innkeep_protocol::walls::FORK_SOCKET;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{link, sys};

/// What the interpreter gets besides its output.
#[derive(Debug)]
pub(crate) struct Sockets {
    forks: OwnedFd,
    report: OwnedFd,
    /// Our end of `report`.
    reports: OwnedFd,
}

/// What an interpreter reports, once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Report {
    /// It forks from now on.
    Ready,
    /// It never will: why, for people.
    Refused(String),
}

impl Sockets {
    /// Listens in the sandbox directory, which is where we are.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (report, reports) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok(Self { forks: link::listen(Path::new(FORK_SOCKET))?, report, reports })
    }

    /// Returns the arguments by which the interpreter knows them.
    pub(crate) fn arguments(&self) -> [String; 2] {
        [&self.forks, &self.report].map(|socket| socket.as_raw_fd().to_string())
    }

    /// Lets them pass the start of this process's program.
    pub(crate) fn hand_on(&self) -> rustix::io::Result<()> {
        [&self.forks, &self.report].into_iter().try_for_each(|socket| fcntl_setfd(socket, FdFlags::empty()))
    }

    /// Lets go of the interpreter's ends: nobody is to wait for one that is gone. Returns where it reports.
    pub(crate) fn into_reports(self) -> OwnedFd {
        self.reports
    }
}

/// Tells how the interpreter is in `state`. Returns only if it will never fork: why, for people.
pub(crate) async fn watch(reports: OwnedFd, plan: &LaunchPlan, state: &watch::Sender<AgentState>) -> String {
    let patience = Duration::from_millis(plan.start_timeout_ms);
    match timeout(patience, receive(reports)).await {
        Ok(Ok(Report::Ready)) => {
            let ping = Ping { status: PingStatus::Healthy, time_of_last_update: None };
            state.send_replace(AgentState::Healthy(ping));
            std::future::pending().await
        }
        Ok(Ok(Report::Refused(why))) => why,
        // Its end tells more.
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => std::future::pending().await,
        Ok(Err(error)) => format!("what the interpreter reported was not understood: {error}"),
        Err(_) => format!("the imports took longer than {patience:?}"),
    }
}

async fn receive(reports: OwnedFd) -> io::Result<Report> {
    let reports = sys::watch(reports)?;
    loop {
        let mut ready = reports.readable().await?;
        let mut frame = vec![0; MAX_FRAME];
        match ready.try_io(|reports| Ok(rustix::net::recv(reports, frame.as_mut_slice(), RecvFlags::DONTWAIT)?)) {
            Ok(Ok((_, 0))) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(Ok((_, len))) => return Ok(serde_json::from_slice(frame.get(..len).unwrap_or_default())?),
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}
