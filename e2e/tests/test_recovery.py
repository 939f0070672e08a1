"""After `kill -9`: living sessions go on, dead ones are told, nothing is left over. And a crash at any moment of a start."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness import (
    AGENTS, binary, environment, innkeep, is_alive, new_session, processes, unclaimed_packet_filter, wait_for,
)
from hostile import KINDS, SETTINGS, need_public_network, server_of_kind
from machine import children

# With a network of its own, a sandbox has links and a packet filter besides, or a helper program.
WAYS = [(kind, "none") for kind in KINDS] + [(kind, "public") for kind in KINDS if kind != "process"]


@pytest.fixture(params=KINDS)
def own_server(request):
    """A server that the test kills, with each kind of sandbox."""
    with server_of_kind(request.param) as server:
        yield server


@pytest.fixture(params=WAYS, ids=", egress ".join)
def crashing(request):
    """A probe on such a server, with each network that it can have there."""
    kind, egress = request.param
    if egress == "public":
        need_public_network(is_rootless=kind.startswith("rootless"))
    with server_of_kind(kind) as server:
        agent = server.deploy(AGENTS / "probe", settings={"egress": egress})
        agent.is_public = egress == "public"
        yield agent


def agent_of(agent, session) -> int:
    """The agent's process on the host, once its session is there. (It may be another number to itself.)"""
    agent.ask({"do": "facts"}, session)
    return agent.view(session)["agentPid"]


def sandboxes(server) -> list[Path]:
    return sorted((server.data_dir / "sandboxes").iterdir())


