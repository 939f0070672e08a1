"""The agents whose starts are measured, and how one is started by hand: the command, environment and directory that a session
without isolation has, read from /proc, so that every place starts the very same thing."""

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contenders import AGENT, BENCH, scratch_directory
from harness import EXAMPLES, Agent, Server, new_session
from servers import agent_pid, deploy

PORT = 8080
PROMPT = {"prompt": "What is 2+2?"}


@dataclass
class Workload:
    """One agent: its sources, and a command that runs it on any port (but for the SDK's, which has one)."""

    name: str
    folder: Path
    settings: str
    argv: list[str]
    environment: dict[str, str]
    directory: str
    shared: Path
    """What of the host the command needs besides /usr."""


@contextmanager
def sources():
    """Of each workload: its name, its folder, and the settings it needs."""
    with scratch_directory() as scratch:
        static = scratch / "static"
        static.mkdir()
        shutil.copy2(AGENT, static / "agent")
        yield [
            ("static", static, 'entrypoint = "agent"'),
            ("stdlib", BENCH / "agents" / "stdlib", ""),
            ("sdk", EXAMPLES / "sdk-echo", ""),
        ]


def read(server: Server, name: str, folder: Path, settings: str) -> tuple[Workload, Agent]:
    """Deploys it to a server without isolation and reads what a session's agent runs with."""
    agent = deploy(server, folder, settings)
    session = new_session()
    agent.ask(PROMPT, session)
    process = Path(f"/proc/{agent_pid(agent, session)}")
    argv = (process / "cmdline").read_bytes().decode().split("\0")[:-1]
    variables = (process / "environ").read_bytes().decode().split("\0")[:-1]
    environment = dict(variable.split("=", 1) for variable in variables) | {"HOME": "/tmp", "TMPDIR": "/tmp"}
    directory = os.readlink(process / "cwd")
    agent.stop(session)
    return Workload(name, folder, settings, argv, environment, directory, server.data_dir / "artifacts"), agent
