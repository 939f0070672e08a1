"""Arrivals of new sessions: so many per second for a minute, and many at one moment, with a pool, with a zygote, with both."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import servers
from asking import first_answer
from burst import answers
from contenders import BODY, JSON, SESSION_HEADER, address, head
from harness import EXAMPLES, Agent, new_session, wait_for
from servers import MANY, await_zygote, deploy, end_all, live_sessions, pool, running_server
from table import Table, median, percentile
from ways import settings_of

RATES = (1, 5, 9)
SIZES = (10, 50)
FIXED = 10
NOTE = f"""Arrivals of the SDK's agent, forked where the isolation can: so many new sessions per second, evenly, each on a connection
of its own that waits for no other, to the first byte of each answer; each is stopped as soon as it has answered. The pool is
rested before: fixed is full ({FIXED}), auto has what the rate before has left it. Hits: sessions that took what waited, of all.
Bursts: so many at the same moment; over all sessions of all bursts, the pool as it is after a rest."""


def measure(table: Table, quick: bool):
    seconds, bursts = (10, 2) if quick else (60, 7)
    forked = servers.chosen == "container"
    pools = {"no pool": 0, "pool = auto": "auto", f"pool = {FIXED}": FIXED}
    with running_server(settings=MANY) as server:
        agents = {name: deploy(server, EXAMPLES / "sdk-echo", settings_of(size, forked)) for name, size in pools.items()}
        for agent in agents.values():
            if forked:
                await_zygote(agent)
            rest(agent)
        for rate in RATES:
            for name, agent in agents.items():
                add(table, f"{rate} new session{'s' * (rate > 1)} per second, {name}", *steadily(agent, rate, seconds))
        for size in SIZES:
            taken = {name: [] for name in agents}
            for _ in range(bursts):
                for name, agent in agents.items():
                    taken[name].append(at_once(agent, size))
            for name, runs in taken.items():
                times = [took for times, _ in runs for took in times]
                hits = [share for _, share in runs if share is not None]
                add(table, f"burst of {size} new sessions, {name}", times, median(hits) if hits else None)


def rest(agent: Agent):
    """Until no session is left, and the pool has what it wants."""
    wait_for("the sessions to be gone", lambda: not live_sessions(agent), 60)

    def is_full():
        now = pool(agent)
        return now is None or len(now["ready"]) >= now["wanted"]

    wait_for(lambda: f"the pool to be full: {pool(agent)}", is_full, 120)


def steadily(agent: Agent, rate: int, seconds: int) -> tuple[list[float], float | None]:
    """Returns the milliseconds to each first byte, and the share of hits."""
    rest(agent)
    stop = agent.path.replace("/invocations", "/stopruntimesession")

    def arrive() -> float:
        took, session = first_answer(agent)
        agent.server.request("POST", stop, b"{}", JSON | {SESSION_HEADER: session})
        return took

    before, count = hits(agent), rate * seconds
    with ThreadPoolExecutor(64) as threads:
        started, coming = time.monotonic(), []
        for number in range(count):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            coming.append(threads.submit(arrive))
        times = [arrival.result() for arrival in coming]
    return times, share(before, hits(agent), count)


def at_once(agent: Agent, size: int) -> tuple[list[float], float | None]:
    """The same for sessions that all come at one moment."""
    rest(agent)
    before = hits(agent)
    requests = [head(agent, new_session(), BODY, agent.path) + BODY for _ in range(size)]
    connections = [socket.create_connection(address(agent.server.url)) for _ in requests]
    times = answers(connections, requests)
    end_all(agent)
    return times, share(before, hits(agent), size)


def hits(agent: Agent) -> int | None:
    """Of the pool, so far; nothing where there is none."""
    now = pool(agent)
    return now and now["hits"]


def share(before: int | None, after: int | None, of: int) -> float | None:
    return None if after is None else (after - (before or 0)) / of


def add(table: Table, what: str, times: list[float], hits: float | None):
    p50, p99 = (percentile(times, percent) for percent in (50, 99))
    rate = "" if hits is None else f"; {hits:.0%} hits"
    table.add(f"{what}: p50", innkeep=f"{p50:.1f} ms", compared=f"p99 {p99:.1f}, max {max(times):.1f} ms{rate}")
