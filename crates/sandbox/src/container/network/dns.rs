//! Which nameservers sandboxes ask.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

use crate::driver::Unusable;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What the host's stub resolver itself asks. Source: systemd-resolved(8).
const BEHIND_THE_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The C library asks no more than these. Source: resolv.conf(5), MAXNS.
const MOST: usize = 3;

const FIX: &str = "name servers that sandboxes can reach in the settings, `dns = [\"1.1.1.1\"]`";

/// Returns the nameservers to use: those of the settings, or else the host's own as far as a sandbox can reach them.
pub(super) fn nameservers(configured: &[IpAddr]) -> Result<Vec<Ipv4Addr>, Unusable> {
    if !configured.is_empty() {
        return reachable(configured).map_err(|why| Unusable::new(format!("of the settings' `dns` {why}"), FIX));
    }
    let first = listed(Path::new(RESOLV_CONF));
    reachable(&first)
        .or_else(|why| reachable(&listed(Path::new(BEHIND_THE_STUB))).map_err(|_| why))
        .map_err(|why| Unusable::new(format!("of the nameservers in {RESOLV_CONF} {why}"), FIX))
}

/// Makes sure that the host itself has a nameserver that can be asked on behalf of sandboxes, by something that runs on the host.
/// Returns no address: whichever it is, it is asked.
pub(super) fn check_host() -> Result<Vec<Ipv4Addr>, Unusable> {
    if listed(Path::new(RESOLV_CONF)).iter().any(IpAddr::is_ipv4) {
        return Ok(Vec::new());
    }
    Err(Unusable::new(format!("of the nameservers in {RESOLV_CONF} none has an IPv4 address"), FIX))
}

/// Returns a `resolv.conf` with these.
pub(super) fn resolv_conf(nameservers: &[Ipv4Addr]) -> String {
    nameservers.iter().map(|address| format!("nameserver {address}\n")).collect()
}

/// Returns those that a sandbox can reach, or why it can reach none.
fn reachable(nameservers: &[IpAddr]) -> Result<Vec<Ipv4Addr>, &'static str> {
    let far: Vec<Ipv4Addr> = nameservers
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
        .filter(|address| !is_this_host(*address))
        .take(MOST)
        .collect();
    if far.is_empty() {
        Err("none has an IPv4 address outside this host, which sandboxes cannot reach")
    } else {
        Ok(far)
    }
}

/// A socket can be bound to just the addresses that are this host's.
fn is_this_host(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

fn listed(file: &Path) -> Vec<IpAddr> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(nameserver).collect()
}

fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, expect: &[&str]) {
        let found: Vec<IpAddr> = file.lines().filter_map(nameserver).collect();
        let expect: Vec<IpAddr> = expect.iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn nameservers_are_read_as_the_c_library_does() {
        check("nameserver 9.9.9.9\n nameserver\t8.8.8.8 # x\noptions edns0\n", &["9.9.9.9", "8.8.8.8"]);
        check("#nameserver 9.9.9.9\nnameservers 1.1.1.1\nnameserver\n", &[]);
        check("nameserver fd00::1\n", &["fd00::1"]);
    }

    #[test]
    fn only_nameservers_beyond_the_host_are_used() {
        let given = ["127.0.0.53", "fd00::1", "9.9.9.9"].map(|address| address.parse().unwrap());
        assert_eq!(nameservers(&given), Ok(vec![Ipv4Addr::new(9, 9, 9, 9)]));
        assert!(nameservers(&given[..2]).unwrap_err().fix.contains("dns ="));
    }
}
