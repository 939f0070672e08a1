//! A sandbox inside of another one's namespaces of users and processes: only there can the other one's interpreter fork into it.
//!
//! ```text
//! server    innkeep-sidecar nest USERS FIRST ─► a network and a user namespace, until its input ends      (as root)
//! launcher  fork.sock connected ─► the keeper's processes entered ─► forks ──► finds the sidecar ─► namespaces handed over ─► "go"
//! between                                                          └──► users entered ─► forks ─┐
//! sidecar                                                                                       └─► walls ─► asks for the fork
//! ```
//!
//! As root the user namespace is made by somebody else, who is a user of the keeper's: the kernel wants that of whoever makes one. The
//! sidecar then still is the host's root to files, until the walls stand, and nobody inside of them owns its network.

use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use innkeep_protocol::link::NestAnswer;
use innkeep_protocol::walls::{FORK_SOCKET, IDS, Identity, Walls, Zygote};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    sockopt,
};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, WaitOptions};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{become_user, loopback};
use crate::launch::{Error, to};
use crate::place::open_directory;
use crate::sys::{self, Fork};

/// The namespaces that a fork enters, in the order in which they are sent.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// The most control groups that a sandbox is in: one for each hierarchy.
const MAX_GROUPS: usize = 16;

/// The longest that the zygote may take for each of its parts. It takes some ten milliseconds; on a host that is overloaded, seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// The way into a sandbox that keeps a zygote.
#[derive(Debug)]
pub(crate) struct Nest {
    users: OwnedFd,
    processes: OwnedFd,
    /// Connected to the interpreter.
    socket: OwnedFd,
    groups: Vec<File>,
}

/// Which process this is after [`Nest::fork`].
pub(crate) enum Birth {
    /// The launcher; the sidecar as the host sees it, held.
    Launcher { sidecar: Pid, process: OwnedFd },
    /// The sidecar.
    Sidecar,
    /// Neither; it has done its part.
    Between,
}

impl Nest {
    /// Takes hold of all that is needed, and changes nothing: whoever fails here can launch without. None: nobody wants it.
    /// `groups`: the `cgroup.procs` of the control groups of the sandbox.
    pub(crate) fn open(walls: &Walls, groups: impl Iterator<Item = std::ffi::OsString>) -> Option<Result<Self, Error>> {
        let Some(Zygote::ForkedFrom { users, processes, directory }) = &walls.zygote else { return None };
        let open = |path: &Path| File::open(path).map(OwnedFd::from).map_err(to("open the zygote's namespaces"));
        let writable = |path: std::ffi::OsString| File::options().write(true).open(path);
        Some((|| {
            Ok(Self {
                users: open(users)?,
                processes: open(processes)?,
                socket: connect(directory).map_err(to("reach the zygote"))?,
                groups: groups
                    .take(MAX_GROUPS)
                    .map(writable)
                    .collect::<Result<_, _>>()
                    .map_err(to("open control groups"))?,
            })
        })())
    }

    /// Forks into the nest; the sidecar is born into the new `namespaces`.
    pub(crate) fn fork(&self, walls: &Walls, namespaces: u64) -> Result<Birth, Error> {
        let has_users = walls.first_id.is_some();
        let (mut forked_rx, mut forked_tx) = io::pipe().map_err(to("make a pipe"))?;
        let (seen_rx, seen_tx) = io::pipe().map_err(to("make a pipe"))?;
        if !has_users {
            enter(&self.users, LinkNameSpaceType::User)?;
        }
        enter(&self.processes, LinkNameSpaceType::ProcessID)?;
        match sys::fork_into(0).map_err(to("fork"))? {
            Fork::Parent(between) => {
                drop((forked_tx, seen_rx));
                forked_rx.read_exact(&mut [0]).map_err(to("fork into the zygote's sandbox"))?;
                let sidecar = only_child(between).map_err(to("find the sidecar"))?;
                let process =
                    rustix::process::pidfd_open(sidecar, PidfdFlags::empty()).map_err(to("hold the sidecar"))?;
                drop(seen_tx);
                // It would be counted as one of the sandbox's until somebody else took note of its end.
                rustix::process::waitpid(Some(between), WaitOptions::empty()).map_err(to("end a step of the start"))?;
                Ok(Birth::Launcher { sidecar, process })
            }
            Fork::Child => {
                drop((forked_rx, seen_tx));
                let user = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
                let namespaces = if has_users { namespaces & !user } else { namespaces };
                if has_users {
                    enter(&self.users, LinkNameSpaceType::User)?;
                }
                match sys::fork_into(namespaces).map_err(to("make namespaces"))? {
                    Fork::Child => Ok(Birth::Sidecar),
                    Fork::Parent(_) => {
                        forked_tx.write_all(b"f").map_err(to("tell the launcher"))?;
                        // Until then the sidecar is our child, and found by that.
                        until_end(seen_rx);
                        Ok(Birth::Between)
                    }
                }
            }
        }
    }

