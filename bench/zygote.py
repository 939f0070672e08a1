"""Forked sessions: what one of them needs of memory, with all processes of its sandbox, and how many a GiB holds."""

import os
import time
from pathlib import Path

import servers
from harness import EXAMPLES, Agent
from processes import available_mib, pss
from servers import MANY, agent_pid, await_zygote, deploy, end_all, running_server, way
from sessions import start
from table import Table
from ways import settings_of

NOTE = """Memory of sessions of the SDK's agent, each asked once: proportional set size of all processes in the sandbox's process
namespace, agent and sidecar, with many others beside it that share pages. Sessions per GiB: by that; beside it what the memory available
to the machine fell by for each, which has the kernel's and the server's part, and whatever else the machine did meanwhile. The
interpreter that is forked has a line of its own."""


def measure(table: Table, quick: bool):
    if servers.chosen == "process":
        table.add("memory of a forked session", compared="not measured: nothing is forked without isolation")
        return
    with running_server(settings=MANY) as server:
        for forked in (False, True):
            agent = deploy(server, EXAMPLES / "sdk-echo", settings_of(0, forked))
            if forked:
                await_zygote(agent)
                # While there is nobody to share with.
                mib = sum(map(pss, interpreters(agent)))
                table.add("memory of a zygote, SDK, no session", innkeep=f"{mib:.1f} MiB")
            for many in (1, 10) if quick else (1, 10, 100):
                add(table, agent, many, forked)


def add(table: Table, agent: Agent, many: int, forked: bool):
    time.sleep(1)  # what the deployment left is gone
    available = available_mib()
    sessions = start(agent, many)
    assert not forked or {way(agent, session) for session in sessions} == {"zygote"}
    time.sleep(3)  # each has been pinged, and what the starts left is gone
    machine = (available - available_mib()) / many
    pids = [processes_of(agent_pid(agent, session)) for session in sessions]
    each = sum(pss(pid) for sandbox in pids for pid in sandbox) / many
    what = f"{'forked' if forked else 'started'}, {many} live"
    has_target = forked and many > 1  # one alone shares with the interpreter only
    table.add(
        f"PSS of a session, SDK, {what}", innkeep=f"{each:.1f} MiB", compared=f"{sum(map(len, pids)) / many:.0f} processes each",
        target="≤ 16 MiB" if has_target else "", met=each <= 16 if has_target else None,
    )
    if many > 1:
        table.add(
            f"sessions per GiB, SDK, {what}", innkeep=f"{1024 / each:.0f}", compared=f"memory available fell by {machine:.1f} MiB for each",
        )
    end_all(agent)


def processes_of(pid: int) -> list[int]:
    """All processes of the process namespace that this one is in."""
    namespace = os.readlink(f"/proc/{pid}/ns/pid")
    return [other for other in every_process() if link(other) == namespace]


def interpreters(agent: Agent) -> list[int]:
    """What of the server's zygotes runs while there is no session: the interpreters and their sidecars."""
    names = agent.server.zygotes()
    return [pid for pid in every_process() if any(name in text(pid, "cgroup") for name in names)]


def every_process() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def link(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""  # it has ended


def text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
