"""A server of an ordinary user: what it cannot promise, it refuses or says."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import harness
from harness import AGENTS, IS_ROOT, Server, clear_away, innkeep, new_session, new_user
from hostile import CAN_NEST, SETTINGS, need_public_network, server_as


def without_allowance() -> str | None:
    """What a server says that may not do without limits, if it does not start."""
    data_dir, user = Path(tempfile.mkdtemp(prefix="innkeep-e2e-")), new_user()
    server = Server.__new__(Server)
    try:
        server.__init__(data_dir, isolation="container", user=user)
        server.stop()
        return None
    except AssertionError as refused:
        assert "did not start" in str(refused), refused
        server.process.wait(30)  # it has said its last, and may not have ended yet
        return str(refused)
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        assert server.process.returncode in (0, 1)
        clear_away(data_dir, user)


@pytest.mark.skipif(not CAN_NEST, reason="this kernel lets ordinary users make no namespaces")
def test_a_server_without_limits_starts_only_where_that_is_allowed_and_says_so():
    """T46: refused by name and with the remedy; with the allowance, every session shows what is missing."""
    refused = without_allowance()
    if refused is None:
        pytest.skip("control groups are delegated to ordinary users here: nothing is missing")
    assert "allow_missing_limits" in refused and re.search("memory|processor|processes", refused), refused
    with server_as("rootless") as server:
        assert re.search("imit.*memory", server.stderr), server.stderr
        agent, session = server.deploy(AGENTS / "probe", settings=SETTINGS), new_session()
        agent.ask({"do": "facts"}, session)
        view = agent.view(session)
        assert view["tier"] == "container"
        caveats = " ".join(view["caveats"])
        assert re.search("ootless.*imit.*memory", caveats), view
        shown = innkeep("sessions", "inspect", session, data_dir=server.data_dir).stdout
        assert "ootless" in shown and re.search("imit.*memory", shown), shown


@pytest.mark.skipif(not IS_ROOT or not CAN_NEST, reason="only root hides files of the host from another user")
@pytest.mark.parametrize("hidden, lacks, fix", [
    ("pasta", "the program `pasta` is not on this host", "install the package passt"),
    ("/dev/net/tun", "/dev/net/tun cannot be opened by this user", "as root, `modprobe tun`"),
], ids=["no pasta", "no tunnel"])
def test_egress_that_cannot_be_had_is_refused_with_what_to_install(monkeypatch, tmp_path, hidden, lacks, fix):
    """T15: the version fails with reason and remedy, and what needs no network is served all the same."""
    if hidden != "pasta":
        need_public_network(is_rootless=True)  # what comes before it must not lack too
    # Where the server looks, what is no program covers the one, and what only root may open the other.
    closed = tmp_path / "closed"
    closed.touch(0o600)
    if path := shutil.which(hidden) or (hidden if os.path.exists(hidden) else None):
        cover = ["sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', "/dev/null" if hidden == "pasta" else closed, path]
        monkeypatch.setattr(harness, "with_tun", lambda node: ["unshare", "--mount", *cover])
    with server_as("rootless") as server:
        runtime = server.settled(server.create(AGENTS / "probe", settings={"egress": "public"})["agentRuntimeId"])
        assert runtime["status"] == "CREATE_FAILED", runtime
        reason = runtime["failureReason"]
        assert lacks in reason and fix in reason and "egress=none" in reason, reason
        agent = server.deploy(AGENTS / "probe", settings=SETTINGS)
        assert agent.ask({"do": "facts"}, new_session())["pid"]


@pytest.mark.skipif(not CAN_NEST, reason="this kernel lets ordinary users make no namespaces")
def test_what_stands_for_control_groups_still_holds_without_them():
    """T33: the number of processes is limited by the kernel's limit per user of a sandbox."""
    with server_as("rootless") as server:
        agent = server.deploy(AGENTS / "hostile", settings=SETTINGS | {"processes": 32})
        one, two = new_session(), new_session()
        assert agent.ask({"do": "facts"}, two)["result"]["pid"]
        forked = agent.ask({"do": "fork"}, one)["result"]
        assert forked["errno"] == "EAGAIN" and 0 < forked["count"] < 32, forked
        # Of its own, and not of all sessions of the same user together.
        assert agent.ask({"do": "fork", "limit": 20}, two)["result"] == {"count": 20, "errno": None}


def test_processes_of_a_rootless_server_have_no_powers_on_the_host():
    """T28: seen from the host, no process of a sandbox has a capability of the first user namespace."""
    with server_as("rootless") as server:
        agent, session = server.deploy(AGENTS / "probe", settings=SETTINGS), new_session()
        agent.ask({"do": "facts"}, session)
        pid = agent.view(session)["agentPid"]
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^CapEff:\s*0+$", status, re.MULTILINE), status
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE), status
        shown = subprocess.run(["readlink", f"/proc/{pid}/ns/user", "/proc/self/ns/user"], capture_output=True, text=True)
        assert len(set(shown.stdout.split())) == 2, shown
