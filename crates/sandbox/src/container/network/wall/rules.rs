//! The packet filter's rules, as text for `nft`.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::super::{REFUSED, link, written};

/// Fails if there is no record that forwarding was switched on for our sake.
pub(super) const LIST_RECORD: [&str; 5] = ["list", "chain", "inet", "innkeep", "only_ours"];

/// Removes the table. The first line makes it one that can be removed.
pub(super) const REMOVE: &str = "add table inet innkeep\ndelete table inet innkeep\n";

/// Returns the rules as one transaction, which replaces those there are. Nameservers are added to those that other servers want.
///
/// What a sandbox is refused is rejected, not dropped: its program learns it at once. What comes to a sandbox unasked is dropped.
pub(super) fn ruleset(nameservers: &[Ipv4Addr], keep_others_in: bool) -> String {
    let ours = format!("\"{}*\"", link::PREFIX);
    let block = written(link::BLOCK);
    let refused = REFUSED.map(written).join(", ");
    let mut rules = format!(
        r#"
add table inet innkeep
add set inet innkeep nameservers {{ type ipv4_addr; }}

add chain inet innkeep forged {{ type filter hook prerouting priority raw; policy accept; }}
flush chain inet innkeep forged
add rule inet innkeep forged iifname {ours} meta nfproto ipv6 drop
add rule inet innkeep forged iifname {ours} fib saddr . iif oif missing drop

add chain inet innkeep to_host {{ type filter hook input priority filter; policy accept; }}
flush chain inet innkeep to_host
add rule inet innkeep to_host iifname {ours} reject with icmpx type admin-prohibited

add chain inet innkeep from_host {{ type filter hook output priority filter; policy accept; }}
flush chain inet innkeep from_host
# Without these a sandbox would not learn of a smaller packet size on the way, nor of what is rejected here.
add rule inet innkeep from_host oifname {ours} icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} accept
add rule inet innkeep from_host oifname {ours} drop

add chain inet innkeep through {{ type filter hook forward priority filter; policy accept; }}
flush chain inet innkeep through
add rule inet innkeep through iifname {ours} meta nfproto ipv6 drop
add rule inet innkeep through iifname {ours} oifname {ours} reject with icmp type admin-prohibited
add rule inet innkeep through iifname {ours} ip daddr @nameservers meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet innkeep through iifname {ours} ip daddr {{ {refused} }} reject with icmp type admin-prohibited
add rule inet innkeep through iifname {ours} accept
add rule inet innkeep through oifname {ours} ct state established,related accept
add rule inet innkeep through oifname {ours} drop

add chain inet innkeep translated {{ type nat hook postrouting priority srcnat; policy accept; }}
flush chain inet innkeep translated
add rule inet innkeep translated ip saddr {block} oifname != {ours} masquerade
"#
    );
    if !nameservers.is_empty() {
        let list = nameservers.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(rules, "add element inet innkeep nameservers {{ {list} }}");
    }
    if keep_others_in {
        let _ = write!(
            rules,
            r#"
add chain inet innkeep only_ours {{ type filter hook forward priority filter; policy accept; }}
flush chain inet innkeep only_ours
add rule inet innkeep only_ours iifname {ours} accept
add rule inet innkeep only_ours oifname {ours} accept
add rule inet innkeep only_ours meta nfproto ipv4 drop
"#
        );
    }
    rules
}

/// Returns the chains of others that drop what they do not know: `table ip filter, chain FORWARD`. `list` is `nft list chains`.
pub(super) fn forbidding(list: &str) -> Vec<String> {
    let (mut table, mut chain) = ("", "");
    let mut found = Vec::new();
    for line in list.lines().map(str::trim) {
        let opened = line.trim_end_matches('{').trim_end();
        if line.starts_with("table ") {
            table = opened;
        } else if line.starts_with("chain ") {
            chain = opened;
        } else if line.contains("hook forward") && line.contains("policy drop") {
            found.push(format!("{table}, {chain}"));
        }
    }
    found
}

/// Returns what to tell an operator about such a chain.
pub(super) fn advice(chain: &str) -> String {
    format!(
        "the host's own packet filter ({chain}) drops forwarded packets by default, and sandboxes' with them, unless it accepts \
         those from and to links {0}+ (with Docker: `iptables -I DOCKER-USER -i {0}+ -j ACCEPT` and the same with `-o`)",
        link::PREFIX
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_drop_by_default_are_found() {
        let list = "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n\
                    \tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n\tchain DOCKER {\n\t}\n}\n\
                    table ip other {\n\tchain f {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n";
        assert_eq!(forbidding(list), ["table ip filter, chain FORWARD"]);
        assert!(forbidding("").is_empty());
    }

    #[test]
    fn the_host_stays_no_router_for_others_where_it_was_none() {
        assert!(ruleset(&[], true).contains("only_ours"));
        assert!(!ruleset(&[], false).contains("only_ours"));
    }
}
