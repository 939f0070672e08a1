"""WebSockets: the round trip of a message, and what many of them that are held open cost."""

import resource
import select
import socket
import struct
import time
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field

from contenders import address, deploy_static_agent, running_direct
from harness import SESSION_HEADER, Agent, new_session
from processes import pss
from servers import running_server
from table import Table, median, percentile

NAMES = ("direct", "innkeep")
SIZES = {"64 bytes": 64, "32 KiB": 32 << 10}
WITHOUT_RATE = "max_frames_per_second = 1000000\n"  # one after the other is more than the 250 that a client may otherwise send
HANDSHAKE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
MASK = bytes(range(1, 5))
PATIENCE = 60
BEGUN_EACH = 0.002  # seconds from one handshake to the next
NOTE = """WebSockets: the static agent says back what it is told, in one session. Round trips: one socket, a message after the
other, each way in turn; what is compared is the median of the turns' own differences. Held: that many sockets, on each a message of
64 bytes every four seconds, evenly spread; delay: from when a message was sent to its echo. Memory: what the server's proportional set
size grew by, per socket: "idle" before the first message, "talking" at the end. Frames per second are unlimited. The client,
one Python thread, is in every figure, and the same one asks both."""


@dataclass
class Held:
    connection: socket.socket
    sent_at: int = 0
    awaited: int = 0
    due: float = 0.0


@dataclass
class Figures:
    """Of sockets that were held: microseconds, and KiB each."""

    delays: list[float] = field(default_factory=list)
    idle: float = 0.0
    talking: float = 0.0


