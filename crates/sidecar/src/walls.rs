//! The walls of a sandbox: its own kernel namespaces, its own root file system, its own user, nothing of the host's powers. What
//! they are is the plan's; this raises them, in the one order that works as root and as an ordinary user.
//!
//! ```text
//! launcher   control groups ─► network joined ─► fork into namespaces ─► ids mapped ─► network connected ─► "go"
//! sidecar    sources opened as the server's user ─► root of the namespace ─► root file system ─► pivot ─► loopback ─► powers dropped
//! agent      limits ─► its user ─► working directory ─► landlock ─► seccomp ─► its program
//! ```

mod confine;
mod devices;
mod layers;
mod lodging;
mod loopback;
mod mounts;
pub(crate) mod nest;
mod powers;
mod root;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use innkeep_protocol::walls::{Base, IDS, Identity, Mount, Network, Root, Walls, Zygote};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Pid, Uid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::launch::{Error, to};
use crate::place::open_directory;
use crate::{agent, sys};

pub(crate) use confine::{Confinement, limits_of_fork, rules_of_fork};
use layers::Layers;

/// What the launcher made ready for its child.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    layers: Layers,
}

/// What is seen inside, held before our user may no longer reach it.
#[derive(Debug)]
pub(crate) struct Sources {
    base: Option<OwnedFd>,
    layers: Layers,
    mounts: Vec<OwnedFd>,
}

/// Returns the namespaces to make, as flags of clone3.
pub(crate) fn namespaces(walls: &Walls) -> u64 {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let network = if matches!(walls.network, Network::Join(_)) { 0 } else { libc::CLONE_NEWNET };
    u64::from((flags | network).cast_unsigned())
}

/// Enters the network that the fork shall be born into, and opens what it could not map.
pub(crate) fn before_fork(walls: &Walls) -> Result<Prepared, Error> {
    if let Network::Join(path) = &walls.network {
        let network = File::open(path).map_err(to("open the network"))?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).map_err(to("join the network"))?;
    }
    let layers = match (&walls.root, walls.first_id) {
        (Root::Image { layers }, Some(_)) => Layers::open(layers)?,
        _ => Layers::default(),
    };
    Ok(Prepared { layers })
}

/// Does for the child what only somebody outside can do.
pub(crate) fn after_fork(walls: &Walls, prepared: &Prepared, child: Pid) -> Result<(), Error> {
    let of_child = |name: &str| format!("/proc/{}/{name}", child.as_raw_pid());
    let (uids, gids) = match walls.first_id {
        Some(first) => (ids(walls, first), ids(walls, first)),
        None => {
            // Without it an ordinary user may map no group.
            fs::write(of_child("setgroups"), "deny").map_err(to("give up groups"))?;
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            (format!("{} {uid} 1", walls.agent.user), format!("{} {gid} 1", walls.agent.group))
        }
    };
    fs::write(of_child("gid_map"), gids).map_err(to("map group ids"))?;
    fs::write(of_child("uid_map"), uids).map_err(to("map user ids"))?;
    prepared.layers.map_owners(child)?;
    if let Network::Helper { argv, .. } = &walls.network {
        connect(argv, child)?;
    }
    Ok(())
}

/// Returns the map of ids of a sandbox that has users of its own: a block of them, and, for the sandboxes inside of it, all others as
/// they are.
fn ids(walls: &Walls, first: u32) -> String {
    let mut map = format!("0 {first} {IDS}\n");
    if let Some(Zygote::Keeps { ids: Some((start, end)) }) = walls.zygote {
        let after = first.saturating_add(IDS);
        for (from, to) in [(start, first), (after, end)] {
            if from < to {
                map += &format!("{from} {from} {}\n", to - from);
            }
        }
    }
    map
}

/// Runs the program that connects the network of `child`, until it has gone to the background.
fn connect(argv: &[String], child: Pid) -> Result<(), Error> {
    let pid = child.as_raw_pid().to_string();
    let [program, arguments @ ..] = argv else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| argument.replace("{pid}", &pid)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Until it is the program it has no name that it could be found by, should this process be killed.
    let launcher = rustix::process::getpid();
    let helper = sys::spawn(&mut command, move || agent::die_with(launcher));
    let output = helper.and_then(Child::wait_with_output).map_err(to("run the network helper"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Host { what: "connect the network", source: std::io::Error::other(words) })
}

/// Opens what the plan shows inside, as the server's user and in the new mount namespace; then becomes the namespace's own root,
/// if it has one.
pub(crate) fn open_sources(walls: &Walls, prepared: Prepared) -> Result<Sources, Error> {
    let open = |path: &Path| open_directory(path).map_err(to("open what is seen inside"));
    let open_mount = |mount: &Mount| match open_directory(&mount.source) {
        // The code, which is the deployer's to give.
        Err(error) if mount.private_layer && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(agent::Error::NoDirectory(mount.source.clone()).into())
        }
        opened => opened.map_err(to("open what is seen inside")),
    };
    let base = match &walls.root {
        Root::Base(Base::Tree(tree)) => Some(open(tree)?),
        Root::Base(Base::Host) | Root::Image { .. } => None,
    };
    let layers = match (&walls.root, walls.first_id) {
        (Root::Image { layers }, None) => Layers::open(layers)?,
        _ => prepared.layers,
    };
    let mounts = walls.mounts.iter().map(open_mount).collect::<Result<_, _>>()?;
    if walls.first_id.is_some() {
        let root = Identity { user: 0, group: 0, groups: Vec::new() };
        become_user(&root).map_err(to("become the sandbox's root"))?;
    }
    Ok(Sources { base, layers, mounts })
}

/// Becomes a user of the namespace, with its groups and no others.
fn become_user(identity: &Identity) -> std::io::Result<()> {
    let (user, group) = (Uid::from_raw(identity.user), Gid::from_raw(identity.group));
    let groups: Vec<_> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups)?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    Ok(rustix::thread::set_thread_res_uid(user, user, user)?)
}

/// Raises the walls around this process. Returns where the agent of an image starts.
pub(crate) fn raise(walls: &Walls, sources: Sources, working_directory: &Path) -> Result<Option<OwnedFd>, Error> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    root::build(walls, sources)?;
    rustix::system::sethostname(walls.hostname.as_bytes()).map_err(to("set the host name"))?;
    match &walls.network {
        Network::Loopback => loopback::up().map_err(to("bring loopback up"))?,
        Network::Helper { unreachable, .. } => {
            loopback::up().map_err(to("bring loopback up"))?;
            for destination in unreachable {
                loopback::refuse(destination).map_err(to("refuse a destination"))?;
            }
        }
        Network::Join(_) => {}
    }
    let place = match walls.root {
        Root::Base(_) => None,
        Root::Image { .. } => Some(lodging::open_place(working_directory)?),
    };
    powers::drop(walls.first_id.is_some(), walls.keeps_zygote()).map_err(to("drop powers"))?;
    Ok(place)
}

/// Makes an empty file.
fn touch(path: &Path) -> std::io::Result<()> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))?;
    Ok(())
}
