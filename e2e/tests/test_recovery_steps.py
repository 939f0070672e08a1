"""A crash at every step of a start: the server, or the launcher, is killed as it enters a call of the kernel that makes something."""

import contextlib
import itertools
import os
import subprocess
import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness import AGENTS, IS_ROOT, new_session, wait_for
from hostile import need_public_network, server_of_kind
from machine import children
from test_recovery import assert_only_sessions_are_left, end_all_sessions

# What a start does to the machine, by who does it: records, directories, namespaces, mounts, links, processes, messages.
STEPS = {
    "server": ["mkdir", "mkdirat", "renameat", "fdatasync", "clone3", "unshare", "setns", "socket", "connect", "sendto", "sendmsg"],
    "launcher": [
        "mkdir", "mount", "mount_setattr", "pivot_root", "umount2", "symlink", "chown", "clone", "clone3", "unshare", "setns",
        "socketpair", "bind", "listen", "renameat", "sendmsg", "execve",
    ],
}

# How long a sweep may take once every step was met, seconds: the calls that come late among many are for a quick machine.
BUDGET = 12


@pytest.mark.skipif(not IS_ROOT, reason="only root watches the calls of every user")
@pytest.mark.parametrize("kind", ["container", "rootless container"])
def test_a_crash_at_every_step_of_a_start_leaves_nothing_behind(kind):
    """The first time that a thread makes a call, the second, the fourth, and so on, until a start survives that."""
    need_public_network(is_rootless=kind.startswith("rootless"))
    with server_of_kind(kind) as server:
        agent = server.deploy(AGENTS / "probe", settings={"egress": "public"})
        until = time.monotonic() + BUDGET
        crashed, steps = [], [(who, call) for who, calls in STEPS.items() for call in calls]
        for nth in map(lambda power: 2**power, itertools.count()):
            is_time = lambda: nth == 1 or time.monotonic() < until
            steps = [(who, call) for who, call in steps if is_time() and crash(agent, who, call, nth)]
            crashed += [(who, call, nth) for who, call in steps]
            if not steps:
                break
        print(f"{len(crashed)} crashes: {crashed}")
        met = {(who, call) for who, call, _ in crashed}
        assert {("server", "mkdir"), ("server", "sendmsg"), ("launcher", "mount"), ("launcher", "pivot_root")} <= met, met
        assert agent.ask({"do": "facts"}, new_session())["pid"]


def crash(agent, who: str, call: str, nth: int) -> bool:
    """Kills whoever of them is about to make the call for the `nth` time, during one start. Tells whether anybody was."""
    server = agent.server
    print(f"{who}, {call}, {nth}")  # shown if this fails
    launchers = wait_for("a launcher that waits", lambda: children(server.pid))
    with killed_at([server.pid] if who == "server" else launchers, call, nth) as calls:
        was_answered = False
        with contextlib.suppress(ClientError, BotoCoreError):
            was_answered = bool(agent.ask({"do": "facts"}, new_session()))
    if who == "server":
        server.kill()  # if it was another's fault; and it may die after the answer
        server.start()
    assert_only_sessions_are_left(server, agent)
    end_all_sessions(server, agent)
    return not was_answered or "killed by SIGKILL" in "".join(calls)


@contextlib.contextmanager
def killed_at(pids: list[int], call: str, nth: int):
    """These processes and their children to come die on entering their `nth` such call. Afterwards: the calls that there were."""
    calls = []
    watched = [argument for pid in pids for argument in ("--attach", str(pid))]
    rule = f"inject={call}:signal=KILL:when={nth}"
    with subprocess.Popen(
        ["strace", "--follow-forks", "--trace", call, "-e", rule, *watched], stderr=subprocess.PIPE, text=True
    ) as strace:
        try:
            wait_for("strace", lambda: strace.poll() is not None or all(map(is_watched, pids)))
            yield calls
        finally:
            strace.kill()  # on SIGTERM it may wait for a process that waits for it to take its dead threads
            calls += strace.stderr.readlines()


def is_watched(pid: int) -> bool:
    """Whether all of its threads are; or it is gone."""
    statuses = Path(f"/proc/{pid}/task").glob("*/status")
    try:
        return all("TracerPid:\t0\n" not in status.read_text() for status in statuses)
    except OSError:
        return not os.path.exists(f"/proc/{pid}")
