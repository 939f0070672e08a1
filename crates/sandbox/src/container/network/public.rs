//! `public` as root: a namespace with a pair of links for each sandbox, behind the host's own address.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use innkeep_types::SandboxId;
use parking_lot::Mutex;

use super::attachment::{Attachment, Leaving};
use super::link::{self, SLOTS, Slot};
use super::namespace::{Namespace, disable_ipv6};
use super::netlink::Netlink;
use super::wall::{self, Host, Wall};
use super::{Error, dns};
use crate::driver::Unusable;

/// Where servers of one host keep each other's locks.
const LOCKS: &str = "/run/innkeep";

/// How long the kernel may take to remove links. Measured: 50 ms, half a second on a busy machine.
const DEPARTURE: Duration = Duration::from_secs(5);

/// The kernel can tell of it only through a queue that may overflow, and this is asked once in a server's life.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How often the packet filter is looked for while it should stand: another program may have removed it with all rules of the host.
/// Source: our choice; a look takes microseconds.
const WATCH: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(10) };

/// How often it is tried to take down a packet filter that was there before this server, and that this server has no use for.
/// Source: our choice; links of killed sandboxes go within half a second.
const CLEAR_UP: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(1) };

/// Makes the networks of sandboxes in the network namespace that this process runs in.
#[derive(Debug, Clone)]
pub(crate) struct PublicNetwork {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    nameservers: Vec<Ipv4Addr>,
    host: Host,
    /// Raised when the first sandbox needs it: a server whose sandboxes have no network leaves the host as it is.
    wall: Mutex<Option<Watched>>,
    turn: AtomicU16,
    /// The names of the links that were there before this server, by their aliases.
    older: Mutex<BTreeMap<String, String>>,
    leaving: Leaving,
    caveats: Vec<String>,
}

/// A packet filter that a thread looks after until this is dropped.
#[derive(Debug)]
struct Watched {
    wall: Wall,
    /// Nothing is ever sent.
    _watch: SyncSender<()>,
}

impl PublicNetwork {
    /// Finds out whether sandboxes can have a network here, and removes what a server before this one left. `dns` are nameservers
    /// to use in place of the host's; the host's are read now, once. Blocks for some ten milliseconds.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub(crate) fn new(dns: &[IpAddr]) -> Result<Self, Unusable> {
        Self::with_locks(dns, Path::new(LOCKS))
    }

    pub(super) fn with_locks(dns: &[IpAddr], locks: &Path) -> Result<Self, Unusable> {
        if !rustix::process::geteuid().is_root() {
            return Err(Unusable::new("links to sandboxes are root's to make", "run the server as root, or use pasta"));
        }
        let nameservers = dns::nameservers(dns)?;
        let host = Host::find(locks, nameservers.clone())?;
        let refused = |what: &str, error: &dyn std::error::Error| {
            Unusable::new(
                format!("{what}: {error}"),
                "run the server with CAP_NET_ADMIN and CAP_SYS_ADMIN on a kernel with nf_tables and veth",
            )
        };
        let caveats = host.obstacles().map_err(|error| refused("the packet filter cannot be used", &error))?;
        let is_down = host.lower(None).map_err(|error| refused("an old packet filter could not be removed", &error))?;
        let older = older().map_err(|error| refused("the links of sandboxes cannot be listed", &error))?;
        Namespace::new().map_err(|error| refused("no network namespace can be made", &error))?;
        // Servers side by side begin at different places, and so meet less.
        let turn = u16::try_from(std::process::id() % u32::from(SLOTS)).unwrap_or_default();
        let shared = Shared {
            nameservers,
            host,
            wall: Mutex::new(None),
            turn: AtomicU16::new(turn),
            older: Mutex::new(older),
            leaving: Leaving::default(),
            caveats,
        };
        let shared = Arc::new(shared);
        if !is_down {
            shared.clear_up().map_err(|error| refused("an old packet filter cannot be watched", &error))?;
        }
        Ok(Self { shared })
    }

    /// Returns what may stand in the way of sandboxes' packets, one sentence each.
    pub(crate) fn caveats(&self) -> &[String] {
        &self.shared.caveats
    }

    /// Makes a network for a sandbox, ready to be joined, in a new namespace of somebody else's if one is given. The first one takes
    /// longer: it loads the packet filter.
    ///
    /// # Errors
    /// When the host refuses; nothing of the network remains.
    ///
    /// # Cancel safety
    /// A network that is made in vain goes by itself.
    pub(crate) async fn open(&self, sandbox: &SandboxId, namespace: Option<File>) -> Result<Attachment, Error> {
        let (shared, sandbox) = (self.shared.clone(), sandbox.clone());
        let opened = tokio::task::spawn_blocking(move || shared.open(&sandbox, namespace)).await;
        opened.map_err(|error| Error::Wall { what: "wait for the thread", source: error.into() }).flatten()
    }

    /// Takes note of a living sandbox that a server before this one started. If it has a network, the packet filter is seen to from
    /// now on: nobody else does. Blocks for some ten milliseconds then.
    ///
    /// # Errors
    /// When there is no packet filter, and none can be made.
    pub(crate) fn adopted(&self, sandbox: &SandboxId) -> Result<(), Error> {
        let has_network = self.shared.older.lock().contains_key(&link::alias_of(sandbox));
        if has_network { self.shared.stand() } else { Ok(()) }
    }

    /// Gives up the network of a sandbox that has ended and that a server before this one started, if it had one. Those of this
    /// server are [`Attachment::release`]d.
    pub(crate) fn release_older(&self, sandbox: &SandboxId) {
        if let Some(name) = self.shared.older.lock().remove(&link::alias_of(sandbox)) {
            self.shared.leaving.lock().insert(name);
        }
    }

    /// Takes down what no server and no sandbox needs any more: the packet filter, and the forwarding that was switched on for it.
    /// Networks that are released after this leave the packet filter behind, for the next server.
    pub(crate) async fn shutdown(&self) {
        self.shared.departure().await;
        let shared = self.shared.clone();
        let lowered = tokio::task::spawn_blocking(move || shared.lower()).await;
        let lowered = lowered.map_err(io::Error::other).and_then(|lowered| lowered.map_err(io::Error::other));
        if let Err(error) = lowered {
            tracing::warn!(error = ?error, "the packet filter of sandboxes stays: {error}");
        }
    }
}

