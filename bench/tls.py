"""TLS on and off: warm invocations on connections that are kept, and each on a connection of its own."""

import socket
import ssl
import subprocess
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

from contenders import (
    BODY, Agent, address, deploy_static_agent, head, new_session, running_direct, running_nginx, scratch_directory, wrk,
)
from servers import running_server
from table import Table, median

NAMES = ("plain", "nginx", "tls")
PATIENCE = 60
NOTE = """TLS: Innkeep without and with `tls = "auto"`, and nginx with TLS in front of the static agent; all keys are ECDSA on
P-256, all agree on TLS 1.3 and HTTP/1.1. New connections: from before the connect to the answer, a full handshake each time, by
one Python client, who is in every figure."""


class Ways:
    """To the same program: through Innkeep without TLS, through nginx with it, and through Innkeep with it."""

    def __init__(self, plain: Agent, secure: Agent, nginx: str):
        self.session = new_session()
        self.agents = {"plain": plain, "nginx": plain, "tls": secure}
        self.urls = {"plain": plain.server.url, "nginx": nginx, "tls": secure.server.url}
        for agent in (plain, secure):
            agent.ask({}, self.session)

    def request(self, name: str) -> bytes:
        agent = self.agents[name]
        return head(agent, self.session, BODY, "/invocations" if name == "nginx" else agent.path) + BODY

    def wrk(self, name: str, connections: int, seconds: int) -> dict:
        return wrk(self.urls[name], [self.request(name)], connections, seconds)

    def new_connections(self, name: str, count: int) -> float:
        """The median of the milliseconds that one request on a new connection takes."""
        request, took = self.request(name), []
        # What is measured is the server's; whom to trust costs this client the same each time.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for _ in range(count):
            started = time.perf_counter()
            with socket.create_connection(address(self.urls[name]), timeout=PATIENCE) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.urls[name].startswith("https:"):
                    connection = context.wrap_socket(connection)
                connection.sendall(request)
                assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 "), name
                took.append((time.perf_counter() - started) * 1000)
                connection.close()
        return median(took)


@contextmanager
def ways():
    with scratch_directory() as folder, running_direct() as direct:
        behind = urllib.parse.urlsplit(direct).netloc
        with running_nginx(behind, certificate=self_signed(folder)) as nginx:
            with running_server() as plain, running_server("--tls", "auto") as secure:
                yield Ways(deploy_static_agent(plain), deploy_static_agent(secure), nginx)


def self_signed(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "cert.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, key


def measure(table: Table, quick: bool):
    blocks, seconds, count = (2, 1, 50) if quick else (9, 2, 300)
    with ways() as three:
        for connections in (1, 32):
            add_warm(table, connections, take_turns(blocks, lambda name: three.wrk(name, connections, seconds)))
        add_new(table, take_turns(blocks, lambda name: three.new_connections(name, count)))


def take_turns(blocks: int, run) -> list[dict]:
    """Rounds of all three, each with another first; one more before them warms up."""
    rounds = []
    for turn in range(-1, blocks):
        order = NAMES[turn % 3 :] + NAMES[: turn % 3]
        rounds.append({name: run(name) for name in order})
    return rounds[1:]


def add_warm(table: Table, connections: int, rounds: list[dict]):
    what = f"warm invoke over TLS, {connections} connection{'s' * (connections > 1)}"
    shown = {key: {name: median(each[name][key] for each in rounds) for name in NAMES} for key in ("p50", "rate")}
    added = median(each["tls"]["p50"] - each["plain"]["p50"] for each in rounds)
    nginx = median(each["tls"]["p50"] / each["nginx"]["p50"] for each in rounds)
    table.add(
        f"{what}: p50", "", f"{shown['p50']['nginx']:.0f} µs", f"{shown['p50']['tls']:.0f} µs",
        f"{added:+.0f} µs to {shown['p50']['plain']:.0f} µs without, {nginx:.2f} of nginx",
    )
    without, nginx = (median(each["tls"]["rate"] / each[name]["rate"] for each in rounds) for name in ("plain", "nginx"))
    table.add(
        f"{what}: requests/s", "", f"{shown['rate']['nginx']:,.0f}", f"{shown['rate']['tls']:,.0f}",
        f"{without:.2f} of {shown['rate']['plain']:,.0f} without, {nginx:.2f} of nginx",
    )


def add_new(table: Table, rounds: list[dict]):
    shown = {name: median(each[name] for each in rounds) for name in NAMES}
    added = median(each["tls"] - each["plain"] for each in rounds)
    nginx = median(each["tls"] / each["nginx"] for each in rounds)
    table.add(
        "invoke over TLS, a new connection each: p50", "", f"{shown['nginx']:.2f} ms", f"{shown['tls']:.2f} ms",
        f"{added:+.2f} ms to {shown['plain']:.2f} ms without, {nginx:.2f} of nginx",
    )
