//! What sandboxes reach and what reaches them, each in a host of its own: see `world`.

mod pasta;
mod world;

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use innkeep_testkit::wait_for;
use innkeep_types::SandboxId;

use super::attachment::Attachment;
use super::public::PublicNetwork;
use world::{HOST, NAMESERVER, PUBLIC, World, ask, assert_refused, in_a_new_host, inside, ip, nft, reach};

/// What a sandbox must not reach, besides the host and other sandboxes. All of it listens in the world.
const FORBIDDEN: [Ipv4Addr; 6] = [
    Ipv4Addr::new(10, 9, 9, 9),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(172, 20, 1, 1),
    Ipv4Addr::new(192, 168, 55, 1),
];

fn network(locks: &Path) -> PublicNetwork {
    PublicNetwork::with_locks(&[IpAddr::V4(NAMESERVER)], locks).unwrap()
}

async fn open(network: &PublicNetwork) -> Attachment {
    network.open(&SandboxId::generate(), None).await.unwrap()
}

fn web(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::new(address.into(), 80)
}

/// Takes the first wall away, as if the sandbox had broken it: everything is routed to the host.
fn without_routes(sandbox: &Path) {
    inside(sandbox, || {
        for range in super::REFUSED.map(super::written) {
            ip(&format!("route delete unreachable {range}"));
        }
    });
}

#[test]
fn a_sandbox_reaches_the_public_internet_and_its_nameserver_only() {
    in_a_new_host(async |world: World| {
        let network = network(world.locks());
        let (one, other) = (open(&network).await, open(&network).await);
        let (sandbox, neighbour) = (one.path(), other.path());
        assert_eq!(one.resolv_conf(), format!("nameserver {NAMESERVER}\n"));

        let seen_as = reach(&sandbox, web(PUBLIC)).await.unwrap();
        assert_eq!(seen_as, HOST.to_string(), "the world sees the host");
        assert_eq!(
            ask(&sandbox, NAMESERVER).await.unwrap(),
            "answer",
            "a private address, because it is the nameserver"
        );

        assert_eq!(ask(&sandbox, FORBIDDEN[0]).await.unwrap_err().kind(), std::io::ErrorKind::HostUnreachable);

        let addresses = [one.slot.host(), other.slot.host(), other.slot.inside(), HOST, Ipv4Addr::new(192, 168, 77, 2)];
        let _listener = inside(&neighbour, || std::net::TcpListener::bind("0.0.0.0:80").unwrap());
        for routed_to_the_host in [false, true] {
            if routed_to_the_host {
                without_routes(&sandbox);
            }
            for address in FORBIDDEN.into_iter().chain(addresses).chain([NAMESERVER]) {
                assert_refused(&sandbox, web(address)).await;
            }
        }
        assert_eq!(world.visitors(), HashSet::from([PUBLIC]), "what listens was reached there only");

        one.release();
        other.release();
        network.shutdown().await;
    });
}

#[test]
fn there_is_no_ipv6_beyond_the_sandbox() {
    in_a_new_host(async |world: World| {
        let network = network(world.locks());
        let one = open(&network).await;
        let host_end = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", one.slot.name());
        assert_eq!(fs::read_to_string(host_end).unwrap(), "1\n");
        let addresses = inside(&one.path(), || fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap());
        assert!(addresses.lines().all(|line| line.ends_with(" lo")), "{addresses}");
        let refused = assert_refused(&one.path(), "[2001:db8::7]:80".parse().unwrap()).await;
        assert_eq!(refused.kind(), std::io::ErrorKind::NetworkUnreachable);
        one.release();
        network.shutdown().await;
    });
}

#[test]
fn forged_senders_are_dropped() {
    in_a_new_host(async |world: World| {
        let network = network(world.locks());
        let one = open(&network).await;
        let sandbox = one.path();
        let send = |from: Ipv4Addr, text: &'static [u8]| {
            inside(&sandbox, || UdpSocket::bind((from, 0)).unwrap().send_to(text, (PUBLIC, 53)).unwrap());
        };
        for forged in ["203.0.113.77", "10.223.31.1"] {
            inside(&sandbox, || ip(&format!("address add {forged}/32 dev eth0")));
            send(forged.parse().unwrap(), b"forged");
        }
        send(one.slot.inside(), b"honest");
        wait_for("a question", Duration::from_secs(5), || !world.questions().is_empty()).await;
        assert_eq!(world.questions(), [(b"honest".to_vec(), HOST)]);
        one.release();
        network.shutdown().await;
    });
}

