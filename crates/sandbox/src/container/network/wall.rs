//! The packet filter between sandboxes and everything else: when it stands, and who may take it down.
//!
//! One table for each network namespace of the host, shared by all servers there, and static: nothing in it is about one sandbox.
//! It stands while a server that has used it runs, and while a sandbox's link is left. Two locks keep several servers apart: who
//! raises or lowers it holds `turn`, alone, for that moment; each server that counts on it holds `users`, with the others.
//!
//! Where the host forwarded nothing before, a chain that drops what is not ours is in the table, and is also the record that
//! forwarding is to be switched off again.

mod rules;
mod standing;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Error, link, program};
use crate::driver::Unusable;

/// Whether this host passes on packets between its links; of the network namespace of the thread that asks.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The host whose packets are filtered, and with what.
#[derive(Debug)]
pub(super) struct Host {
    nft: PathBuf,
    locks: PathBuf,
    nameservers: Vec<Ipv4Addr>,
}

/// The proof that the packet filter stands, and keeps it from being taken down by other servers.
#[derive(Debug)]
pub(super) struct Wall {
    /// Locked for as long as it is open.
    _users: File,
    /// Whether it was for sandboxes that the host was made to forward packets, by this server or another one.
    keeps_others_in: bool,
}

impl Host {
    /// Finds what is needed. `locks` is a directory of root's that is empty after a reboot.
    pub(super) fn find(locks: &Path, nameservers: Vec<Ipv4Addr>) -> Result<Self, Unusable> {
        let nft = program::find("nft", &program::SYSTEM).ok_or_else(|| {
            Unusable::new("the packet filter program `nft` is not on this host", "install the package nftables")
        })?;
        Ok(Self { nft, locks: locks.to_owned(), nameservers })
    }

    /// Raises the wall, or adds what this server needs to one that stands: in one step, never without rules in between. Blocks.
    pub(super) fn raise(&self) -> Result<Wall, Error> {
        let _turn = self.lock("turn", File::lock).map_err(failed("take the lock of the packet filter"))?;
        // Nobody holds it alone without having `turn`.
        let users = self.lock("users", File::lock_shared).map_err(failed("take the lock of the packet filter"))?;
        let is_forwarding = is_forwarding().map_err(failed("find out whether the host forwards packets"))?;
        // A server before this one, or beside it, may have switched it on.
        let keeps_others_in = !is_forwarding || self.has_record()?;
        self.load(keeps_others_in)?;
        if keeps_others_in {
            fs::write(FORWARDING, "1").map_err(failed("have the host forward packets"))?;
        }
        Ok(Wall { _users: users, keeps_others_in })
    }

    /// Raises the wall again if somebody else tore it down, as reloading a host's own rules does (`flush ruleset`). Blocks.
    pub(super) fn keep_up(&self, wall: &Wall) -> Result<(), Error> {
        if standing::is_standing().map_err(failed("look for the packet filter"))? {
            return Ok(());
        }
        tracing::warn!("the packet filter of sandboxes was removed by another program; it is loaded again");
        let _turn = self.lock("turn", File::lock).map_err(failed("take the lock of the packet filter"))?;
        self.load(wall.keeps_others_in)
    }

    /// Takes the wall down unless another server or a sandbox is left that needs it. Tells whether it is down. Blocks.
    pub(super) fn lower(&self, wall: Option<Wall>) -> Result<bool, Error> {
        if !standing::is_standing().map_err(failed("look for the packet filter"))? {
            return Ok(true);
        }
        let _turn = self.lock("turn", File::lock).map_err(failed("take the lock of the packet filter"))?;
        drop(wall);
        let users = self.open("users").map_err(failed("take the lock of the packet filter"))?;
        match users.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(source)) => return Err(failed("take the lock of the packet filter")(source)),
        }
        if !links().map_err(failed("list the host's links"))?.is_empty() {
            return Ok(false);
        }
        // Forwarding ends first, or the host would pass on anybody's packets for a moment.
        if self.has_record()? {
            fs::write(FORWARDING, "0").map_err(failed("stop the host from forwarding packets"))?;
        }
        program::run(&self.nft, &["-f", "-"], rules::REMOVE).map_err(failed("remove the packet filter"))?;
        Ok(true)
    }

    /// Returns what on this host may stand in the way of sandboxes' packets, one sentence each. An error says why the packet filter
    /// cannot be used at all. Blocks.
    pub(super) fn obstacles(&self) -> io::Result<Vec<String>> {
        let mut found = rules::forbidding(&program::run(&self.nft, &["list", "chains", "ip"], "")?);
        // Rules of the kernel's older packet filter; the file is there only with that.
        let old = fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
        if old.lines().any(|table| table == "filter")
            && let Some(iptables) = program::find("iptables-legacy", &program::SYSTEM)
            && program::run(&iptables, &["-S", "FORWARD"], "").is_ok_and(|rules| rules.contains("-P FORWARD DROP"))
        {
            found.push("iptables (legacy), chain FORWARD".into());
        }
        let mut obstacles: Vec<String> = found.iter().map(|chain| rules::advice(chain)).collect();
        if !is_forwarding()? {
            obstacles.push(
                "this host forwards no packets (net.ipv4.ip_forward=0): while sandboxes have a network it forwards theirs and \
                 drops all others; if another program is to forward packets too, set it to 1 before the server starts"
                    .into(),
            );
        }
        Ok(obstacles)
    }

    /// Tells whether forwarding is to be switched off again.
    fn has_record(&self) -> Result<bool, Error> {
        match program::run(&self.nft, &rules::LIST_RECORD, "") {
            Err(slow) if slow.kind() == io::ErrorKind::TimedOut => Err(failed("list the packet filter")(slow)),
            listed => Ok(listed.is_ok()),
        }
    }

    fn load(&self, keep_others_in: bool) -> Result<(), Error> {
        let rules = rules::ruleset(&self.nameservers, keep_others_in);
        program::run(&self.nft, &["-f", "-"], &rules).map_err(failed("load the packet filter"))?;
        Ok(())
    }

    fn lock(&self, what: &str, lock: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
        let file = self.open(what)?;
        lock(&file)?;
        Ok(file)
    }

    /// Opens a lock of the network namespace that this thread is in. Locks are never removed: whoever waits for one must get that one.
    fn open(&self, what: &str) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o755).create(&self.locks)?;
        let namespace = fs::metadata("/proc/thread-self/ns/net")?.ino();
        let path = self.locks.join(format!("network-{namespace}.{what}"));
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
    }
}

/// Returns the names of all sandboxes' links on the host that this thread is on. Source: proc_pid_net(5), `dev`.
pub(super) fn links() -> io::Result<BTreeSet<String>> {
    let lines = fs::read_to_string("/proc/thread-self/net/dev")?;
    let names = lines.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    Ok(names.filter(|name| name.starts_with(link::PREFIX)).map(str::to_owned).collect())
}

fn is_forwarding() -> io::Result<bool> {
    Ok(fs::read_to_string(FORWARDING)?.trim() != "0")
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Wall { what, source }
}