    /// Sends the interpreter what a fork enters: the namespaces of `sidecar` and its control groups. What it shall run there, the
    /// sidecar says, once its walls stand.
    pub(crate) fn hand_over(&self, sidecar: Pid) -> Result<(), Error> {
        let open = |name| File::open(format!("/proc/{}/ns/{name}", sidecar.as_raw_pid()));
        let namespaces: Vec<File> =
            NAMESPACES.into_iter().map(open).collect::<Result<_, _>>().map_err(to("open the sidecar's namespaces"))?;
        let descriptors: Vec<BorrowedFd<'_>> = namespaces.iter().chain(&self.groups).map(AsFd::as_fd).collect();
        send(&self.socket, b"{}", &descriptors).map_err(to("hand the namespaces to the zygote"))
    }

    /// Returns the connection to the interpreter.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket
    }
}

/// Sends one message with these descriptors.
pub(crate) fn send(socket: &OwnedFd, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(NAMESPACES.len() + MAX_GROUPS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[io::IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL)
    })
    .map(drop)
}

fn enter(namespace: &OwnedFd, kind: LinkNameSpaceType) -> Result<(), Error> {
    move_into_link_name_space(namespace.as_fd(), Some(kind)).map_err(to("enter the zygote's sandbox"))
}

fn connect(directory: &Path) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        sockopt::set_socket_timeout(&socket, direction, Some(PATIENCE))?;
    }
    // Through a descriptor: a socket's path is limited to 108 bytes.
    let directory = open_directory(directory)?;
    let path = format!("/proc/self/fd/{}/{FORK_SOCKET}", directory.as_raw_fd());
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Returns the child of a process that has one.
fn only_child(parent: Pid) -> io::Result<Pid> {
    let parent = parent.as_raw_pid();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let pid = children.split_ascii_whitespace().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    pid.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn until_end(mut pipe: PipeReader) {
    // An error is an end, too.
    let _ = pipe.read(&mut [0]);
}

/// Makes a network namespace that belongs to the user namespace behind the path that is the second argument, and inside of that a user
/// namespace of [`IDS`] ids from the third on. Answers in one line, and holds both until its input ends.
pub(crate) fn run() -> ExitCode {
    sys::close_inherited();
    match make() {
        Ok(Fork::Parent(holder)) => {
            tell(&NestAnswer::Made(holder.as_raw_pid()));
            until_input_ends();
            // An orphan would be somebody else's to take note of.
            let _ = rustix::process::waitpid(Some(holder), WaitOptions::empty());
            ExitCode::SUCCESS
        }
        Ok(Fork::Child) => {
            until_input_ends();
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&NestAnswer::Failed(error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn make() -> Result<Fork, Error> {
    let mut arguments = std::env::args().skip(2);
    let wrong = || to("understand the arguments")(io::Error::from(io::ErrorKind::InvalidInput));
    let users = File::open(arguments.next().ok_or_else(wrong)?).map_err(to("open the zygote's namespaces"))?;
    let first: u32 = arguments.next().and_then(|first| first.parse().ok()).ok_or_else(wrong)?;
    enter(&users.into(), LinkNameSpaceType::User)?;
    let root = Identity { user: 0, group: 0, groups: Vec::new() };
    become_user(&root).map_err(to("become a user of the zygote's sandbox"))?;
    // Else our child's files in `/proc` would not be ours.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(to("make a user namespace"))?;
    sys::enter_new_network().map_err(to("make a network"))?;
    loopback::up().map_err(to("bring loopback up"))?;
    let forked = sys::fork_into(u64::from(libc::CLONE_NEWUSER.cast_unsigned())).map_err(to("make a user namespace"))?;
    if let Fork::Parent(holder) = forked {
        for file in ["gid_map", "uid_map"] {
            let path = format!("/proc/{}/{file}", holder.as_raw_pid());
            fs::write(path, format!("0 {first} {IDS}")).map_err(to("map ids"))?;
        }
    }
    Ok(forked)
}

fn tell(answer: &NestAnswer) {
    // If nobody reads this, nobody is left to be told.
    let _ = serde_json::to_string(answer).map(|line| writeln!(io::stdout().lock(), "{line}"));
}

fn until_input_ends() {
    // An error is an end, too.
    let _ = io::stdin().lock().read(&mut [0]);
}
