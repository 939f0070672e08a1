"""Pairs of sessions in containers, of one runtime and of two: what one keeps, the other does not find."""

import os
from dataclasses import dataclass, field

import pytest

from harness import Agent, new_session
from hostile import REFUSED, World


@dataclass
class Pair:
    """Who looks, and who has something to hide."""

    world: World
    hider: Agent
    sessions: dict[str, str] = field(default_factory=lambda: {"mine": new_session(), "theirs": new_session()})

    def agent(self, whose: str) -> Agent:
        return self.world.agent if whose == "mine" else self.hider

    def __call__(self, whose: str, do: str, **arguments) -> dict:
        return self.agent(whose).ask({"do": do, **arguments}, self.sessions[whose])

    def pids(self) -> list[int]:
        return [self.world.pid(self.agent(whose), session) for whose, session in self.sessions.items()]


@pytest.fixture(params=["one runtime", "two runtimes"])
def pair(world, request):
    pair = Pair(world, world.agent if request.param == "one runtime" else world.other)
    for whose in pair.sessions:
        pair(whose, "facts")
    return pair


def test_a_pair_shares_no_file(world, pair):
    """T45: neither in the writable layer nor in temporary directories nor in shared memory."""
    word = os.urandom(8).hex()
    written = pair("theirs", "remember", word=word)["result"]
    assert {"/tmp", "/var/tmp", "/dev/shm"} <= set(written), written
    assert set(pair("theirs", "search", word=word)["result"]) >= {f"{place}/kept" for place in written}
    assert pair("mine", "search", word=word)["result"] == []


def test_a_pair_shares_no_process(pair):
    """T45: neither sees or signals those of the other, whose numbers are even the same."""
    pair("theirs", "fork_and_forget", count=5)
    assert len(pair("theirs", "everybody")["result"]) == 6
    assert len(pair("mine", "everybody")["result"]) == 1
    mine, theirs = pair.pids()
    assert pair("mine", "kill_some", pids=[theirs], number=0)["result"] == []
    assert pair("theirs", "kill_some", pids=[mine], number=0)["result"] == []


def test_a_pair_shares_no_memory(pair):
    """T45: nor a segment of System V shared memory."""
    key = int.from_bytes(os.urandom(3), "big") + 1
    assert "result" in pair("theirs", "share_memory", key=key)
    assert "result" in pair("theirs", "find_shared_memory", key=key)
    assert pair("mine", "find_shared_memory", key=key)["errno"] in ("ENOENT", *REFUSED)


def test_a_pair_shares_no_network(pair):
    """T45: each has the whole of its own loopback."""
    for whose in ("mine", "theirs"):
        assert "result" in pair(whose, "listen", port=9998)
    pair("theirs", "listen", port=9997)
    assert pair("mine", "connect", host="127.0.0.1", port=9997)["errno"] == "ECONNREFUSED"


def test_a_pair_shares_no_namespace_and_no_environment(world, pair):
    """T45: in the host's view, every namespace of the one is another than that of the other and of the host."""
    mine, theirs = pair.pids()
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        namespaces = {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (mine, theirs, "self")}
        assert len(namespaces) == 3, (kind, namespaces)
    environments = [pair(whose, "facts")["result"]["environment"] for whose in ("mine", "theirs")]
    assert ("OWN" in environments[1]) == (pair.hider is world.agent)
    assert world.server.key.secret_key not in str(environments)
