"""A pool that nobody asks: what it costs to have it, and what filling it costs a session that is asked meanwhile."""

import time

import servers
from contenders import BODY, deploy_static_agent, head, new_session, wrk
from harness import EXAMPLES, Agent
from processes import available_mib, cpu_ms, cpu_ms_of_all, parent, pss
from servers import MANY, await_pool, await_zygote, deploy, end_all, pool, running_server
from sessions import start
from table import Table, median
from ways import settings_of

KEPT = 10
FILLED = {False: 12, True: 60}
"""So many that filling, from the program and by a zygote, outlasts a block."""
NOTE = f"""A pool at rest: {KEPT} sandboxes of the SDK's agent that wait, each pinged every two seconds; memory as proportional set size,
and "machine" is what the memory available to it fell by for each; processor time over the window, of sidecars and server, and of agents.
Warm beside a pool: `wrk` asks one session of the static agent on a server without a pool, then on the same one while a pool of SDK agents
is full, and while as many start as nobody waits for. Filling outlasts the block, or the block is not counted."""


def measure(table: Table, quick: bool):
    ways = (False, True) if servers.chosen == "container" else (False,)
    for forked in ways:
        add_rest(table, forked, 6 if quick else 60)
    for forked in ways:
        add_warm(table, forked, *((2, 1) if quick else (9, 1)))


def name(forked: bool) -> str:
    return "pool and zygote" if forked else "pool"


# --- at rest -----------------------------------------------------------------------------------------------------------


def add_rest(table: Table, forked: bool, window: int):
    with running_server(settings=MANY) as server:
        agent = deploy(server, EXAMPLES / "sdk-echo", settings_of(0, forked))
        time.sleep(2)  # what the deployment left is gone
        rest, available = pss(server.pid), available_mib()
        idle = percent_of_a_core(server.pid, {}, window)["server"]
        if forked:
            await_zygote(agent)
        answer = server.request("POST", f"/innkeep/v1/runtimes/{agent.id}/prewarm", b'{"size": %d}' % KEPT)
        assert answer.status == 202, answer
        await_pool(agent, KEPT)
        time.sleep(3)  # each has been pinged
        pids = {"agent": [member["agentPid"] for member in pool(agent)["ready"]]}
        pids["sidecar"] = [parent(pid) for pid in pids["agent"]]
        machine = (available - available_mib()) / KEPT
        each = {what: sum(map(pss, pids[what])) / KEPT for what in pids} | {"server": (pss(server.pid) - rest) / KEPT}
        table.add(
            f"memory of one that waits, SDK, {name(forked)}", innkeep=f"{sum(each.values()):.1f} MiB",
            compared=", ".join(f"{what} {mib:.1f}" for what, mib in each.items()) + f"; machine {machine:.1f} MiB",
        )
        used = percent_of_a_core(server.pid, pids, window)
        beyond = (used["sidecar"] + used["server"] - idle) / KEPT
        table.add(
            f"CPU time of one that waits, SDK, {name(forked)}", innkeep=f"{beyond:.3f} %",
            compared=f"of a core; its agent {used['agent'] / KEPT:.3f} %", target="≤ 0.1 % of a core", met=beyond <= 0.1,
        )


def percent_of_a_core(server: int, pids: dict[str, list[int]], window: int) -> dict[str, float]:
    def used() -> dict[str, float]:
        return {what: sum(map(cpu_ms, pids[what])) for what in pids} | {"server": cpu_ms_of_all(server)}

    began, before = time.monotonic(), used()
    time.sleep(window)
    now, took_ms = used(), (time.monotonic() - began) * 1000
    return {what: (now[what] - before[what]) / took_ms * 100 for what in now}


# --- while it fills ----------------------------------------------------------------------------------------------------


def add_warm(table: Table, forked: bool, blocks: int, seconds: int):
    size = FILLED[forked]
    with running_server(settings=MANY) as server:
        asked = deploy_static_agent(server)
        session = new_session()
        asked.ask({}, session)
        request = head(asked, session, BODY, asked.path) + BODY
        wrk(server.url, [request], 1, seconds)  # warms up
        without = [wrk(server.url, [request], 1, seconds) for _ in range(blocks)]
        filling = deploy(server, EXAMPLES / "sdk-echo", settings_of(size, forked))
        if forked:
            await_zygote(filling)
        runs = []
        for _ in range(3 * blocks):
            await_pool(filling, size)
            time.sleep(1)  # nothing of the filling goes on
            quiet = wrk(server.url, [request], 1, seconds)
            take_all(filling, size)
            beside = wrk(server.url, [request], 1, seconds)
            if len(pool(filling)["ready"]) < size:
                runs.append((quiet, beside))
            if len(runs) == blocks:
                break
        assert runs, f"{size} sandboxes start within {seconds} s: more are needed"
    for key in ("p50", "p99"):
        none = median(run[key] for run in without)
        full, fills = (median(run[side][key] for run in runs) for side in (0, 1))
        of_full = f"; {median(beside[key] / quiet[key] for quiet, beside in runs):.2f} of beside a full one"
        for what, took, more in (("is full", full, ""), ("fills", fills, of_full)):
            ratio = took / none
            table.add(
                f"warm invoke beside a pool that {what}, {name(forked)}: {key}", f"{none:.0f} µs (no pool)", "", f"{took:.0f} µs",
                f"{ratio:.2f} of without a pool{more}", "≤ 1.05" if key == "p50" else "", ratio <= 1.05 if key == "p50" else None,
            )


def take_all(agent: Agent, size: int):
    """Sessions take what waits, and are ended; what is wanted again has just begun to start."""
    start(agent, size)
    end_all(agent)
