"""Hostile code in a container: whom it reaches without egress, and whom with egress to the public internet."""

import ipaddress
import itertools
import json
import socket
import subprocess

import pytest

from harness import AGENTS, IS_ROOT, new_session, wait_for
from hostile import REFUSED, bystander_answers, need_public_network

NOBODY = ("EINVAL", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "ETIMEDOUT", "timed out", "None", *REFUSED)
METADATA = [("169.254.169.254", 80), ("169.254.170.2", 80), ("169.254.170.23", 80), ("fd00:ec2::254", 80), ("100.100.100.200", 80)]
PRIVATE = [("10.0.0.1", 53), ("172.16.0.1", 53), ("192.168.0.1", 53), ("100.64.0.1", 53), ("fd00::1", 53), ("fe80::1", 53)]
# What stands for the router in a sandbox of an ordinary user.
PASTA_ROUTER = "192.0.0.6"

# What the hostile agent calls itself in every answer.
AGENT = "BaseHTTP/"


def own_addresses() -> list[str]:
    """Every address that this host has, also those that it shows to sandboxes."""
    shown = subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True)
    return [each["local"] for link in json.loads(shown.stdout) for each in link.get("addr_info", []) if "local" in each]


def server_port(world) -> int:
    return int(world.server.url.rsplit(":", 1)[1])


def test_without_egress_there_is_only_a_loopback_of_its_own(world):
    """T27: no other interface, nothing of the host on loopback, no way out, in IPv4 and IPv6."""
    assert world.gain("interfaces") == ["lo"]
    for port in (server_port(world), world.secrets.port):
        for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1", *own_addresses()):
            world.is_refused("connect", *NOBODY, host=host, port=port)
    for host, port in METADATA + PRIVATE + [("192.0.2.1", 80), ("2001:db8::1", 80)]:
        world.is_refused("connect", *NOBODY, host=host, port=port)
    world.is_refused("send_datagram", *NOBODY, host="192.0.2.1", port=53)


def test_ports_and_names_of_other_sessions_are_not_reached_without_egress(world):
    """T27: what one session listens on, another cannot connect to."""
    for agent, session in ((world.agent, world.victim), (world.other, world.stranger)):
        assert "result" in world.attack("listen", session=session, agent=agent, port=9999)
        assert "result" in world.attack("listen_on_name", session=session, agent=agent, name="inside")
        assert "result" in world.attack("connect_to_name", session=session, agent=agent, name="inside")
    world.is_refused("connect", *NOBODY, host="127.0.0.1", port=9999)
    world.is_refused("connect_to_name", *NOBODY, name="inside")


# --- egress to the public internet -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def public(world):
    """The hostile agent with egress, and two of its sessions with their addresses."""
    need_public_network(world.is_rootless)
    agent = world.server.deploy(AGENTS / "hostile", settings={"egress": "public"})
    sessions = [new_session(), new_session()]
    addresses = [agent.ask({"do": "addresses"}, session)["result"] for session in sessions]
    return agent, sessions, addresses


def reached(agent, session, targets) -> list:
    return agent.ask({"do": "connect_to_all", "addresses": targets}, session)["result"]


def test_with_egress_the_host_is_not_reached(world, public):
    """T40: on no address that it has, not even the one that a sandbox sees as its router, in IPv4 and IPv6."""
    agent, [session, _], _ = public
    hosts = [host for host in own_addresses() if not host.startswith("fe80")] + ["127.0.0.1", "::1"]
    targets = [(host, port) for host in hosts for port in (world.secrets.port, server_port(world))]
    assert reached(agent, session, targets) == []
    world.secrets.listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        world.secrets.listener.accept()


def test_with_egress_private_and_metadata_addresses_are_not_reached(public):
    """T41: link-local, metadata, private and shared ranges."""
    agent, [session, _], _ = public
    assert reached(agent, session, METADATA + PRIVATE) == []
    for host, port in (("169.254.169.254", 53), ("10.0.0.1", 53)):
        answer = agent.ask({"do": "send_datagram", "host": host, "port": port}, session)
        assert answer.get("result") is None, answer


def test_with_egress_other_sessions_are_not_reached(world, public):
    """T42: neither their agent's port nor another, in both directions."""
    agent, sessions, addresses = public
    for session in sessions:
        assert "result" in agent.ask({"do": "listen", "port": 9999}, session)
    if world.is_rootless:
        # All have the same address. What might lead to another's is what the host has, and what stands for the router.
        assert addresses[0] == addresses[1]
        hosts = [host for host in own_addresses() if not is_every_namespaces_own(host)] + [PASTA_ROUTER]
        ways = [hosts, hosts]
    else:
        assert addresses[0] != addresses[1]
        ways = [[address] for address in reversed(addresses)]
        assert [reached(agent, session, [(way, 8080), (way, 9999)]) for session, [way] in zip(sessions, ways)] == [[], []]
    # The network of a host may answer for any address: what counts is that no session did, and none was asked.
    for session, hosts in zip(sessions, ways):
        for host, port in itertools.product(hosts, (8080, 9999)):
            assert AGENT not in str(agent.ask({"do": "connect", "host": host, "port": port, "seconds": 1}, session))
    assert [agent.ask({"do": "was_visited"}, session)["result"] for session in sessions] == [False, False]
    # A control: by their own loopback both would have been noticed.
    loopback = lambda port, seconds: agent.ask({"do": "connect", "host": "127.0.0.1", "port": port, "seconds": seconds}, sessions[0])
    own = [loopback(8080, 20), loopback(9999, 1)]  # who listens on the other answers nothing
    assert AGENT in str(own[0]) and agent.ask({"do": "was_visited"}, sessions[0])["result"], own


def is_every_namespaces_own(address: str) -> bool:
    """Loopback, where an agent reaches itself, and addresses of a link, that mean nothing without its name."""
    address = ipaddress.ip_address(address)
    return address.is_loopback or address.is_link_local


def test_with_egress_the_world_is_reached_and_names_are_found(world, public):
    """T43: a control: what is refused above is refused by a wall, and not for want of a network."""
    agent, [session, _], _ = public
    try:
        socket.create_connection(("deb.debian.org", 80), timeout=5).close()
    except OSError as error:
        pytest.skip(f"this host itself does not reach the internet: {error}")
    with bystander_answers(world):
        assert agent.ask({"do": "look_up", "name": "deb.debian.org"}, session)["result"]
        assert "result" in agent.ask({"do": "connect", "host": "deb.debian.org", "port": 80, "seconds": 20}, session)


@pytest.mark.skipif(not IS_ROOT, reason="only root sees the links of the machine")
def test_a_session_s_link_goes_with_it(world, public):
    """T44: an interface on the host is there as long as its session."""
    if world.is_rootless:
        pytest.skip("an ordinary user makes no link on the host")
    agent, _, _ = public
    # Of this server alone: others of the machine make and remove theirs meanwhile.
    links = lambda: {name for name, sandbox in world.server.links().items() if sandbox}
    session, before = new_session(), links()
    agent.ask({"do": "facts"}, session)
    made = links() - before
    assert made, "a session with egress has a link"
    agent.stop(session)
    agent.wait_for_state(session, "Stopped")
    wait_for("the kernel to remove the link", lambda: not made & links())
