"""Idle sessions: what each costs in memory and processor time, and what many of them cost the others."""

import time

from asking import first_answer
from contenders import BODY, deploy_static_agent, head, wrk
from harness import Agent, new_session, wait_for
from processes import available_mib, cpu_ms, cpu_ms_of_all, parent, pss
from servers import MANY, agent_pid, end_all, live_sessions, running_server
from sessions import start
from table import Table, median

NOTE = """Idle: sessions of the static agent, each pinged every two seconds. Memory: proportional set size; "kernel" is what
the memory available to the machine fell by beyond that (namespaces, mounts, groups, sockets). Processor time: over half a
minute, from the clocks of the processes. Cold and warm invocations beside the idle sessions against the same before there were
any."""


def measure(table: Table, quick: bool):
    many, window, times = (50, 6, 5) if quick else (500, 30, 21)
    with running_server(settings=MANY) as server:
        agent = deploy_static_agent(server)
        add_few(table, agent)
        before = asked(agent, times)
        rest = {"server": pss(server.pid), "available": available_mib()}
        start(agent, many)
        pids = {"agent": [session["agentPid"] for session in live_sessions(agent)]}
        pids["sidecar"] = [parent(pid) for pid in pids["agent"]]
        time.sleep(3)  # each has been pinged, and what the starts left is gone
        add_memory(table, server.pid, pids, rest)
        add_processor(table, server.pid, pids, window)
        add_latency(table, many, before, asked(agent, times))
        began = time.monotonic()
        end_all(agent)
        table.add(f"{many} sessions ended at once", innkeep=f"{time.monotonic() - began:.1f} s")


def add_few(table: Table, agent: Agent):
    """The server and its sidecars with none, one and ten sessions."""
    rows = [("no session", pss(agent.server.pid))]
    sidecars = []
    for live in (1, 10):
        for session in start(agent, live - len(sidecars)):
            sidecars.append(parent(agent_pid(agent, session)))
        rows.append((f"{live} session{'s' * (live > 1)}", pss(agent.server.pid)))
        if live == 1:
            alone = pss(sidecars[0])
    for what, mib in rows:
        table.add(f"memory of the server, {what}", innkeep=f"{mib:.1f} MiB")
    table.add("memory of a sidecar, alone", innkeep=f"{alone:.2f} MiB", target="≤ 2 MiB", met=alone <= 2)
    end_all(agent)


def asked(agent: Agent, times: int) -> dict[str, float]:
    """The medians of a cold invocation, ms, and of a warm one, µs."""
    cold = []
    for _ in range(times):
        took, session = first_answer(agent)
        cold.append(took)
        agent.stop(session)
        wait_for("the session to end", lambda: session not in [live["sessionId"] for live in live_sessions(agent)])
    session = new_session()
    agent.ask({}, session)
    request = head(agent, session, BODY, agent.path) + BODY
    runs = [wrk(agent.server.url, [request], 1, 1)["p50"] for _ in range(4)][1:]
    agent.stop(session)
    wait_for("the session to end", lambda: session not in [live["sessionId"] for live in live_sessions(agent)])
    return {"cold": median(cold), "warm": median(runs)}


def add_memory(table: Table, server: int, pids: dict[str, list[int]], rest: dict[str, float]):
    many = len(pids["agent"])
    each = {name: sum(pss(pid) for pid in pids[name]) / many for name in pids}
    each["server"] = (pss(server) - rest["server"]) / many
    each["kernel"] = (rest["available"] - available_mib()) / many - sum(each.values())
    beyond = each["sidecar"] + each["server"] + max(0, each["kernel"])
    parts = ", ".join(f"{name} {each[name]:.2f}" for name in ("sidecar", "server", "kernel", "agent"))
    table.add(f"memory of the server, {many} sessions", innkeep=f"{pss(server):.1f} MiB")
    table.add(
        f"memory per session beyond the agent, {many} idle", innkeep=f"{beyond:.2f} MiB", compared=f"{parts} MiB",
        target="≤ 2 MiB", met=beyond <= 2,
    )


def add_processor(table: Table, server: int, pids: dict[str, list[int]], window: int):
    def used() -> dict[str, float]:
        return {name: sum(map(cpu_ms, pids[name])) for name in pids} | {"server": cpu_ms_of_all(server)}

    many, began, before = len(pids["agent"]), time.monotonic(), used()
    time.sleep(window)
    now, took_ms = used(), (time.monotonic() - began) * 1000
    percent = {name: (now[name] - before[name]) / took_ms / many * 100 for name in now}
    beyond = percent["sidecar"] + percent["server"]
    parts = ", ".join(f"{name} {percent[name]:.4f}" for name in ("sidecar", "server", "agent"))
    table.add(
        f"CPU time per session beyond the agent, {many} idle", innkeep=f"{beyond:.4f} %", compared=f"{parts} % of a core",
        target="≤ 0.1 % of a core", met=beyond <= 0.1,
    )


def add_latency(table: Table, many: int, before: dict[str, float], beside: dict[str, float]):
    for kind, unit, what in (("cold", "ms", "one more session"), ("warm", "µs", "a warm one")):
        table.add(
            f"{what} beside {many} idle: p50", innkeep=f"{beside[kind]:.1f} {unit}",
            compared=f"{beside[kind] / before[kind]:.2f} of alone ({before[kind]:.1f} {unit})",
        )
