"""An edit under `innkeep dev`: how long from the last byte of `main.py` until the new version answers."""

import json
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import servers
from contenders import JSON, SESSION_HEADER, Agent, Server, new_session, scratch_directory, wait_for
from harness import EXAMPLES, clear_away
from table import Table, median

ROUNDS = 11
BEFORE = "{ast.unparse(expression)} ="
QUESTION = b'{"prompt": "What is 2+2?"}'
PAUSE = 0.01
PATIENCE = 60
TARGET_MS = 1000
NOTE = """Reload: `innkeep dev` of the example `hello`, as its user has it, with a server of its own and the chosen isolation.
`main.py` is rewritten, and one session, which is live, is asked every few milliseconds until it answers as the edit says: the quiet
time that ends an edit, packing, a new version and its trial start, the end of the session's old sandbox and the start of its
new one. Every answer until then is one of the version before."""


class Dev(Server):
    """`innkeep dev` of a folder, and the server in it."""

    def __init__(self, data_dir: Path, folder: Path):
        self.folder = folder
        super().__init__(data_dir, isolation=servers.chosen)

    def _command(self) -> list:
        self.settings["INNKEEP_ISOLATION"] = self.isolation
        return [self.binary, "dev", self.folder, "--listen", "127.0.0.1:0"]


@contextmanager
def running_dev(folder: Path):
    """The agent of `folder` under development."""
    with scratch_directory() as data_dir:
        dev = Dev(data_dir, folder)
        try:
            runtimes = wait_for("a runtime", lambda: dev.control.list_agent_runtimes()["agentRuntimes"], PATIENCE)
            yield Agent(dev, runtimes[0]["agentRuntimeArn"], runtimes[0]["agentRuntimeId"])
            dev.stop()
        finally:
            dev.kill()
            clear_away(data_dir)


def measure(table: Table, quick: bool):
    with scratch_directory() as scratch:
        folder = Path(shutil.copytree(EXAMPLES / "hello", scratch / "hello"))
        with running_dev(folder) as agent:
            took = edits(agent, folder / "main.py", 5 if quick else ROUNDS)
    table.add(
        "an edit under `dev`, hello, to its answer: p50", innkeep=f"{median(took):.0f} ms",
        compared=f"min {min(took):.0f}, max {max(took):.0f} ms", target="< 1 s, the longest too", met=max(took) < TARGET_MS,
    )


def edits(agent: Agent, main: Path, rounds: int) -> list[float]:
    """Edits so often and returns how long each took, ms."""
    original, session, took = main.read_text(), new_session(), []
    wait_for("the first version", lambda: agent.server.settled(agent.id)["status"] == "READY", PATIENCE)
    answer(agent, session)
    for turn in range(rounds):
        main.write_text(original.replace(BEFORE, f"edit {turn}:"))
        took.append(until(agent, session, f"edit {turn}: 4"))
    return took


def until(agent: Agent, session: str, expected: str) -> float:
    began = time.perf_counter()
    while answer(agent, session) != expected:
        assert time.perf_counter() - began < PATIENCE, agent.server.stderr[-2000:]
        time.sleep(PAUSE)
    return (time.perf_counter() - began) * 1000


def answer(agent: Agent, session: str) -> str:
    answered = agent.server.request("POST", agent.path, QUESTION, JSON | {SESSION_HEADER: session})
    assert answered.status == 200, answered
    return json.loads(answered.body)["result"]
