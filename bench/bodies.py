"""Large bodies: 100 MB up and down, against a direct connection and nginx; the server's memory under many uploads."""

import selectors
import socket
import time
from pathlib import Path

from contenders import ThreeWays, three_ways
from machine import peak
from table import Table, median

NAMES = ("direct", "nginx", "innkeep")
MAX_BODY = 100_000_000
CLIENTS = 50
READ = 1 << 20
PATIENCE = 300
NOTE = """Large bodies: one client, a new connection each time. Up: nginx buffers requests, as it does by default; Innkeep
reads the whole body too, because the signature covers it, and hashes it. Memory of the server: the peak of its resident set
(`VmHWM`), with the bodies of all clients on their way at the same time; the three in turn, five times."""


def measure(table: Table, quick: bool):
    with three_ways() as ways:
        add_throughput(table, ways, 2 if quick else 9)
    with three_ways() as ways:
        add_memory(table, ways, *((MAX_BODY // 10, 1) if quick else (MAX_BODY, 5)))


def add_throughput(table: Table, ways: ThreeWays, blocks: int):
    for direction, body in (("up", bytes(MAX_BODY)), ("down", b"bytes %d" % MAX_BODY)):
        heads = {name: ways.head(name, body) for name in NAMES}
        rates = {name: [] for name in NAMES}
        for turn in range(-1, blocks):
            for name in NAMES[turn % 3 :] + NAMES[: turn % 3]:
                started = time.perf_counter()
                received = exchange(ways.address(name), heads[name], body)
                took = time.perf_counter() - started
                assert received == MAX_BODY or direction == "up"
                if turn >= 0:  # else it was to warm up
                    rates[name].append(MAX_BODY / took / 1e6)
        against = {n: median(ours / theirs for ours, theirs in zip(rates["innkeep"], rates[n])) for n in NAMES}
        table.add(
            f"100 MB {direction}", *(f"{median(rates[name]):,.0f} MB/s" for name in NAMES),
            f"{against['nginx']:.2f} of nginx, {against['direct']:.2f} of direct",
            "≥ 0.70 of nginx", against["nginx"] >= 0.7,
        )


def exchange(address: tuple[str, int], head: bytes, body: bytes) -> int:
    """Sends one request and returns the length of its answer's body."""
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        connection.sendall(head)
        connection.sendall(body)
        buffer = bytearray(READ)
        answer = b""
        while b"\r\n\r\n" not in answer:
            n_read = connection.recv_into(buffer)
            assert n_read, (address, answer)
            answer += buffer[:n_read]
        fields, _, start = answer.partition(b"\r\n\r\n")
        assert fields.startswith(b"HTTP/1.1 200 "), fields
        length = content_length(fields)
        received = len(start)
        while received < length:
            n_read = connection.recv_into(buffer)
            assert n_read, f"the answer broke off after {received} bytes"
            received += n_read
        return received


def content_length(fields: bytes) -> int:
    lines = (line.split(b":", 1) for line in fields.split(b"\r\n")[1:])
    return next(int(value) for name, value in lines if name.lower() == b"content-length")


def add_memory(table: Table, ways: ThreeWays, most: int, blocks: int):
    peaks = {uploads: [] for uploads in ((1, most), (CLIENTS, most // 10), (CLIENTS, most))}
    for _ in range(blocks):
        for (clients, size), found in peaks.items():
            body = bytes(size)
            reset_peak(ways.agent.server.pid)
            upload_together(ways.address("innkeep"), ways.head("innkeep", body) + body, clients)
            found.append(peak(ways.agent.server.pid))
    few, small, large = map(median, peaks.values())
    ratio = large / small
    for (clients, size), found in peaks.items():
        value, last = median(found), (clients, size) == (CLIENTS, most)
        table.add(
            f"peak memory of the server, {clients} upload{'s' * (clients > 1)} of {size // 1_000_000} MB",
            innkeep=f"{value:.0f} MiB",
            compared=f"{ratio:.2f} of {CLIENTS} × {most // 10_000_000} MB, {large - few:+.0f} MiB to one" if last else "",
            target="does not grow with the size (≤ 1.10)" if last else "", met=ratio <= 1.1 if last else None,
        )


def reset_peak(pid: int):
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def upload_together(address: tuple[str, int], request: bytes, n_clients: int):
    """Sends the request on so many connections at the same time, each as fast as it is taken; all must be answered well."""
    deadline = time.monotonic() + PATIENCE
    waiting = selectors.DefaultSelector()
    for _ in range(n_clients):
        connection = socket.create_connection(address)
        connection.setblocking(False)
        waiting.register(connection, selectors.EVENT_WRITE, 0)
    while waiting.get_map():
        assert time.monotonic() < deadline, f"{len(waiting.get_map())} uploads did not end"
        for key, _ in waiting.select(1):
            if key.events == selectors.EVENT_WRITE:
                sent = key.data + key.fileobj.send(memoryview(request)[key.data : key.data + READ])
                events = selectors.EVENT_READ if sent == len(request) else selectors.EVENT_WRITE
                waiting.modify(key.fileobj, events, sent)
            else:
                answer = key.fileobj.recv(READ)
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                waiting.unregister(key.fileobj)
                key.fileobj.close()
