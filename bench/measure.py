"""One table of ratios: both sides of every comparison are measured in the same run, in blocks that take turns.

Warm: the same request, replayed by wrk, straight to a static agent, through nginx to it, and through Innkeep, which verifies
its signature every time. Cold: the first answer of a new session against starting the very same process (same program,
environment and directory, read from /proc) bare. Memory: proportional set size, as the kernel counts it.
"""

import argparse
import datetime
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "e2e"))

from harness import EXAMPLES, ROLE, SESSION_HEADER, Agent, new_session, running_server, wait_for  # noqa: E402

AGENT = ROOT / "target" / "release" / "innkeep-bench-agent"
BODY = b'{"prompt": "What is 2+2?"}'
JSON = {"Content-Type": "application/json"}
AGENT_PORT = 8080

NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream agent {{ server 127.0.0.1:{agent}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    keepalive_requests 1000000000;
    location / {{ proxy_pass http://agent; proxy_http_version 1.1; proxy_set_header Connection ""; }}
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


def median(values) -> float:
    return statistics.median(values)


# --- warm ---------------------------------------------------------------------------------------------------------------


def deploy_static_agent(server, scratch: Path) -> Agent:
    folder = scratch / "static"
    folder.mkdir()
    shutil.copy2(AGENT, folder / "agent")
    uploaded = server.upload(folder, "zip")
    created = server.control.create_agent_runtime(
        agentRuntimeName="static", roleArn=ROLE, networkConfiguration={"networkMode": "PUBLIC"},
        agentRuntimeArtifact={
            "codeConfiguration": {
                "code": {"s3": {"bucket": uploaded["bucket"], "prefix": uploaded["prefix"]}},
                "runtime": "PROVIDED", "entryPoint": ["./agent"],
            }
        },
    )
    runtime = server.settled(created["agentRuntimeId"])
    assert runtime["status"] == "READY", runtime.get("failureReason")
    return Agent(server, created["agentRuntimeArn"], created["agentRuntimeId"])


class Warm:
    """Three ways to the same static agent."""

    def __init__(self, server, scratch: Path):
        self.server, self.scratch = server, scratch
        self.agent = deploy_static_agent(server, scratch)
        self.session = new_session()
        self.agent.ask({}, self.session)
        direct, nginx = free_port(), free_port()
        (scratch / "nginx.conf").write_text(NGINX.format(dir=scratch, agent=direct, port=nginx))
        self.children = [
            subprocess.Popen([AGENT], env={"PORT": str(direct)}),
            subprocess.Popen(["/usr/sbin/nginx", "-c", scratch / "nginx.conf", "-e", scratch / "error.log"]),
        ]
        for port in (direct, nginx):
            wait_for(f"port {port}", lambda port=port: accepts(port))
        self.contenders = {
            "direct": (f"http://127.0.0.1:{direct}", "/invocations"),
            "nginx": (f"http://127.0.0.1:{nginx}", "/invocations"),
            "innkeep": (server.url, self.agent.path),
        }

    def block(self, contender: str, connections: int, seconds: float) -> dict:
        """One wrk run. All contenders get the same headers, signature included, so that all read as many bytes."""
        url, target = self.contenders[contender]
        headers = self.server.signed("POST", self.agent.path, BODY, JSON | {SESSION_HEADER: self.session})
        request = self.scratch / "request"
        lines = [target, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        request.write_bytes("\n".join(lines).encode() + BODY)
        ran = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", ROOT / "bench" / "warm.lua", url, "--", request],
            capture_output=True, text=True, check=True,
        )
        result = json.loads(ran.stdout.split("RESULT ", 1)[1])
        assert result["failed"] == 0, (contender, ran.stdout)
        return result

    def measure(self, connections: int, blocks: int, seconds: float) -> dict[str, list[dict]]:
        results = {name: [] for name in self.contenders}
        names = list(self.contenders)
        for name in names:
            self.block(name, connections, 1)  # warms up
        for turn in range(blocks):
            for name in names[turn % 3 :] + names[: turn % 3]:
                results[name].append(self.block(name, connections, seconds))
        return results

    def close(self):
        for child in self.children:
            child.send_signal(signal.SIGKILL)
            child.wait()


# --- cold ---------------------------------------------------------------------------------------------------------------


def agent_pid(agent: Agent, session: str) -> int:
    answer = agent.server.request("GET", f"/innkeep/v1/sessions?runtime={agent.id}&session={session}")
    return answer.json()["sessions"][0]["agentPid"]


class Cold:
    """One example: its first answer through Innkeep against its first answer when started by hand."""

    def __init__(self, server, example: str):
        self.agent = server.deploy(EXAMPLES / example)
        session = new_session()
        self.agent.ask(json.loads(BODY), session)
        process = Path(f"/proc/{agent_pid(self.agent, session)}")
        self.argv = (process / "cmdline").read_bytes().decode().split("\0")[:-1]
        variables = (process / "environ").read_bytes().decode().split("\0")[:-1]
        self.environment = dict(variable.split("=", 1) for variable in variables)
        self.directory = os.readlink(process / "cwd")
        self.agent.stop(session)

    def innkeep(self) -> float:
        """From the request to the end of its answer; the session is ended again before the clock of the next one runs."""
        session = new_session()
        headers = self.agent.server.signed("POST", self.agent.path, BODY, JSON | {SESSION_HEADER: session})
        started = time.perf_counter()
        answer = self.agent.server.request("POST", self.agent.path, BODY, headers, sign=False)
        took = time.perf_counter() - started
        assert answer.status == 200, answer
        pid = agent_pid(self.agent, session)
        self.agent.stop(session)
        wait_for("the session to end", lambda: not Path(f"/proc/{pid}").exists())
        return took * 1000

    def bare(self) -> float:
        """From the start of the process to the end of its first answer, sent as soon as `/ping` is good."""
        assert not accepts(AGENT_PORT), f"port {AGENT_PORT} is taken; the bare agent needs it"
        started = time.perf_counter()
        child = subprocess.Popen(
            self.argv, env=self.environment, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while not self.pings():
                assert child.poll() is None and time.perf_counter() - started < 60, "the bare agent does not start"
                time.sleep(0.001)
            connection = http.client.HTTPConnection("127.0.0.1", AGENT_PORT, timeout=30)
            connection.request("POST", "/invocations", BODY, JSON)
            assert connection.getresponse().read()
            return (time.perf_counter() - started) * 1000
        finally:
            child.kill()
            child.wait()

    @staticmethod
    def pings() -> bool:
        if not accepts(AGENT_PORT):
            return False
        connection = http.client.HTTPConnection("127.0.0.1", AGENT_PORT, timeout=5)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def measure(self, times: int) -> tuple[list[float], list[float]]:
        bare, innkeep = [], []
        self.bare(), self.innkeep()  # fills the page cache
        for turn in range(times):
            for measure, into in [(self.bare, bare), (self.innkeep, innkeep)][:: -1 if turn % 2 else 1]:
                into.append(measure())
        return bare, innkeep


# --- memory -------------------------------------------------------------------------------------------------------------


def pss(pid: int) -> float:
    """Proportional set size, MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def memory(server, scratch: Path) -> dict[str, float]:
    agent = deploy_static_agent(server, scratch)
    sessions = [new_session() for _ in range(10)]
    agent.ask({}, sessions[0])
    sidecars = [parent(agent_pid(agent, sessions[0]))]
    alone, idle = pss(sidecars[0]), pss(server.pid)
    for session in sessions[1:]:
        agent.ask({}, session)
        sidecars.append(parent(agent_pid(agent, session)))
    return {"server": idle, "sidecar": alone, "ten": median(pss(pid) for pid in sidecars), "server_ten": pss(server.pid)}


# --- the table ----------------------------------------------------------------------------------------------------------


class Table:
    """Rows of: what, its figures, the ratio or difference, the target and whether it was met."""

    def __init__(self):
        self.rows = [("what", "bare or direct", "nginx", "innkeep", "compared", "target", "")]

    def add(self, what, direct, nginx, innkeep, compared="", target="", met=None):
        self.rows.append((what, direct, nginx, innkeep, compared, target, {None: "", True: "met", False: "missed"}[met]))

    def markdown(self) -> str:
        widths = [max(len(row[column]) for row in self.rows) for column in range(7)]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in self.rows]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([lines[0], rule, *lines[1:]])


def add_warm(table: Table, warm: Warm, connections: int, blocks: int, seconds: float):
    results = warm.measure(connections, blocks, seconds)
    figures = {name: {key: median(r[key] for r in runs) for key in ("p50", "p99", "rate")} for name, runs in results.items()}
    pairs = list(zip(results["direct"], results["nginx"], results["innkeep"]))
    what = f"warm invoke, {connections} connection{'s' * (connections > 1)}"
    for key in ("p50", "p99"):
        added = median(ours[key] - direct[key] for direct, _, ours in pairs)
        against = median(ours[key] / nginx[key] for _, nginx, ours in pairs)
        target = key == "p50" and connections == 1
        table.add(
            f"{what}: {key}", *(f"{figures[name][key]:.0f} µs" for name in ("direct", "nginx", "innkeep")),
            f"{added:+.0f} µs to direct, {against:.2f} of nginx",
            "adds ≤ 120 µs to direct" if target else "", added <= 120 if target else None,
        )
    ratio = median(ours["rate"] / nginx["rate"] for _, nginx, ours in pairs)
    direct = median(ours["rate"] / straight["rate"] for straight, _, ours in pairs)
    table.add(
        f"{what}: requests/s", *(f"{figures[name]['rate']:,.0f}" for name in ("direct", "nginx", "innkeep")),
        f"{ratio:.2f} of nginx, {direct:.2f} of direct", "≥ 0.60 of nginx", ratio >= 0.6,
    )


def add_cold(table: Table, server, example: str, times: int):
    bare, innkeep = Cold(server, example).measure(times)
    added = median(innkeep) - median(bare)
    table.add(
        f"cold invoke, {example}: median", f"{median(bare):.1f} ms", "", f"{median(innkeep):.1f} ms", f"{added:+.1f} ms",
        "adds ≤ 20 ms to bare", added <= 20,
    )
    table.add(
        f"cold invoke, {example}: slowest of {times}", f"{max(bare):.1f} ms", "", f"{max(innkeep):.1f} ms",
        f"{max(innkeep) - max(bare):+.1f} ms",
    )


def machine() -> str:
    model = next(
        (line.split(": ", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}"


HEAD = """# Results of `bench/run`

Measured {date} on {machine}.

* Every line compares what was measured in this run, in blocks that take turns: {blocks} blocks of {seconds} s, {times} cold starts.
  Figures are medians of the blocks; what is compared is the median of the blocks' own differences and ratios.
* Load generator, contender and agent share the CPUs.
* Warm: `wrk` replays one signed request, and Innkeep verifies the signature of each. nginx: Debian's, one worker, upstream
  keep-alive, no access log.
* Cold: the first answer of a new session against starting the same process by hand, `/ping` and first answer included.
* Memory: proportional set size.

"""


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter blocks: a look, not a result")
    parser.add_argument("--print", action="store_true", help="leave bench/RESULTS.md alone")
    options = parser.parse_args()
    blocks, seconds, times = (3, 1, 5) if options.quick else (9, 3, 21)
    table = Table()
    scratch = Path(tempfile.mkdtemp(prefix="innkeep-bench-"))
    try:
        with running_server() as server:
            used = memory(server, scratch)
            shutil.rmtree(scratch / "static")
        with running_server() as server:
            warm = Warm(server, scratch)
            try:
                for connections in (1, 32):
                    print(f"warm, {connections} connections …", file=sys.stderr, flush=True)
                    add_warm(table, warm, connections, blocks, seconds)
            finally:
                warm.close()
        with running_server() as server:
            for example in ("hello", "sdk-echo"):
                print(f"cold, {example} …", file=sys.stderr, flush=True)
                add_cold(table, server, example, times)
        table.add("memory of the server, one session", "", "", f"{used['server']:.1f} MiB")
        table.add("memory of the server, ten sessions", "", "", f"{used['server_ten']:.1f} MiB")
        table.add("memory of a sidecar, alone", "", "", f"{used['sidecar']:.2f} MiB", "", "≤ 2 MiB", used["sidecar"] <= 2)
        table.add("memory of a sidecar, one of ten", "", "", f"{used['ten']:.2f} MiB")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    head = HEAD.format(
        date=datetime.date.today().isoformat(), machine=machine(), blocks=blocks, seconds=seconds, times=times
    )
    text = head + table.markdown() + "\n"
    print(text)
    if not options.print:
        (ROOT / "bench" / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
