"""The control plane: creates and reads per second, versions made per second, and what a page costs as runtimes become many."""

import hashlib
import io
import json
import platform
import re
import selectors
import socket
import subprocess
import tarfile
import time
import uuid
from pathlib import Path
from urllib.parse import quote, urlsplit

import servers
from contenders import AGENT, address, wrk
from harness import EXAMPLES, ROLE, Server
from servers import running_server
from table import Table, median, percentile

PAGE = 100
FEW, MANY = 100, 10_000
PAUSED = "max_concurrent_checks = 0\nmax_runtimes = 1000000\n"
NOTE = """Control plane: signed requests, each signature verified, and every create on disk before it is acknowledged. Reads:
`wrk` replays one GetAgentRuntime. Creates: signed ahead, each with a name of its own, sent by a loop in Python that costs
about a twentieth of a millisecond for each; `max_concurrent_checks = 0` keeps their versions from being made meanwhile. Versions made: all creates
at once, the default queue, to the last READY; the agent is `examples/hello`, and of the image the static agent of the other groups.
"READY": from sending one create to the first GetAgentRuntime that says so, asked every other millisecond. A page:
ListAgentRuntimes on one connection, first while there are 100 runtimes, then while there are 10,000."""


def measure(table: Table, quick: bool):
    with running_server(settings=PAUSED) as server:
        what = server.artifact(EXAMPLES / "hello")
        reads_and_creates(table, server, what, quick)
    with running_server(settings=PAUSED) as server:
        pages(table, server, server.artifact(EXAMPLES / "hello"), quick)
    with running_server() as server:
        made(table, server, server.artifact(EXAMPLES / "hello"), quick)


# --- requests ----------------------------------------------------------------------------------------------------------


def request(server: Server, method: str, target: str, body: bytes = b"") -> bytes:
    """A whole signed request."""
    headers = server.signed(method, target, body, {"Content-Type": "application/json"} if body else {})
    headers |= {"Host": urlsplit(server.url).netloc, "Content-Length": str(len(body))}
    return "\r\n".join([f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]).encode() + body


def creates(server: Server, what: dict, n_runtimes: int) -> list[bytes]:
    def create():
        body = {"agentRuntimeName": f"a{uuid.uuid4().hex}", "agentRuntimeArtifact": what, "roleArn": ROLE,
                "networkConfiguration": {"networkMode": "PUBLIC"}}
        return request(server, "PUT", "/runtimes/", json.dumps(body).encode())

    return [create() for _ in range(n_runtimes)]


def send_each_once(server: Server, requests: list[bytes], n_connections: int) -> tuple[float, list[float], list[bytes]]:
    """Sends every request once, over so many connections, one at a time on each. Returns how many were answered per second, how long
    each took in ms, and the answers' bodies."""
    ahead = iter(requests)
    times, bodies = [], []
    with selectors.DefaultSelector() as selector:
        def next_on(connection):
            following = next(ahead, None)
            if following is None:
                selector.unregister(connection)
                connection.close()
            else:
                sent[connection] = time.perf_counter()
                connection.sendall(following)

        sent, received = {}, {}
        for _ in range(min(n_connections, len(requests))):
            connection = socket.create_connection(address(server.url))
            selector.register(connection, selectors.EVENT_READ)
            received[connection] = b""
        started = time.perf_counter()
        for connection in list(received):
            next_on(connection)
        while selector.get_map():
            for key, _ in selector.select(30):
                connection = key.fileobj
                received[connection] += connection.recv(1 << 16)
                head, end, body = received[connection].partition(b"\r\n\r\n")
                if end and len(body) == int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1]):
                    assert head.startswith(b"HTTP/1.1 20"), received[connection]
                    times.append((time.perf_counter() - sent[connection]) * 1000)
                    bodies.append(body)
                    received[connection] = b""
                    next_on(connection)
        elapsed = time.perf_counter() - started
    return len(requests) / elapsed, times, bodies


# --- reads and creates -------------------------------------------------------------------------------------------------


