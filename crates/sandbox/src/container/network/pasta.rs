//! `public` as an ordinary user: the program `pasta` carries a sandbox's packets as if it had sent them itself.
//!
//! Weaker than root's: the routes inside are the only wall, and what the user's own processes reach by an address that the host got
//! after the launch, the sandbox reaches too. Source of the arguments: pasta(1) of 2023-03 (Debian 12) and of 2025-12.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use innkeep_protocol::walls::Network;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::{REFUSED, Range, dns, program, written};
use crate::driver::Unusable;

const TUN: &str = "/dev/net/tun";

/// Where the program's process is written down, in the directory of a sandbox.
const PID_FILE: &str = "pasta.pid";

/// What comes before the path of that file in the program's arguments. Nobody who looks at the file has both.
const PID_ARGUMENT: &str = "--pid";

/// The two addresses of every sandbox's link: its own, and the one that stands for the gateway and for the host's nameserver. They
/// are alone on it (31 bits), and from a block that no network routes, so that no neighbour of the host is reached by them: pasta
/// passes what is for the gateway on like anything else. Source: RFC 7335.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 6);
const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 7);

/// What no nameserver may be: all of its ports are open to sandboxes, and here they are what gives away the host's credentials.
/// Source: see [`REFUSED`].
const NO_NAMESERVERS: [Range; 4] = [
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
];

/// How often helpers without a name are looked for, should they not die. Source: our choice; three looks find the usual one and its fork.
const LOOKS: usize = 8;

/// How long a killed process may take to be gone. Source: our choice.
const DEATH: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A usable `pasta`.
#[derive(Debug, Clone)]
pub(crate) struct Pasta {
    program: PathBuf,
    /// Those of the settings. None: whatever the host asks, through pasta.
    nameservers: Vec<Ipv4Addr>,
}

impl Pasta {
    /// Looks for the program in `directories`, tries it, and finds out whether this user may make tunnels. `dns` are nameservers to
    /// use in place of the host's; one in a private network is then reached at every port. Blocks.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub(crate) fn find(directories: &[PathBuf], dns: &[IpAddr]) -> Result<Self, Unusable> {
        let program = program::find("pasta", directories)
            .ok_or_else(|| Unusable::new("the program `pasta` is not on this host", "install the package passt"))?;
        program::run(&program, &["--version"], "").map_err(|error| {
            Unusable::new(format!("`pasta` does not run here: {error}"), "reinstall the package passt")
        })?;
        OpenOptions::new().read(true).write(true).open(TUN).map_err(|error| {
            Unusable::new(
                format!("{TUN} cannot be opened by this user: {error}"),
                format!("as root, `modprobe tun` and `chmod 0666 {TUN}`, which is what distributions ship"),
            )
        })?;
        let nameservers = if dns.is_empty() { dns::check_host()? } else { dns::nameservers(dns).and_then(harmless)? };
        Ok(Self { program, nameservers })
    }

    /// Returns what is weaker than it may seem, one sentence each.
    pub(crate) fn caveats(&self) -> Vec<String> {
        let mut caveats = vec![
            "Rootless network: routes inside are its only wall, and there is no packet filter behind them.".to_owned(),
        ];
        let private: Vec<_> = self.nameservers.iter().filter(|nameserver| is_refused(**nameserver)).collect();
        if !private.is_empty() {
            caveats.push(format!(
                "Rootless network: sandboxes reach every port of the private addresses {private:?}, because the setting `dns` \
                 names them."
            ));
        }
        caveats
    }

    /// Returns how a sandbox with this directory gets its network, and its `/etc/resolv.conf`. Whoever carries it out must see to
    /// [`Pasta::end`] when the sandbox is gone.
    ///
    /// # Errors
    /// When the host's own addresses cannot be found, which are to be refused.
    pub(crate) fn plan(&self, directory: &Path) -> io::Result<(Network, String)> {
        let mut argv = vec![self.program.display().to_string()];
        argv.extend(["--quiet", "--config-net", "--ns-ifname", "eth0", "--ipv4-only"].map(String::from));
        // With an address and a gateway given, newer versions copy no other of the host's into the namespace.
        argv.extend(["--address".into(), INSIDE.to_string(), "--netmask".into(), "31".into()]);
        argv.extend(["--gateway".into(), GATEWAY.to_string()]);
        // Or the gateway's address would be the host's loopback.
        argv.push("--no-map-gw".into());
        let resolv_conf = if self.nameservers.is_empty() {
            // Also where that is the host's loopback. (Debian's version takes no other one here, whatever it is told.)
            argv.extend(["--dns-forward".into(), GATEWAY.to_string()]);
            dns::resolv_conf(&[GATEWAY])
        } else {
            dns::resolv_conf(&self.nameservers)
        };
        argv.extend(["--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra"].map(String::from));
        // No ports between the two loopbacks, in neither direction: by default there are.
        argv.extend(["-t", "none", "-u", "none", "-T", "none", "-U", "none"].map(String::from));
        argv.extend([PID_ARGUMENT.into(), pid_file(directory), "{pid}".into()]);
        let refused =
            self.nameservers.iter().fold(REFUSED.to_vec(), |ranges, nameserver| without(&ranges, *nameserver));
        let own = own_addresses()?.into_iter().map(|address| (address, 32));
        let unreachable = refused.into_iter().chain(own).map(written).collect();
        Ok((Network::Helper { argv, unreachable }, resolv_conf))
    }

    /// Ends the program of the sandbox with this directory, which does not always end by itself. Fine if there is none.
    ///
    /// # Cancel safety
    /// Once polled, the work is done to its end.
    pub(crate) async fn end(directory: &Path) -> io::Result<()> {
        let pid_file = pid_file(directory);
        tokio::task::spawn_blocking(move || end(&pid_file)).await.map_err(io::Error::other).flatten()
    }
}

