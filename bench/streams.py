"""Server-sent events: time to the first, and how long each is on its way. Agent and client read the same clock."""

import re
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from contenders import ThreeWays, three_ways
from processes import pss
from sockets import allow_descriptors
from table import Table, median, percentile

NAMES = ("direct", "nginx", "innkeep")
EVENT = re.compile(rb"data: (\d+)\n\n")
END = b"\r\n0\r\n\r\n"
PATIENCE = 60
APART_NS = 2_000_000  # from the beginning of one stream to the next
NOTE = """Streams: the agent writes the time (CLOCK_MONOTONIC) into each event, the client takes it from its own when it has
read the event. One stream: 40 one after the other, an event each 5 ms. 500: begun 2 ms apart, an event each 100 ms of every
one, so 5,000 per second. 1000 held: for a minute, an event each second of every one; memory: what the server's proportional set
size grew by, per stream, when all had begun, in a server that had held none before. To the first byte: from the request, on a connection just opened, to the first event. nginx:
told not to buffer (`X-Accel-Buffering: no`). The client, one Python thread, is in every figure."""


@dataclass
class Stream:
    connection: socket.socket
    asked_at: int = 0
    pending: bytes = b""
    n_events: int = 0


@dataclass
class Times:
    """Microseconds."""

    first: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


def measure(table: Table, quick: bool):
    blocks = 1 if quick else 4
    with three_ways() as ways:
        for n_streams in (1, 500):
            runs = {name: [] for name in NAMES}
            for turn in range(-1, blocks):
                for name in NAMES[turn % 3 :] + NAMES[: turn % 3]:
                    times = one_by_one(ways, name) if n_streams == 1 else together(ways, name, n_streams)
                    if turn >= 0:  # else it was to warm up
                        runs[name].append(times)
            add(table, n_streams, runs)
    add_held(table, *((200, 5) if quick else (1000, 60)))


def add_held(table: Table, n_streams: int, seconds: int):
    """So many at once, each held open so long."""
    allow_descriptors()
    runs = {name: [] for name in NAMES}
    with three_ways() as ways:
        server = ways.agent.server.pid
        for name in NAMES:
            request = b"events %d 1000" % seconds
            request = ways.head(name, request) + request
            rest, times, begun = pss(server), Times(), []
            # Beside the client, which goes on reading.
            look = threading.Timer(n_streams * APART_NS / 1e9 + seconds / 2, lambda: begun.append(pss(server)))
            look.start()
            follow(ways.address(name), request, seconds, n_streams, APART_NS, times)
            look.join()
            runs[name].append(times)
            each = (begun[0] - rest) * 1024 / n_streams
    add(table, n_streams, runs, " held")
    # The last of them.
    table.add(
        f"memory of the server per stream, {n_streams} held", innkeep=f"{each:.1f} KiB", target="≤ 40 KiB", met=each <= 40,
    )


def one_by_one(ways: ThreeWays, contender: str) -> Times:
    request = b"events 10 5"
    request = ways.head(contender, request) + request
    times = Times()
    for _ in range(40):
        follow(ways.address(contender), request, 10, 1, 0, times)
    return times


def together(ways: ThreeWays, contender: str, n_streams: int) -> Times:
    request = b"events 20 100"
    request = ways.head(contender, request) + request
    times = Times()
    follow(ways.address(contender), request, 20, n_streams, APART_NS, times)
    return times


def follow(address: tuple[str, int], request: bytes, n_events: int, n_streams: int, apart_ns: int, times: Times):
    """Begins so many streams, `apart_ns` from one to the next, and reads them all to their last event."""
    poll = select.epoll()
    streams, idle = {}, deque()
    for _ in range(n_streams):
        connection = socket.create_connection(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        idle.append(Stream(connection))
    due = time.monotonic_ns()
    deadline = due + 2 * PATIENCE * 1_000_000_000
    while idle or streams:
        now = time.monotonic_ns()
        assert now < deadline, f"{len(idle) + len(streams)} streams did not end"
        while idle and due <= now:
            stream = idle.popleft()
            streams[stream.connection.fileno()] = stream
            poll.register(stream.connection, select.EPOLLIN)
            stream.asked_at = time.monotonic_ns()
            stream.connection.sendall(request)
            due += apart_ns
        for descriptor, _ in poll.poll(max(0, due - time.monotonic_ns()) / 1e9 if idle else 1):
            stream = streams[descriptor]
            read(stream, times)
            if stream.pending.endswith(END):
                assert stream.n_events == n_events, f"the stream ended after {stream.n_events} events"
                del streams[descriptor]
                stream.connection.close()
    poll.close()


def read(stream: Stream, times: Times):
    """Reads what is there, and leaves in `pending` what is no event."""
    data = stream.connection.recv(1 << 16)
    now = time.monotonic_ns()
    assert data, f"the stream broke off after {stream.n_events} events: {stream.pending}"
    stream.pending += data
    end = 0
    for event in EVENT.finditer(stream.pending):
        if stream.n_events == 0:
            times.first.append((now - stream.asked_at) / 1000)
        else:
            times.delays.append((now - int(event[1])) / 1000)
        stream.n_events += 1
        end = event.end()
    stream.pending = stream.pending[end:]


def add(table: Table, n_streams: int, runs: dict[str, list[Times]], how: str = ""):
    what = f"{n_streams} stream{'s' * (n_streams > 1)}{how}"
    for label, key in (("to the first byte", "first"), ("delay of an event", "delays")):
        for percent in (50, 99):
            each = {name: [percentile(getattr(times, key), percent) for times in runs[name]] for name in NAMES}
            to_direct = median(ours - direct for direct, ours in zip(each["direct"], each["innkeep"]))
            to_nginx = median(ours - nginx for nginx, ours in zip(each["nginx"], each["innkeep"]))
            has_target = key == "delays" and percent == 50
            table.add(
                f"{what}, {label}: p{percent}",
                *(f"{median(each[name]):.0f} µs" for name in NAMES),
                f"{to_direct:+.0f} µs to direct, {to_nginx:+.0f} to nginx",
                "adds ≤ 100 µs to direct" if has_target else "", to_direct <= 100 if has_target else None,
            )