#[test]
fn nothing_comes_in_to_a_sandbox() {
    in_a_new_host(async |world: World| {
        let network = network(world.locks());
        let one = open(&network).await;
        let (sandbox, address) = (one.path(), web(one.slot.inside()));
        let listener = inside(&sandbox, || std::net::TcpListener::bind("0.0.0.0:80").unwrap());
        listener.set_nonblocking(true).unwrap();
        inside(world.path(), || ip(&format!("route add {} via {HOST}", super::written(super::link::BLOCK))));
        for from in [Path::new("/proc/thread-self/ns/net"), world.path()] {
            assert_refused(from, address).await;
        }
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        one.release();
        network.shutdown().await;
    });
}

#[test]
fn every_sandbox_gets_a_slot_of_its_own_and_taken_names_are_left_alone() {
    in_a_new_host(async |world: World| {
        let (here, there) = (network(world.locks()), network(world.locks()));
        let first = open(&here).await;
        let taken = u16::from_str_radix(&first.slot.name()["ik-".len()..], 16).unwrap() + 1;
        let taken = super::link::Slot::nth(taken).name();
        ip(&format!("link add {taken} type veth peer name other"));
        let (second, third) = tokio::join!(open(&here), open(&there));
        let slots = HashSet::from([first.slot.name(), second.slot.name(), third.slot.name()]);
        assert_eq!(slots.len(), 3);
        assert!(!slots.contains(&taken));
        ip(&format!("link delete {taken}"));
        for attachment in [first, second, third] {
            attachment.release();
        }
        here.shutdown().await;
        there.shutdown().await;
    });
}

#[test]
fn everything_is_gone_when_the_last_server_and_sandbox_are() {
    in_a_new_host(async |world: World| {
        let (here, there) = (network(world.locks()), network(world.locks()));
        assert_eq!(nft("list tables"), "", "nothing is done before a sandbox needs it");
        assert!(here.caveats().iter().any(|caveat| caveat.contains("ip_forward")), "{:?}", here.caveats());

        let (one, other) = (open(&here).await, open(&there).await);
        assert!(nft("list chain inet innkeep only_ours").contains("drop"));
        assert_eq!(world::forwarding(), "1");
        one.release();
        here.shutdown().await;
        assert_eq!(nft("list tables"), "table inet innkeep\n", "the other server needs it");

        // The other server stops, and its sandbox lives on.
        let sandbox = other.path();
        there.shutdown().await;
        assert_eq!(nft("list tables"), "table inet innkeep\n", "the sandbox needs it");
        reach(&sandbox, web(PUBLIC)).await.unwrap();
        assert_refused(&sandbox, web(HOST)).await;

        // Its last holder goes: so does its link, by itself, and the next server clears up.
        drop(other);
        wait_for("the link's end", Duration::from_secs(10), || world::our_links().is_empty()).await;
        network(world.locks()).shutdown().await;
        assert_eq!(nft("list tables"), "");
        assert_eq!(world::forwarding(), "0");
    });
}

#[test]
fn rules_that_somebody_flushed_are_back_before_the_next_sandbox() {
    in_a_new_host(async |world: World| {
        let network = network(world.locks());
        let one = open(&network).await;
        nft("flush ruleset");
        let other = open(&network).await;
        for sandbox in [&one, &other] {
            reach(&sandbox.path(), web(PUBLIC)).await.unwrap();
            assert_refused(&sandbox.path(), web(HOST)).await;
        }
        assert!(nft("list chain inet innkeep only_ours").contains("drop"));
        one.release();
        other.release();
        network.shutdown().await;
        assert_eq!(world::forwarding(), "0");
    });
}