/// Returns the nameservers, unless sandboxes must not reach one.
fn harmless(nameservers: Vec<Ipv4Addr>) -> Result<Vec<Ipv4Addr>, Unusable> {
    let harmful = |address: &&Ipv4Addr| NO_NAMESERVERS.iter().any(|range| contains(*range, **address));
    match nameservers.iter().find(harmful) {
        None => Ok(nameservers),
        Some(address) => Err(Unusable::new(
            format!(
                "{address} in the settings' `dns` is a link-local or metadata address, and without root a sandbox would \
                 reach all of its ports"
            ),
            "other name servers in the settings, `dns = [\"1.1.1.1\"]`, or none for the host's own, or a server run as root",
        )),
    }
}

fn is_refused(address: Ipv4Addr) -> bool {
    REFUSED.iter().any(|range| contains(*range, address))
}

fn pid_file(directory: &Path) -> String {
    directory.join(PID_FILE).display().to_string()
}

fn end(pid_file: &str) -> io::Result<()> {
    let written = match fs::read_to_string(pid_file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    match written.as_deref().and_then(|pid| pid.trim().parse().ok()).and_then(Pid::from_raw) {
        Some(pid) => kill(pid, pid_file)?,
        // Whoever started it may have been killed before it wrote the file.
        None => kill_unnamed(pid_file)?,
    }
    if written.is_some() { fs::remove_file(pid_file) } else { Ok(()) }
}

/// Kills every program that was told to write that file. It goes to the background by a fork, which has the same arguments: the one may
/// end while the other is not in the list that is looked through. So only two looks in a row that find nothing are believed.
fn kill_unnamed(pid_file: &str) -> io::Result<()> {
    let mut n_vain = 0;
    for _ in 0..LOOKS {
        n_vain = if kill_any(pid_file)? { 0 } else { n_vain + 1 };
        if n_vain == 2 {
            break;
        }
    }
    Ok(())
}

/// Kills those that are listed now, and tells whether there was one.
fn kill_any(pid_file: &str) -> io::Result<bool> {
    let mut was_there = false;
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && writes(pid, pid_file)
        {
            was_there = true;
            kill(pid, pid_file)?;
        }
    }
    Ok(was_there)
}

/// Tells whether `pid` is a program that was told to write that file.
fn writes(pid: Pid, pid_file: &str) -> bool {
    let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let arguments: Vec<_> = arguments.split(|byte| *byte == 0).collect();
    arguments.windows(2).any(|pair| pair == [PID_ARGUMENT.as_bytes(), pid_file.as_bytes()])
}

/// Kills `pid` if it is the program that was told to write that file, and not one that has its number by now.
fn kill(pid: Pid, pid_file: &str) -> io::Result<()> {
    let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        // The second, if it goes at this moment.
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(()),
        opened => opened?,
    };
    // Read after the process is held, so that both are of the same one. A dead one has no arguments.
    if !writes(pid, pid_file) {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(&process, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        sent => sent?,
    }
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&DEATH))?;
    // It is this process's child where this one takes orphans in. Else its parent is told.
    let _ = rustix::process::waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    Ok(())
}

/// Returns the host's own addresses that are not refused anyway. Source: the kernel's routes to itself, fib_trie.
fn own_addresses() -> io::Result<BTreeSet<Ipv4Addr>> {
    let own = local(&fs::read_to_string("/proc/thread-self/net/fib_trie")?);
    Ok(own.into_iter().filter(|address| !is_refused(*address)).collect())
}

