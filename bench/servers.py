"""Innkeep's side of a measurement: servers of a chosen isolation, agents deployed to them, and what the operator API says of
their sessions. Which isolation all groups measure is `chosen`; those that compare several name theirs."""

import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import harness
from harness import Agent, Server, wait_for

chosen = "container" if os.geteuid() == 0 else "process"
ORDINARY_USER = 41_000  # any id that is nobody's
WITHOUT_LIMITS = "allow_missing_limits = true\n"  # control groups are rarely an ordinary user's
MANY = "max_active_sessions = 2000\nmax_starts_per_second = 1000\n"


@contextmanager
def running_server(*arguments: str, settings: str = "", isolation: str = "", ordinary_user: bool = False):
    """A server with these lines of `innkeep.toml`, of the chosen isolation unless told; run by root unless told."""
    how = {"isolation": isolation or chosen}
    with tempfile.TemporaryDirectory(prefix="innkeep-bench-") as scratch:
        os.chmod(scratch, 0o755)
        if how["isolation"] != "process" and (ordinary_user or os.geteuid() != 0):
            settings += WITHOUT_LIMITS
        if settings:
            file = Path(scratch) / "innkeep.toml"
            file.write_text(settings)
            arguments += ("--config", str(file))
        if ordinary_user:
            how["user"] = ORDINARY_USER
        with harness.running_server(*arguments, **how) as server:
            try:
                yield server
            except BaseException:
                print("", *(line for line in server.stderr_lines if " INFO " not in line), sep="\n", file=sys.stderr)
                server.process.terminate()  # it alone knows what else there is to remove
                server.process.wait(60)
                raise
            server.stop()  # what it holds at rest is for tests to know


def deploy(server: Server, folder: Path, settings: str = "", egress: str = "none") -> Agent:
    """Deploys a copy of `folder` with these lines as the `[agent]` of its `innkeep.toml`."""
    with tempfile.TemporaryDirectory(prefix="innkeep-bench-") as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / folder.name))
        (copy / "innkeep.toml").write_text(f'[agent]\negress = "{egress}"\n{settings}\n')
        return server.deploy(copy)


# --- what a new session finds ------------------------------------------------------------------------------------------


def pool(agent: Agent) -> dict | None:
    """The sandboxes that wait for sessions of the agent's only version; nothing where it has no pool."""
    pools = agent.server.request("GET", "/innkeep/v1/pools").json()["pools"]
    return next((pool for pool in pools if pool["runtimeId"] == agent.id), None)


def await_pool(agent: Agent, size: int):
    wait_for(lambda: f"{size} to wait: {pool(agent)}", lambda: len(pool(agent)["ready"]) == size, 120)


def await_zygote(agent: Agent):
    """Until its new sessions are forked; the server says so in its log."""
    server = agent.server

    def is_there():
        return any("are forked from zygote" in line and agent.id in line for line in server.stderr_lines)

    wait_for(lambda: f"a zygote: {server.stderr[-2000:]}", is_there, 60)


def way(agent: Agent, session: str) -> str:
    """How the sandbox came about, as the server says."""
    return agent.view(session)["start"]["way"]


# --- sessions ----------------------------------------------------------------------------------------------------------


def live_sessions(agent: Agent) -> list[dict]:
    return agent.server.request("GET", f"/innkeep/v1/sessions?runtime={agent.id}").json()["sessions"]


def agent_pid(agent: Agent, session: str) -> int:
    return agent.view(session)["agentPid"]


def end_all(agent: Agent):
    """Ends every session of the agent, without grace, and waits until the server knows of none."""
    answer = agent.server.request("POST", "/innkeep/v1/sessions/stop", b'{"runtimeId": "%s", "kill": true}' % agent.id.encode())
    assert answer.status == 200, answer
    wait_for("the sessions to be gone", lambda: not live_sessions(agent), 60)


def sandboxes(server: Server) -> list[str]:
    """The directories of sandboxes; one is removed last of all that its sandbox had."""
    directory = server.data_dir / "sandboxes"
    return os.listdir(directory) if directory.exists() else []


def await_no_sandbox(server: Server, patience: float = 30):
    """As `wait_for`, but to the fifth of a millisecond."""
    deadline = time.monotonic() + patience
    while sandboxes(server):
        assert time.monotonic() < deadline, f"sandboxes left: {sandboxes(server)}"
        time.sleep(0.0002)