class TwoWays:
    """To the same program: straight to a process of it, and through Innkeep to a session's."""

    def __init__(self, agent: Agent, direct: str):
        self.agent, self.session = agent, new_session()
        self.urls = {"direct": direct, "innkeep": agent.server.url}
        agent.ask({}, self.session)

    def open(self, contender: str) -> socket.socket:
        """A WebSocket. Both ways are asked with the same headers."""
        target = self.agent.path.replace("/invocations", "/ws")
        headers = HANDSHAKE | self.agent.server.signed("GET", target, b"", {SESSION_HEADER: self.session})
        headers["Host"] = urllib.parse.urlsplit(self.agent.server.url).netloc
        lines = [f"GET {target if contender == 'innkeep' else '/ws'} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
        connection = socket.create_connection(address(self.urls[contender]))
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall("\r\n".join(lines).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += connection.recv(1)  # not a byte of what follows
            assert answer, f"{contender} closed the connection"
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return connection


def measure(table: Table, quick: bool):
    blocks, trips, n_held, seconds = (2, 100, 200, 6) if quick else (6, 2000, 1000, 60)
    allow_descriptors()
    with two_ways() as ways:
        for size in SIZES:
            add_trips(table, size, [round_trips(ways, SIZES[size], trips, turn % 2) for turn in range(-1, blocks)][1:])
    runs = {}
    for name in NAMES:
        # A server that has held nothing yet: what it grows by is these.
        with two_ways() as ways:
            runs[name] = hold(ways, name, n_held, seconds)
    add_held(table, n_held, runs)


@contextmanager
def two_ways():
    with running_direct() as direct, running_server(settings=WITHOUT_RATE) as server:
        yield TwoWays(deploy_static_agent(server), direct)


def allow_descriptors():
    """For the clients' ends, and for the children's, who inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def frame(size: int) -> bytes:
    """A whole binary message, as clients send it."""
    length = struct.pack("!BBH", 0x82, 0x80 | 126, size) if size > 125 else struct.pack("!BB", 0x82, 0x80 | size)
    payload = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(b"x" * size))
    return length + MASK + payload


def echo_bytes(size: int) -> int:
    return size + (4 if size > 125 else 2)


def round_trips(ways: TwoWays, size: int, trips: int, first: int) -> dict[str, list[float]]:
    """Microseconds, of each way."""
    sent, expected = frame(size), echo_bytes(size)
    took, room = {}, bytearray(expected)
    for name in NAMES[first:] + NAMES[:first]:
        with ways.open(name) as connection:
            took[name] = []
            for _ in range(trips):
                began = time.perf_counter_ns()
                connection.sendall(sent)
                fill(connection, room)
                took[name].append((time.perf_counter_ns() - began) / 1000)
            assert room[0] == 0x82 and room.endswith(b"x" * size), bytes(room[:64])
    return took


def fill(connection: socket.socket, room: bytearray):
    view = memoryview(room)
    while view:
        n_read = connection.recv_into(view)
        assert n_read, "the socket was closed"
        view = view[n_read:]


def hold(ways: TwoWays, contender: str, n_held: int, seconds: float, every: float = 4.0) -> Figures:
    """Holds so many sockets, with a message on each every so many seconds."""
    server, figures = ways.agent.server, Figures()
    rest = pss(server.pid)
    sockets = []
    for _ in range(n_held):
        sockets.append(Held(ways.open(contender)))
        time.sleep(BEGUN_EACH)
    figures.idle = (pss(server.pid) - rest) * 1024 / n_held
    talk(sockets, seconds, every, figures.delays)
    figures.talking = (pss(server.pid) - rest) * 1024 / n_held
    for one in sockets:
        one.connection.close()
    return figures


def talk(sockets: list[Held], seconds: float, every: float, delays: list[float]):
    sent, expected = frame(64), echo_bytes(64)
    poll, by_descriptor = select.epoll(), {one.connection.fileno(): one for one in sockets}
    began = time.monotonic()
    for at, one in enumerate(sockets):
        one.due = began + every * at / len(sockets)
        poll.register(one.connection, select.EPOLLIN)
    turn, end = 0, began + seconds
    while True:
        now = time.monotonic()
        # In their order they are due in turn.
        while (one := sockets[turn]).due <= min(now, end):
            assert one.awaited == 0, f"an echo did not come within {every} s"
            one.awaited, one.sent_at = expected, time.monotonic_ns()
            one.connection.sendall(sent)
            one.due, turn = one.due + every, (turn + 1) % len(sockets)
        if now > end and not any(one.awaited for one in sockets):
            break
        assert now < end + PATIENCE, "echoes did not come"
        for descriptor, _ in poll.poll(max(0.0, min(one.due - time.monotonic(), 1.0))):
            one = by_descriptor[descriptor]
            data = one.connection.recv(1 << 12)
            assert data and len(data) <= one.awaited, "a socket was closed, or said more than it was told"
            one.awaited -= len(data)
            if one.awaited == 0:
                delays.append((time.monotonic_ns() - one.sent_at) / 1000)
    poll.close()


def add_trips(table: Table, size: str, runs: list[dict[str, list[float]]]):
    for percent in (50, 99):
        each = [{name: percentile(run[name], percent) for name in NAMES} for run in runs]
        adds = median(run["innkeep"] - run["direct"] for run in each)
        ratio = median(run["innkeep"] / run["direct"] for run in each)
        has_target = percent == 50 and size == "64 bytes"
        table.add(
            f"WebSocket, {size} there and back: p{percent}", f"{median(run['direct'] for run in each):.0f} µs", "",
            f"{median(run['innkeep'] for run in each):.0f} µs", f"{adds:+.0f} µs, {ratio:.2f} of direct",
            "adds ≤ 100 µs" if has_target else "", adds <= 100 if has_target else None,
        )


def add_held(table: Table, n_held: int, runs: dict[str, Figures]):
    for percent in (50, 99):
        direct, ours = (percentile(runs[name].delays, percent) for name in NAMES)
        table.add(
            f"{n_held} WebSockets held, delay of an echo: p{percent}", f"{direct:.0f} µs", "", f"{ours:.0f} µs",
            f"{ours - direct:+.0f} µs, {ours / direct:.2f} of direct",
        )
    figures = runs["innkeep"]
    table.add(
        f"memory of the server per WebSocket, {n_held} idle", innkeep=f"{figures.idle:.1f} KiB",
        compared=f"talking {figures.talking:.1f} KiB", target="≤ 40 KiB", met=figures.idle <= 40,
    )