def sidecar_of(server, agent_pid: int) -> int:
    """The process whose child the agent is."""
    pid = int(Path(f"/proc/{agent_pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    assert "innkeep-sidecar" in processes(str(server.data_dir))[pid]
    return pid


def test_a_session_keeps_its_process_and_memory_over_a_crash_of_the_server(crashing):
    server, sessions = crashing.server, [new_session(), new_session()]
    before = [crashing.ask({"do": "remember", "word": "apple"}, session) for session in sessions]
    pids = [agent_of(crashing, session) for session in sessions]
    start = lambda: [(view["startedAt"], view["startedBy"]) for view in map(crashing.view, sessions)]
    started = start()
    server.kill()
    server.start()
    for session in sessions:
        crashing.wait_for_state(session, "Idle")
    assert start() == started
    assert [crashing.view(session)["agentPid"] for session in sessions] == pids
    for session, was in zip(sessions, before):
        after = crashing.ask({"do": "remember", "word": "pear"}, session)
        assert after == {"pid": was["pid"], "memory": ["apple", "pear"]}
    # The adopted one ends like any other, and a third life of the server knows it did.
    crashing.stop(sessions[0])
    crashing.wait_for_state(sessions[0], "Stopped")
    server.kill()
    server.start()
    assert crashing.view(sessions[0])["stop"]["reason"] == "StoppedByCaller"
    assert crashing.ask({"do": "remember", "word": "fig"}, sessions[1])["memory"] == ["apple", "pear", "fig"]


@pytest.mark.parametrize("away", ["a moment", "until the sidecar is gone"])
def test_an_agent_that_died_while_the_server_was_away_is_lost_with_its_exit(crashing, away):
    server, session, other = crashing.server, new_session(), new_session()
    pid, lives = agent_of(crashing, session), agent_of(crashing, other)
    sidecar = sidecar_of(server, pid)
    server.kill()
    os.kill(pid, signal.SIGKILL)
    wait_for("the agent to die", lambda: not is_alive(pid))
    # A server that comes before the sidecar knows takes over an agent that lives.
    wait_for("its sidecar to know", lambda: any((home / "exit.json").exists() for home in sandboxes(server)))
    if away == "until the sidecar is gone":
        wait_for("the sidecar to give up", lambda: not is_alive(sidecar))
    server.start()
    view = crashing.wait_for_state(session, "Stopped")
    assert view["stop"] == {"reason": "HostLost", "exit": {"signal": 9}} and view["exit"] == {"signal": 9}
    shown = innkeep("sessions", "inspect", session, "--json", data_dir=server.data_dir)
    assert '"HostLost"' in shown.stdout and '"exit":{"signal":9}' in shown.stdout.replace(" ", ""), shown
    listed = json.loads(innkeep("sessions", "ls", "--all", "--json", data_dir=server.data_dir).stdout)
    exits = {each["sessionId"]: each.get("exit") for each in listed["sessions"]}
    assert exits == {session: {"signal": 9}, other: None}
    assert len(sandboxes(server)) == 1
    # The same id begins afresh; the neighbour never noticed.
    assert agent_of(crashing, session) != pid
    assert agent_of(crashing, other) == lives


def test_a_sidecar_that_was_killed_while_the_server_was_away_leaves_no_agent_and_no_directory(crashing):
    server, session = crashing.server, new_session()
    pid = agent_of(crashing, session)
    sidecar = sidecar_of(server, pid)
    server.kill()
    os.kill(sidecar, signal.SIGKILL)
    server.start()
    assert crashing.view(session)["stop"] == {"reason": "HostLost", "exit": None}
    assert sandboxes(server) == []
    # A launcher that is being made for the next session looks like the server for a moment.
    wait_for("no process but the server", lambda: set(processes(str(server.data_dir))) == {server.pid})


def test_a_first_boot_that_was_cut_off_is_ended_and_done_again(own_server):
    created = own_server.create(AGENTS / "never_binds", settings=SETTINGS)
    [cut_off] = wait_for("the first boot", lambda: [home for home in sandboxes(own_server) if processes(str(home))])
    own_server.kill()
    wait_for("sidecar and agent", lambda: len(processes(str(cut_off))) == 2)
    own_server.start()
    wait_for("the old sandbox to end", lambda: not processes(str(cut_off)) and not cut_off.exists())
    # It was made to its end by the next server, which found it unfinished.
    runtime = own_server.settled(created["agentRuntimeId"])
    assert runtime["status"] == "CREATE_FAILED", runtime


def test_a_second_server_on_the_data_directory_names_the_first_and_ends(own_server):
    second = subprocess.run(
        [binary(), "serve", "--listen", "127.0.0.1:0", "--isolation", own_server.isolation, "--data-dir", own_server.data_dir],
        env=environment(), capture_output=True, text=True, timeout=30, check=False,
    )
    assert second.returncode == 1 and f"(pid {own_server.pid})" in second.stderr, second
    assert own_server.request("GET", "/healthz", sign=False).status == 200


# --- a crash at any moment of a start ----------------------------------------------------------------------------------


def start_quietly(agent, session):
    """Starts a session whose server or sandbox is about to be killed: any answer will do, or none."""
    try:
        agent.ask({"do": "facts"}, session)
    except (ClientError, BotoCoreError):
        pass


def in_background(*starts) -> list[threading.Thread]:
    threads = [threading.Thread(target=start_quietly, args=start) for start in starts]
    for thread in threads:
        thread.start()
    return threads


def assert_only_sessions_are_left(server, agent):
    """Every process but the server, network helpers too, is of a sandbox, as is every link; and every sandbox is a session's."""
    found = {}

    def look():
        listed = server.request("GET", f"/innkeep/v1/sessions?runtime={agent.id}").json()["sessions"]
        homes = sandboxes(server)
        of_sandboxes = set().union(*(processes(str(home)) for home in homes))
        others = {pid: what for pid, what in processes(str(server.data_dir)).items() if pid not in of_sandboxes | {server.pid}}
        living = {home.name for home in homes}
        found.update({
            "sessions": len(listed), "sandboxes": len(homes), "processes": others, "mounts": server.mounts(),
            "control groups": server.dead_control_groups(), "packet filter": unclaimed_packet_filter(),
            "links": {name: sandbox for name, sandbox in server.links().items() if sandbox not in living},
        })
        return len(listed) == len(homes) and not any(list(found.values())[2:])

    wait_for(lambda: f"everything but sessions to be gone: {found}", look)
    return found["sessions"]


def networks(server) -> int:
    """Links and network helpers of living sandboxes. A link that is nobody's yet may be another server's."""
    helpers = [command for command in processes(str(server.data_dir)).values() if "pasta.pid" in command]
    return len([name for name, sandbox in server.links().items() if sandbox]) + len(helpers)


def end_all_sessions(server, agent):
    def look():
        # Those that are still starting cannot be stopped yet.
        body = json.dumps({"runtimeId": agent.id, "kill": True})
        assert server.request("POST", "/innkeep/v1/sessions/stop", body).status == 200
        return not sandboxes(server)

    wait_for("all sandboxes to be gone", look)
    # What a launcher left that waited for a sandbox and was killed goes with the next start, or with the server.
    wait_for(lambda: f"nothing to be mounted: {server.mounts()}", lambda: not server.mounts())
    wait_for("no process but the server", lambda: set(processes(str(server.data_dir))) == {server.pid})
    wait_for(lambda: f"the kernel to remove links: {server.links()}", lambda: not server.links())


def test_a_server_that_is_killed_at_any_moment_of_a_start_leaves_nothing_behind(crashing):
    """Sweeps 150 ms in steps of 3 ms: a start takes less. (With a network in steps of 10: the kernel takes its time to remove it.)
    Further in long steps, up to the first that came to its end: a busy machine takes longer."""
    server, adopted, connected = crashing.server, 0, 0
    for delay_ms in [*range(0, 150, 10 if crashing.is_public else 3), 300, 600, 1200, 2400, 4800]:
        if delay_ms > 150 and adopted and (connected or not crashing.is_public):
            break
        threads = in_background(*((crashing, new_session()) for _ in range(3)))
        time.sleep(delay_ms / 1000)
        server.kill()
        for thread in threads:
            thread.join()
        server.start()
        adopted += assert_only_sessions_are_left(server, crashing)
        connected += networks(server)
        end_all_sessions(server, crashing)
    assert adopted > 0, "the sweep reached the end of a start"
    assert (connected > 0) == crashing.is_public, "what was looked for was there to be found"


def test_a_launcher_or_sidecar_that_is_killed_at_any_moment_leaves_nothing_behind(crashing):
    """Sweeps 30 ms in steps of 0.5 ms, with a network of 2 ms, from the moment the first of them is there."""
    server = crashing.server
    for step in range(0, 60, 4 if crashing.is_public else 1):
        [thread] = in_background((crashing, new_session()))
        found = wait_for("launcher or sidecar", lambda: launchers_and_sidecars(server))
        until = time.monotonic() + step / 2000
        while time.monotonic() < until:
            found = launchers_and_sidecars(server)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        thread.join()
        end_all_sessions(server, crashing)  # a launcher may be killed when its work is done
        wait_for("its processes to be gone", lambda: set(processes(str(server.data_dir))) == {server.pid})
    assert crashing.ask({"do": "facts"}, new_session())["pid"]


def launchers_and_sidecars(server) -> list[int]:
    """The server's own children, and what runs in a sandbox's directory."""
    found = children(server.pid)
    for home in (server.data_dir / "sandboxes").iterdir():
        found += [pid for pid, command in processes(str(home)).items() if command.startswith("innkeep-sidecar")]
    return found
