"""Cold invocations: the first answer of a new session, against starting the very same process (same program, environment and
directory, read from /proc) bare."""

import http.client
import json
import os
import subprocess
import time
from pathlib import Path

from contenders import BODY, JSON, accepts
from harness import EXAMPLES, SESSION_HEADER, Agent, new_session, running_server, wait_for
from table import Table, median

AGENT_PORT = 8080
NOTE = """Cold: the first answer of a new session against starting the same process by hand, `/ping` and first answer
included."""


def measure(table: Table, quick: bool):
    times = 5 if quick else 21
    with running_server() as server:
        for example in ("hello", "sdk-echo"):
            bare, innkeep = Cold(server, example).measure(times)
            added = median(innkeep) - median(bare)
            table.add(
                f"cold invoke, {example}: median", f"{median(bare):.1f} ms", "", f"{median(innkeep):.1f} ms",
                f"{added:+.1f} ms", "adds ≤ 20 ms to bare", added <= 20,
            )
            table.add(
                f"cold invoke, {example}: slowest of {times}", f"{max(bare):.1f} ms", "", f"{max(innkeep):.1f} ms",
                f"{max(innkeep) - max(bare):+.1f} ms",
            )


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
