//! Which addresses are connected to. They are looked at after the name's look-up, and just those are dialled: a name that answers
//! otherwise the next time gains nothing.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::Error;

/// Where clouds answer questions about their machines, credentials included, besides link-local addresses: Alibaba, Oracle, Azure,
/// and AWS over IPv6. Source: their manuals.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What is not public of IPv4, but for [`METADATA`]. Source: IANA IPv4 special-purpose address registry, and multicast.
const NOT_PUBLIC_V4: [IpRange; 14] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// All of IPv6 that is public, but for [`NOT_PUBLIC_V6`]. Source: IANA IPv6 address space.
const GLOBAL_V6: IpRange = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What is not public of that: protocol assignments (Teredo among them), documentation. Source: IANA IPv6 special-purpose address
/// registry.
const NOT_PUBLIC_V6: [IpRange; 3] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// A network: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange {
    first: IpAddr,
    bits: u8,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> IpRange {
    IpRange { first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], bits: u8) -> IpRange {
    IpRange { first: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), bits }
}

/// Why a text is no range.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address or range of addresses, such as 10.0.0.0/8 or fd00::/8")]
pub struct BadRange(String);

impl IpRange {
    /// The addresses of this machine to itself.
    pub const LOOPBACK: [Self; 2] = [v4(127, 0, 0, 0, 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

    /// Tells whether `ip` is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.first, ip) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                let differing = first.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => {
                let differing = first.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl FromStr for IpRange {
    type Err = BadRange;
    fn from_str(text: &str) -> Result<Self, BadRange> {
        let bad = || BadRange(text.to_owned());
        let (first, bits) = text.split_once('/').map_or((text, None), |(first, bits)| (first, Some(bits)));
        let first: IpAddr = first.parse().map_err(|_| bad())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| bad()))?;
        if bits > most { Err(bad()) } else { Ok(Self { first, bits }) }
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Which addresses a client connects to.
#[derive(Debug, Clone, Default)]
pub enum Reach {
    /// All.
    #[default]
    Anywhere,
    /// Link-local and metadata addresses only of these hosts, as `HOST` or `HOST:PORT`: what is asked for, or sent on to, comes from
    /// others than the operator.
    BeyondLinkLocal(HashSet<String>),
    /// Public ones with TLS; and these, with or without, of which loopback may always be without.
    Public {
        /// What is reached besides.
        besides: Vec<IpRange>,
        /// Whether what is not loopback among them may be spoken to without TLS.
        plain_http: bool,
    },
}

impl Reach {
    /// Returns those of the addresses of `host` that are connected to with TLS.
    pub(crate) fn among(&self, found: Vec<SocketAddr>, host: &str, authority: &str) -> Result<Vec<SocketAddr>, Error> {
        let host = || host.to_owned();
        match self {
            Self::Anywhere => Ok(found),
            Self::BeyondLinkLocal(except) if except.contains(authority) => Ok(found),
            Self::BeyondLinkLocal(_) => select(found, |ip| !is_link_local(ip), || Error::LinkLocal { host: host() }),
            Self::Public { besides, .. } => {
                select(found, |ip| is_public(ip) || is_in(besides, ip), || Error::Private { host: host() })
            }
        }
    }

    /// The same without TLS.
    pub(crate) fn plain(&self, found: Vec<SocketAddr>, host: &str, authority: &str) -> Result<Vec<SocketAddr>, Error> {
        let addresses = self.among(found, host, authority)?;
        let Self::Public { besides, plain_http } = self else { return Ok(addresses) };
        let may_be_plain = |ip: IpAddr| is_in(besides, ip) && (*plain_http || ip.is_loopback());
        select(addresses, may_be_plain, || Error::PlainHttp { authority: authority.to_owned() })
    }
}

/// Returns the addresses that may be, unless all were dropped.
fn select(
    found: Vec<SocketAddr>,
    may_be: impl Fn(IpAddr) -> bool,
    refusal: impl Fn() -> Error,
) -> Result<Vec<SocketAddr>, Error> {
    let had_any = !found.is_empty();
    let addresses: Vec<_> = found.into_iter().filter(|address| may_be(address.ip().to_canonical())).collect();
    if addresses.is_empty() && had_any { Err(refusal()) } else { Ok(addresses) }
}

fn is_in(ranges: &[IpRange], ip: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(ip))
}

/// Tells whether `ip` is of this machine's link, or one that clouds keep for their metadata.
fn is_link_local(ip: IpAddr) -> bool {
    METADATA.contains(&ip)
        || match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
}

fn is_public(ip: IpAddr) -> bool {
    if METADATA.contains(&ip) {
        return false;
    }
    match ip {
        IpAddr::V4(_) => !is_in(&NOT_PUBLIC_V4, ip),
        // What leads to an IPv4 address is as public as that: translation (RFC 6052) and 6to4 (RFC 3056).
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, a, b] => is_public(embedded(a, b)),
            [0x2002, a, b, ..] => is_public(embedded(a, b)),
            _ => GLOBAL_V6.contains(ip) && !is_in(&NOT_PUBLIC_V6, ip),
        },
    }
}