def reads_and_creates(table: Table, server: Server, what: dict, quick: bool):
    blocks, seconds, n_creates = (2, 1, 200) if quick else (7, 2, 1000)
    _, _, [created] = send_each_once(server, creates(server, what, 1), 1)
    get = request(server, "GET", f"/runtimes/{quote(json.loads(created)['agentRuntimeId'])}/")
    wrk(server.url, [get], 8, 1)  # warms up
    reads = {n: [] for n in (1, 32)}
    puts = {n: [] for n in (1, 32)}
    for _ in range(blocks):
        for n in (1, 32):
            reads[n].append(wrk(server.url, [get], n, seconds))
            rate, times, _ = send_each_once(server, creates(server, what, n_creates if n > 1 else n_creates // 4), n)
            puts[n].append({"rate": rate, "p50": median(times), "p99": percentile(times, 99)})
    for n in (1, 32):
        figures = {key: median(run[key] for run in reads[n]) for key in ("rate", "p50", "p99")}
        row(table, f"GetAgentRuntime, {connections(n)}: requests/s", figures, 5000 if n == 32 else None, 1000)
    for n in (1, 32):
        figures = {key: median(run[key] for run in puts[n]) for key in ("rate", "p50", "p99")}
        row(table, f"CreateAgentRuntime, {connections(n)}: requests/s", figures, 300 if n == 32 else None, 1)


def row(table: Table, what: str, figures: dict, least: int | None, per_ms: int):
    spread = f"p50 {figures['p50'] / per_ms:.2f} ms, p99 {figures['p99'] / per_ms:.2f} ms"
    target, met = (f"≥ {least:,}", figures["rate"] >= least) if least else ("", None)
    table.add(what, innkeep=f"{figures['rate']:,.0f}", compared=spread, target=target, met=met)


def connections(n: int) -> str:
    return f"{n} connection{'s' * (n > 1)}"


# --- pages -------------------------------------------------------------------------------------------------------------


def pages(table: Table, server: Server, what: dict, quick: bool):
    blocks, seconds, many = (3, 1, 2000) if quick else (7, 2, MANY)
    send_each_once(server, creates(server, what, FEW), 32)
    first = f"/runtimes/?maxResults={PAGE}"
    few = [page(server, first, seconds) for _ in range(blocks)]
    for _ in range(FEW, many, FEW):
        send_each_once(server, creates(server, what, FEW), 32)
    target = first
    for _ in range(many // PAGE // 2):
        answer = server.request("POST", target)
        assert answer.status == 200, answer
        target = f"{first}&nextToken={quote(answer.json()['nextToken'], safe='')}"
    ways = {"first": first, "middle": target}
    runs = {name: [] for name in ways}
    for _ in range(blocks):
        for name, way in ways.items():
            runs[name].append(page(server, way, seconds))
    table.add(f"a page of {PAGE} out of {FEW}: p50", innkeep=f"{median(few):.2f} ms")
    for name, taken in runs.items():
        ratio = median(taken) / median(few)
        table.add(
            f"the {name} page of {PAGE} out of {many:,}: p50", innkeep=f"{median(taken):.2f} ms",
            compared=f"{ratio:.2f} of that out of {FEW}", target="0.80 to 1.20", met=0.8 <= ratio <= 1.2,
        )


def page(server: Server, target: str, seconds: int) -> float:
    """The p50 of one connection, ms."""
    return wrk(server.url, [request(server, "POST", target)], 1, seconds)["p50"] / 1000


# --- versions ----------------------------------------------------------------------------------------------------------


def made(table: Table, server: Server, what: dict, quick: bool):
    n_alone, n_together = (5, 10) if quick else (25, 100)
    ways = {"a zip already uploaded": what}
    if servers.chosen == "container":
        ways["an image already unpacked"] = image(server)
    for name, artifact in ways.items():
        alone = [ready(server, creates(server, artifact, 1)) for _ in range(n_alone)]
        spread = f"min {min(alone) * 1000:.0f}, p95 {percentile(alone, 95) * 1000:.0f} ms"
        table.add(f"CreateAgentRuntime to READY, {name}: p50", innkeep=f"{median(alone) * 1000:.0f} ms", compared=spread)
    elapsed = ready(server, creates(server, what, n_together))
    table.add(f"{n_together} creates at once: versions made/s", innkeep=f"{n_together / elapsed:.1f}")


def image(server: Server) -> dict:
    """Uploads the static agent with the libraries that it needs, as an image of one layer. One version is made of it."""
    needed = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", AGENT], capture_output=True, text=True, check=True).stdout)
    layer = tar(*((path.lstrip("/"), Path(path).read_bytes()) for path in needed), ("agent", Path(AGENT).read_bytes()))
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    config = {"architecture": architecture, "os": "linux", "config": {"Entrypoint": ["/agent"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}}
    manifest = [{"Config": "config.json", "Layers": ["layer.tar"]}]
    archive = tar(("config.json", json.dumps(config).encode()), ("layer.tar", layer), ("manifest.json", json.dumps(manifest).encode()))
    answer = server.request("POST", "/innkeep/v1/artifacts?kind=image&name=bench", archive)
    assert answer.status == 201, answer
    what = {"containerConfiguration": {"containerUri": answer.json()["containerUri"]}}
    ready(server, creates(server, what, 1))
    return what


def tar(*files: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def ready(server: Server, requests: list[bytes]) -> float:
    """Seconds from the first create to the last READY."""
    started = time.perf_counter()
    _, _, created = send_each_once(server, requests, 32)
    waiting = [request(server, "GET", f"/runtimes/{json.loads(body)['agentRuntimeId']}/") for body in created]
    # In the order in which they were taken, so that the last is mostly the last.
    for get in waiting:
        while (status := json.loads(send_each_once(server, [get], 1)[2][0])["status"]) != "READY":
            assert status == "CREATING", status
            time.sleep(0.002)
    return time.perf_counter() - started
