//! Ranges of addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

/// A range. Ranges of one family have no addresses of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    address: IpAddr,
    /// Leading bits that count.
    n_bits: u32,
}

impl Net {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, n_bits) = match text.split_once('/') {
            Some((address, n_bits)) => (address, Some(n_bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let n_bits = match n_bits {
            Some(text) => Some(text).filter(is_number)?.parse().ok().filter(|n| *n <= most)?,
            None => most,
        };
        Some(Self { address, n_bits })
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let differ = u32::from(net) ^ u32::from(address);
                differ.leading_zeros() >= self.n_bits
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let differ = u128::from(net) ^ u128::from(address);
                differ.leading_zeros() >= self.n_bits
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(net: &str, address: &str, expect: bool) {
        assert_eq!(Net::parse(net).unwrap().contains(address.parse().unwrap()), expect, "{net} {address}");
    }

    #[test]
    fn leading_bits_are_compared() {
        check("203.0.113.0/24", "203.0.113.255", true);
        check("203.0.113.0/24", "203.0.114.0", false);
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3", "10.1.2.2", false);
        check("0.0.0.0/0", "255.1.2.3", true);
        check("0.0.0.0/0", "::1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("::/0", "127.0.0.1", false);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10.0.0/8", "host", "10.0.0.0/8/8"] {
            assert_eq!(Net::parse(bad), None, "{bad}");
        }
    }
}