fn embedded(high: u16, low: u16) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse::<IpAddr>().unwrap().to_canonical()
    }

    #[test]
    fn link_local_and_metadata_addresses_are_known_in_every_spelling() {
        for text in
            ["169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "fe80::1", "100.100.100.200", "fd00:ec2::254"]
        {
            assert!(is_link_local(ip(text)), "{text}");
        }
        for text in ["169.253.0.1", "127.0.0.1", "10.0.0.1", "::1", "fd00::1", "2001:db8::1"] {
            assert!(!is_link_local(ip(text)), "{text}");
        }
    }

    #[rustfmt::skip]
    #[test]
    fn what_is_not_public_is_known_in_every_spelling() {
        for text in [
            "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255", "192.0.0.192", "192.168.1.1",
            "198.19.0.1", "224.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200", "203.0.113.7",
            "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
            "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:1::1", "2001:db8::1",
        ] {
            assert!(!is_public(ip(text)), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1", "2001:4860::1"] {
            assert!(is_public(ip(text)), "{text}");
        }
    }

    #[test]
    fn ranges_are_read_and_hold_what_they_say() {
        let check = |range: &str, inside: &str, outside: &str| {
            let range: IpRange = range.parse().unwrap();
            assert!(range.contains(ip(inside)) && !range.contains(ip(outside)), "{range}");
        };
        check("10.2.0.0/16", "10.2.255.255", "10.3.0.0");
        check("127.0.0.1", "127.0.0.1", "127.0.0.2");
        check("fd00::/8", "fdff::1", "fe00::1");
        check("0.0.0.0/0", "8.8.8.8", "::1");
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "example.com", "10.0.0.0/-1"] {
            assert!(bad.parse::<IpRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn public_reach_drops_what_is_not_and_refuses_when_nothing_is_left() {
        let reach = |besides: &[&str], plain_http| Reach::Public {
            besides: besides.iter().map(|range| range.parse().unwrap()).collect(),
            plain_http,
        };
        let at = |ips: &[&str]| ips.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect::<Vec<_>>();
        let n = |result: Result<Vec<SocketAddr>, Error>| result.map(|found| found.len()).map_err(|e| e.to_string());
        let private = Err("idp.example has no public address".to_owned());
        let plain = Err("idp.example would be spoken to without TLS".to_owned());
        let among = |reach: &Reach, ips: &[&str]| n(reach.among(at(ips), "idp.example", "idp.example"));
        let plainly = |reach: &Reach, ips: &[&str]| n(reach.plain(at(ips), "idp.example", "idp.example"));

        let strict = reach(&[], false);
        assert_eq!(among(&strict, &["1.1.1.1", "10.0.0.1", "::ffff:127.0.0.1"]), Ok(1));
        assert_eq!(among(&strict, &["10.0.0.1", "::ffff:169.254.169.254"]), private);
        assert_eq!(plainly(&strict, &["1.1.1.1"]), plain);
        assert_eq!(plainly(&strict, &["127.0.0.1"]), private);

        let some = reach(&["10.0.0.0/8", "127.0.0.0/8"], false);
        assert_eq!(among(&some, &["10.0.0.1", "192.168.0.1"]), Ok(1));
        assert_eq!(plainly(&some, &["10.0.0.1", "127.0.0.1"]), Ok(1));
        assert_eq!(plainly(&some, &["10.0.0.1"]), plain);
        assert_eq!(plainly(&reach(&["10.0.0.0/8"], true), &["10.0.0.1"]), Ok(1));
        assert_eq!(plainly(&reach(&["10.0.0.0/8"], true), &["1.1.1.1"]), plain);
    }
}
