"""Bursts: many sessions asked for at the same moment, and the processor time that it takes to start them."""

import os
import selectors
import socket
import time

from asking import PATIENCE, PAUSE, REQUEST, check
from contenders import BODY, address, head
from harness import new_session
from places import Bare, Innkeep, all_places, shuffled
from processes import cpu_ms, cpu_ms_of_all, parent
from servers import await_no_sandbox, end_all, live_sessions
from table import Table, median, percentile
from workloads import Workload

SIZES = (1, 10, 50)
NOTE = f"""Bursts: so many new sessions asked at once, each on a connection of its own, to the first byte of each answer; over
all sessions of all bursts, and the median of the time to the last answer of a burst. Bare: as many processes by hand, each
asked as soon as its port accepts. CPU: what agents, sidecars, launchers and the server use meanwhile, for one burst, divided
by the {os.cpu_count()} CPUs; the client has its share of those too, and it is not counted."""


def measure(table: Table, quick: bool):
    blocks = 2 if quick else 9
    with all_places(("static", "stdlib"), runtimes=False) as (places, workloads):
        for workload in workloads:
            for size in SIZES:
                taken = {place.name: [] for place in places}
                for turn in range(-1, blocks):
                    for place in shuffled(places, turn):
                        burst = of_bare if isinstance(place, Bare) else of_innkeep
                        times, cpu = burst(place, workload, size)
                        if turn >= 0:  # else it was to warm up
                            taken[place.name].append((times, cpu))
                for place in places:
                    add(table, workload.name, size, place, taken)


def of_innkeep(place: Innkeep, workload: Workload, size: int) -> tuple[list[float], float]:
    """Returns the milliseconds to each answer, and those of processor time that all of it took."""
    agent = place.agents[workload.name]
    sessions = [new_session() for _ in range(size)]
    requests = [head(agent, session, BODY, agent.path) + BODY for session in sessions]
    connections = [socket.create_connection(address(place.server.url)) for _ in sessions]
    before = cpu_ms_of_all(place.server.pid)
    times = answers(connections, requests)
    agents = [session["agentPid"] for session in live_sessions(agent)]
    assert len(agents) == size
    used = cpu_ms_of_all(place.server.pid) - before
    used += sum(cpu_ms(pid) + cpu_ms(parent(pid)) for pid in agents)
    end_all(agent)
    await_no_sandbox(place.server)
    return times, used


def answers(connections: list[socket.socket], requests: list[bytes]) -> list[float]:
    """Sends all requests at once and returns the milliseconds to the first byte of each answer."""
    waiting, times = selectors.DefaultSelector(), []
    started = time.perf_counter()
    for connection, request in zip(connections, requests):
        connection.sendall(request)
        waiting.register(connection, selectors.EVENT_READ)
    while waiting.get_map():
        assert read(waiting, PATIENCE, started, times), f"{len(waiting.get_map())} requests got no answer"
    return times


def read(waiting: selectors.BaseSelector, seconds: float, started: float, times: list[float]) -> int:
    """Waits for answers, adds the time of each, and returns how many there were."""
    ready = waiting.select(seconds)
    for key, _ in ready:
        check(key.fileobj.recv(1 << 16))
        times.append((time.perf_counter() - started) * 1000)
        waiting.unregister(key.fileobj)
        key.fileobj.close()
    return len(ready)


def of_bare(place: Bare, workload: Workload, size: int) -> tuple[list[float], float]:
    ports = free_ports(size)
    waiting, times = selectors.DefaultSelector(), []
    before = cpu_ms(place.spawner.process.pid)
    started = time.perf_counter()
    pids = [
        place.spawner.spawn(workload.argv, workload.environment | {"PORT": str(port)}, workload.directory) for port in ports
    ]
    place.running.update(pids)
    while len(times) < size:
        for port in list(ports):
            connection = socket.socket()
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                connection.sendall(REQUEST)
                waiting.register(connection, selectors.EVENT_READ)
                ports.remove(port)
            else:
                connection.close()
        assert time.perf_counter() - started < PATIENCE, f"{size - len(times)} agents of {size} do not answer"
        read(waiting, PAUSE * size if ports else PATIENCE, started, times)  # looks more rarely where there is more to look at
    used = cpu_ms(place.spawner.process.pid) - before + sum(cpu_ms(pid) for pid in pids)
    place.close()
    return times, used


def free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def add(table: Table, workload: str, size: int, place, taken: dict[str, list]):
    def p95(name):
        return percentile([ms for times, _ in taken[name] for ms in times], 95)

    bursts = taken[place.name]
    p50 = median(ms for times, _ in bursts for ms in times)
    needed = median(cpu for _, cpu in bursts) / os.cpu_count()
    ratio = p95(place.name) / needed
    is_bare = place.name == "bare"
    has_target = place.name.startswith("container") and size == SIZES[-1]
    table.add(
        f"burst of {size}, {workload}, {place.name}: p95", f"{p95('bare'):.0f} ms", "",
        "" if is_bare else f"{p95(place.name):.0f} ms",
        f"p50 {p50:.0f}, all {median(max(times) for times, _ in bursts):.0f} ms; {ratio:.1f} × CPU time ({needed:.0f} ms)",
        "≤ 3 × CPU time" if has_target else "", ratio <= 3 if has_target else None,
    )