#[test]
fn rules_that_somebody_flushed_are_soon_back_for_running_sandboxes() {
    in_a_new_host(async |world: World| {
        let network = network(world.locks());
        let one = open(&network).await;
        nft("flush ruleset");
        let is_back = || nft("list tables").contains("inet innkeep");
        wait_for("the packet filter", Duration::from_secs(5), is_back).await;
        assert_refused(&one.path(), web(HOST)).await;
        one.release();
        network.shutdown().await;
        assert_eq!(nft("list tables"), "");
    });
}

#[test]
fn a_server_that_takes_sandboxes_over_looks_after_their_rules() {
    in_a_new_host(async |world: World| {
        let before = network(world.locks());
        let (sandbox, without) = (SandboxId::generate(), SandboxId::generate());
        let adopted = before.open(&sandbox, None).await.unwrap();
        drop(before);

        let network = network(world.locks());
        nft("flush ruleset");
        network.adopted(&without).unwrap();
        assert_eq!(nft("list tables"), "", "a sandbox without a network needs no rules");
        network.adopted(&sandbox).unwrap();
        assert_refused(&adopted.path(), web(HOST)).await;
        nft("flush ruleset");
        let is_back = || nft("list tables").contains("inet innkeep");
        wait_for("the packet filter", Duration::from_secs(5), is_back).await;
        drop(adopted);
        network.release_older(&sandbox);
        network.shutdown().await;
        assert_eq!(nft("list tables"), "");
    });
}

#[test]
fn what_a_killed_server_left_is_gone_soon_after_its_links() {
    in_a_new_host(async |world: World| {
        let before = network(world.locks());
        let left = open(&before).await;
        drop(before);

        let _network = network(world.locks());
        assert_eq!(nft("list tables"), "table inet innkeep\n", "a sandbox may need it");
        drop(left);
        let is_down = || nft("list tables").is_empty() && world::forwarding() == "0";
        wait_for("the packet filter's end", Duration::from_secs(10), is_down).await;
    });
}

#[test]
fn the_next_server_waits_for_older_links_and_switches_off_forwarding() {
    in_a_new_host(async |world: World| {
        let before = network(world.locks());
        let sandbox = SandboxId::generate();
        let adopted = before.open(&sandbox, None).await.unwrap();
        drop(before);

        let network = network(world.locks());
        let one = open(&network).await;
        nft("flush ruleset");
        let other = open(&network).await;
        assert!(nft("list chain inet innkeep only_ours").contains("drop"));
        [one, other].into_iter().for_each(Attachment::release);
        drop(adopted);
        network.release_older(&sandbox);
        network.shutdown().await;
        assert_eq!(world::forwarding(), "0");
    });
}

#[test]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn a_network_is_ready_before_its_sandbox_could_be() {
    in_a_new_host(async |world: World| {
        let network = network(world.locks());
        // All are held, so that the kernel is not busy with removing some: that costs as much as it does to make them.
        let mut held = vec![open(&network).await];
        let mut alone = Vec::new();
        for _ in 0..50 {
            let start = tokio::time::Instant::now();
            held.push(open(&network).await);
            alone.push(start.elapsed());
        }
        alone.sort();
        println!("open, one at a time: p50 {:?}, p90 {:?}, worst {:?}", alone[25], alone[45], alone[49]);
        let mut together = Vec::new();
        for _ in 0..7 {
            let mut opened = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let network = network.clone();
                opened.spawn(async move {
                    let start = tokio::time::Instant::now();
                    let attachment = open(&network).await;
                    (start.elapsed(), attachment)
                });
            }
            for (elapsed, attachment) in opened.join_all().await {
                together.push(elapsed);
                held.push(attachment);
            }
        }
        together.sort();
        println!("open, eight at a time: p50 {:?}, p90 {:?}, worst {:?}", together[28], together[50], together[55]);
        held.into_iter().for_each(Attachment::release);
        // Far above what it takes on an idle machine, below what the wait for all processors costs when links are moved.
        assert!(alone[25] < Duration::from_millis(50), "{alone:?}");
        network.shutdown().await;
    });
}