/// An address stands in a line of its own, `|-- 192.0.2.1`, and what it is for in the next ones, `/32 host LOCAL`.
fn local(fib_trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut own = BTreeSet::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        match line.strip_prefix("|-- ") {
            Some(address) => last = address.parse().ok(),
            None if line.starts_with("/32 host LOCAL") => own.extend(last),
            None => {}
        }
    }
    own
}

/// Returns ranges that make up the same but for one address.
fn without(ranges: &[Range], address: Ipv4Addr) -> Vec<Range> {
    let (around, others): (Vec<Range>, _) = ranges.iter().partition(|range| contains(**range, address));
    // At every length from the range's to that of an address: the half in which the address is not.
    let halves = around.into_iter().flat_map(|(_, bits)| {
        (bits + 1..=32).map(move |bits| {
            let rest = 32 - u32::from(bits);
            (Ipv4Addr::from_bits((address.to_bits() >> rest ^ 1) << rest), bits)
        })
    });
    halves.chain(others).collect()
}

fn contains((first, bits): Range, address: Ipv4Addr) -> bool {
    let rest = 32 - u32::from(bits);
    first.to_bits() >> rest == address.to_bits() >> rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_addresses_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n        |-- 203.0.113.0\n           \
                    /24 link UNICAST\nLocal:\n        |-- 127.0.0.1\n           /32 host LOCAL\n        |-- 203.0.113.2\n           \
                    /32 host LOCAL\n        |-- 203.0.113.255\n           /32 link BROADCAST\n";
        assert_eq!(local(trie), BTreeSet::from([Ipv4Addr::LOCALHOST, Ipv4Addr::new(203, 0, 113, 2)]));
    }

    #[test]
    fn a_range_without_an_address_is_all_the_rest() {
        let private = [(Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(192, 168, 0, 0), 16)];
        let nameserver = Ipv4Addr::new(10, 0, 0, 2);
        let rest = without(&private, nameserver);
        assert_eq!(rest.len(), 25);
        let contained = |address: &str| rest.iter().any(|range| contains(*range, address.parse().unwrap()));
        assert!(!contained("10.0.0.2"));
        for address in ["10.0.0.0", "10.0.0.1", "10.0.0.3", "10.0.0.4", "10.255.255.255", "192.168.0.1"] {
            assert!(contained(address), "{address}");
        }
        assert!(!contained("11.0.0.0"));
        assert_eq!(without(&private, Ipv4Addr::new(1, 1, 1, 1)), private);
    }

    #[test]
    fn nameservers_that_would_open_metadata_services_are_refused() {
        for address in ["169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192"] {
            let refused = harmless(vec![Ipv4Addr::new(1, 1, 1, 1), address.parse().unwrap()]).unwrap_err();
            assert!(refused.why.contains(address), "{refused:?}");
        }
        for address in ["1.1.1.1", "10.0.0.2", "100.100.2.136", "192.168.1.1"] {
            harmless(vec![address.parse().unwrap()]).unwrap();
        }
    }

    /// Says the same to root and to others: what comes first is the program.
    #[test]
    fn what_lacks_is_named_with_what_to_install() {
        let directory = tempfile::tempdir().unwrap();
        let find = || Pasta::find(&[PathBuf::from("/nonexistent"), directory.path().to_owned()], &[]).unwrap_err();
        let missing = find();
        assert!(missing.why.contains("`pasta` is not on this host") && missing.fix.contains("passt"), "{missing:?}");
        // It is there, and does not run.
        std::os::unix::fs::symlink("/bin/false", directory.path().join("pasta")).unwrap();
        let broken = find();
        assert!(broken.why.contains("`pasta` does not run here: "), "{broken:?}");
        assert!(broken.fix.contains("reinstall the package passt"), "{broken:?}");
    }

    #[test]
    fn private_nameservers_are_told_of() {
        let caveats = |nameserver| Pasta { program: PathBuf::new(), nameservers: vec![nameserver] }.caveats();
        assert_eq!(caveats(Ipv4Addr::new(1, 1, 1, 1)).len(), 1);
        assert!(caveats(Ipv4Addr::new(10, 0, 0, 2))[1].contains("10.0.0.2"));
    }

    #[test]
    fn ranges_contain_their_ends_and_no_more() {
        let contained = |address: &str| is_refused(address.parse().unwrap());
        for address in
            ["10.255.255.255", "100.64.0.0", "100.127.255.255", "172.16.0.1", "172.31.255.255", "255.255.255.255"]
        {
            assert!(contained(address), "{address}");
        }
        for address in ["11.0.0.0", "100.128.0.0", "172.32.0.0", "1.1.1.1", "168.63.129.17", "223.255.255.255"] {
            assert!(!contained(address), "{address}");
        }
    }
}