impl Shared {
    /// Waits until the links of the networks that were released are gone, within reason.
    async fn departure(&self) {
        let gone = || wall::links().is_ok_and(|links| links.is_disjoint(&self.leaving.lock()));
        let all_gone = async {
            while !gone() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if tokio::time::timeout(DEPARTURE, all_gone).await.is_err() {
            tracing::warn!("links of ended sandboxes are still there after {DEPARTURE:?}");
        }
    }

    fn open(self: &Arc<Self>, sandbox: &SandboxId, namespace: Option<File>) -> Result<Attachment, Error> {
        let refused = |what| move |source| Error::Kernel { sandbox: sandbox.clone(), what, source };
        self.stand()?;
        let made = namespace.map_or_else(Namespace::new, Namespace::of);
        let mut namespace = made.map_err(refused("make a namespace"))?;
        let mut host = Netlink::open().map_err(refused("speak to the kernel"))?;
        let slot = self.take_slot(&mut host, &namespace, sandbox)?;
        disable_ipv6(&format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", slot.name()))
            .map_err(refused("switch off IPv6"))?;
        host.carry_out(slot.ready_host(sandbox)).map_err(refused("ready the host's link"))?;
        namespace
            .netlink
            .carry_out(slot.ready_inside(&self.nameservers))
            .map_err(refused("ready the sandbox's link"))?;
        let (nameservers, leaving) = (self.nameservers.clone(), self.leaving.clone());
        Ok(Attachment { namespace: namespace.file, slot, nameservers, leaving })
    }

    /// Makes sure that the packet filter stands before there is a link that it is for.
    fn stand(self: &Arc<Self>) -> Result<(), Error> {
        let mut standing = self.wall.lock();
        if let Some(standing) = &*standing {
            return self.host.keep_up(&standing.wall);
        }
        let wall = self.host.raise()?;
        let watch = self.watch().map_err(|source| Error::Wall { what: "watch the packet filter", source })?;
        *standing = Some(Watched { wall, _watch: watch });
        Ok(())
    }

    /// Has a thread look after the packet filter until what is returned is dropped. It is on the host that this thread is on.
    fn watch(self: &Arc<Self>) -> io::Result<SyncSender<()>> {
        let shared = Arc::downgrade(self);
        let (watch_tx, watch_rx) = mpsc::sync_channel(1);
        thread::Builder::new().name("packet filter".into()).spawn(move || {
            while watch_rx.recv_timeout(WATCH) == Err(RecvTimeoutError::Timeout) {
                let Some(shared) = shared.upgrade() else { return };
                if let Some(standing) = &*shared.wall.lock()
                    && let Err(error) = shared.host.keep_up(&standing.wall)
                {
                    tracing::error!(error = ?error, "running sandboxes have no packet filter: {error}");
                }
            }
        })?;
        Ok(watch_tx)
    }

    /// Has a thread take down the packet filter of a server before this one, as soon as what it left is gone: nobody else would. It
    /// ends when this server needs the packet filter itself.
    fn clear_up(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::downgrade(self);
        thread::Builder::new().name("packet filter".into()).spawn(move || {
            loop {
                thread::sleep(CLEAR_UP);
                let Some(shared) = shared.upgrade() else { return };
                let standing = shared.wall.lock();
                if standing.is_some() {
                    return;
                }
                match shared.host.lower(None) {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(error = ?error, "an old packet filter stays: {error}");
                        return;
                    }
                }
            }
        })?;
        Ok(())
    }

    fn lower(&self) -> Result<bool, Error> {
        let mut standing = self.wall.lock();
        self.host.lower(standing.take().map(|standing| standing.wall))
    }

    /// Makes the links of the next slot that nobody has: neither this server nor another one.
    fn take_slot(&self, host: &mut Netlink, namespace: &Namespace, sandbox: &SandboxId) -> Result<Slot, Error> {
        for _ in 0..SLOTS {
            let slot = Slot::nth(self.turn.fetch_add(1, Ordering::Relaxed));
            match host.carry_out(slot.create(namespace.file.as_fd())) {
                Ok(()) => {
                    self.leaving.lock().remove(&slot.name());
                    self.older.lock().retain(|_, name| *name != slot.name());
                    return Ok(slot);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    return Err(Error::Kernel { sandbox: sandbox.clone(), what: "make the links", source });
                }
            }
        }
        Err(Error::Full)
    }
}

/// Returns the names of all sandboxes' links that there are, by their aliases.
fn older() -> io::Result<BTreeMap<String, String>> {
    let mut host = Netlink::open()?;
    let mut found = BTreeMap::new();
    for name in wall::links()? {
        // One that is gone by now, or cannot be read, is not waited for in the end.
        let alias = host.ask(link::by_name(&name)).ok().and_then(link::alias);
        found.extend(alias.map(|alias| (alias, name)));
    }
    Ok(found)
}
