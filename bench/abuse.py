"""A session among bad neighbours: what it and the server's memory pay while others flood the server, never read and never finish."""

import socket
import threading
import time
from collections import deque
from contextlib import contextmanager, nullcontext

from contenders import ThreeWays, head, new_session, three_ways
from machine import peak, resident
from table import Table, median

NEVER_READ = SLOW = LATEST = 200
CONNECTIONS_PER_TICK = 10
TICK = 0.01
NAMES = ("direct", "innkeep")
NOTE = f"""Abuse: {NEVER_READ} clients that asked for 100 MB and read nothing, {SLOW} that announced 10 MB and send a byte
each 100 ms, and 1,000 new connections per second, every other one with bytes that are no HTTP; the last {LATEST} are held.
Direct: the same agent by hand, on the same CPUs at the same time, but not attacked; what it loses, the machine's load took.
Peak: the most that the server ever had resident. Its bound: what it had before, and for each of those connections the most that
docs/limits.md allows."""
CONNECTION_KIB = 2 * 64 + 400


def measure(table: Table, quick: bool):
    blocks, seconds = (1, 2) if quick else (5, 2)
    with three_ways() as ways:
        quiet, abused = ({name: [] for name in NAMES} for _ in range(2))
        for name in NAMES:
            ways.wrk(name, 1, 1)  # warms up
        before = resident(ways.agent.server.pid)
        for _ in range(blocks):
            for runs, around in ((quiet, nullcontext()), (abused, abuse(ways))):
                with around:
                    for name in NAMES:
                        runs[name].append(ways.wrk(name, 1, seconds))
        most = peak(ways.agent.server.pid)
    add(table, quiet, abused)
    add_memory(table, before, most)


@contextmanager
def abuse(ways: ThreeWays):
    """Attacks the server for as long as the context lasts, with connections to a session that nobody measures."""
    address, session = ways.address("innkeep"), new_session()
    ways.agent.ask({}, session)
    request = b"bytes 100000000"
    never_read = head(ways.agent, session, request, ways.agent.path) + request
    slow = head(ways.agent, session, bytes(10_000_000), ways.agent.path)
    held = [connected(address, never_read) for _ in range(NEVER_READ)]
    dripping = [connected(address, slow) for _ in range(SLOW)]
    over = threading.Event()
    attack = threading.Thread(target=flood, args=(address, dripping, over))
    attack.start()
    try:
        yield
        assert attack.is_alive(), "the attack ended early: an abuser was cut off"
    finally:
        over.set()
        attack.join()
        for connection in held + dripping:
            connection.close()


def connected(address: tuple[str, int], request: bytes) -> socket.socket:
    connection = socket.create_connection(address)
    connection.sendall(request)
    return connection


def flood(address: tuple[str, int], dripping: list[socket.socket], over: threading.Event):
    """Until it is over: each tick some new connections, and a byte of a tenth of the slow bodies."""
    latest, tick = deque(), 0
    while not over.wait(TICK):
        tick += 1
        for connection in dripping[tick % 10 :: 10]:
            connection.send(b"x")
        for turn in range(CONNECTIONS_PER_TICK):
            connection = socket.create_connection(address)
            if turn % 2:
                connection.send(b"\0 is no HTTP\r\n\r\n")
            latest.append(connection)
        while len(latest) > LATEST:
            latest.popleft().close()
    for connection in latest:
        connection.close()


def add(table: Table, quiet: dict[str, list[dict]], abused: dict[str, list[dict]]):
    for key in ("p50", "p99"):
        for when, runs in (("quiet", quiet), ("during abuse", abused)):
            figures = {name: median(run[key] for run in runs[name]) for name in NAMES}
            ratio = {name: median(now[key] / then[key] for now, then in zip(runs[name], quiet[name])) for name in NAMES}
            is_abused = runs is abused
            has_target = is_abused and key == "p50"
            table.add(
                f"a bystander's invoke, {when}: {key}",
                f"{figures['direct']:.0f} µs", "", f"{figures['innkeep']:.0f} µs",
                f"{ratio['innkeep']:.2f} of quiet; direct {ratio['direct']:.2f}" if is_abused else "",
                "≤ 1.25 of quiet" if has_target else "", ratio["innkeep"] <= 1.25 if has_target else None,
            )


def add_memory(table: Table, before: float, most: float):
    bound = before + (NEVER_READ + SLOW + LATEST) * CONNECTION_KIB / 1024
    table.add(
        "the server's memory, during abuse: peak", innkeep=f"{most:.0f} MiB", compared=f"{before:.0f} MiB before",
        target=f"≤ {bound:.0f} MiB", met=most <= bound,
    )
