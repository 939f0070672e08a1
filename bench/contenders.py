"""The static agent and the ways to it: straight to its process, through nginx, through Innkeep; and wrk, that asks it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH.parent / "e2e"))

from harness import SESSION_HEADER, Agent, Server, binary, new_session, wait_for  # noqa: E402
from servers import deploy, running_server  # noqa: E402

AGENT = binary().with_name("innkeep-bench-agent")
BODY = b'{"prompt": "What is 2+2?"}'
JSON = {"Content-Type": "application/json"}

NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream agents {{ {agents} keepalive 1024; }}
  server {{
    listen 127.0.0.1:{port}{tls};
    keepalive_requests 1000000000; client_max_body_size 100m;
    location / {{ proxy_pass http://agents; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def scratch_directory():
    directory = tempfile.mkdtemp(prefix="innkeep-bench-")
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running(*command, port: int, **variables):
    """A program that listens on `port`."""
    child = subprocess.Popen(command, env=variables)
    try:
        wait_for(f"port {port}", lambda: accepts(port))
        yield
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@contextmanager
def running_direct():
    """The static agent, started by hand; its URL."""
    port = free_port()
    with running(AGENT, port=port, PORT=str(port)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running_nginx(*agents: str, certificate: tuple[Path, Path] | None = None):
    """nginx in front of these agents (host:port), each in turn; its URL. With a certificate and its key, over TLS."""
    with scratch_directory() as directory:
        port = free_port()
        servers = " ".join(f"server {agent};" for agent in agents)
        tls = " ssl; ssl_certificate {}; ssl_certificate_key {}".format(*certificate) if certificate else ""
        (directory / "nginx.conf").write_text(NGINX.format(dir=directory, agents=servers, port=port, tls=tls))
        with running("/usr/sbin/nginx", "-c", directory / "nginx.conf", "-e", directory / "error.log", port=port):
            yield f"http{'s' if certificate else ''}://127.0.0.1:{port}"


def deploy_static_agent(server: Server) -> Agent:
    with scratch_directory() as folder:
        shutil.copy2(AGENT, folder / "agent")
        return deploy(server, folder, 'entrypoint = "agent"')


def head(agent: Agent, session: str, body: bytes, target: str) -> bytes:
    """Returns the head of a signed request to `target`. All contenders get the same, so that all read as many bytes."""
    headers = agent.server.signed("POST", agent.path, body, JSON | {SESSION_HEADER: session})
    headers |= {"Host": urllib.parse.urlsplit(agent.server.url).netloc, "Content-Length": str(len(body))}
    return "\r\n".join([f"POST {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]).encode()


class ThreeWays:
    """To the same program: straight to a process of it, through nginx to that one, and through Innkeep to a session's."""

    def __init__(self, agent: Agent, direct: str, nginx: str):
        self.agent = agent
        self.session = new_session()
        self.urls = {"direct": direct, "nginx": nginx, "innkeep": agent.server.url}
        agent.ask({}, self.session)

    def address(self, contender: str) -> tuple[str, int]:
        return address(self.urls[contender])

    def head(self, contender: str, body: bytes) -> bytes:
        target = self.agent.path if contender == "innkeep" else "/invocations"
        return head(self.agent, self.session, body, target)

    def wrk(self, contender: str, connections: int, seconds: int) -> dict:
        return wrk(self.urls[contender], [self.head(contender, BODY) + BODY], connections, seconds)


@contextmanager
def three_ways():
    with running_direct() as direct, running_nginx(urllib.parse.urlsplit(direct).netloc) as nginx:
        with running_server() as server:
            yield ThreeWays(deploy_static_agent(server), direct, nginx)


def address(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


def wrk(url: str, requests: list[bytes], connections: int, seconds: int) -> dict:
    """Sends these requests in turn, over and over: `p50` and `p99` in µs, `rate` per second."""
    with tempfile.NamedTemporaryFile() as file:
        for request in requests:
            file.write(b"%d\n%s" % (len(request), request))
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", BENCH / "replay.lua", url, "--", file.name]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    result = json.loads(ran.stdout.split("RESULT ", 1)[1])
    assert result["failed"] == 0, (url, ran.stdout)
    return result
