"""Sessions whose agents are forked from an interpreter that has imported already: alike in nothing but what they imported."""

import os
import shutil
import signal
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import AGENTS, EXAMPLES, IS_ROOT, ROLE, innkeep, new_session, new_user, running_server, wait_for
from hostile import CAN_NEST

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root can run a server as root")

SETTINGS = {"egress": "none", "zygote": True}
SDK_SETTINGS = SETTINGS | {"zygote_modules": ["loaded"]}


@pytest.fixture(scope="module")
def walled():
    with running_server(isolation="container") as server:
        yield server


def said(server, what, n=1):
    return wait_for(lambda: f"the server to say {what!r}: {server.stderr[-4000:]}",
                    lambda: (lines := [line for line in server.stderr_lines if what in line])[n - 1 :] and lines, 60)[-1]


def forking(server, folder, settings=SETTINGS, **members):
    """A runtime whose zygote is ready."""
    agent = server.deploy(folder, settings=settings, **members)
    said(server, f"sessions of {agent.id}/")
    return agent


def zygotes(agent) -> list[dict]:
    """What the operator is told of the interpreters of this runtime."""
    views = agent.server.request("GET", "/innkeep/v1/pools").json()["zygotes"]
    return [view for view in views if view["runtimeId"] == agent.id]


def metrics(server) -> dict[str, float]:
    """The series of zygotes, without `innkeep_`."""
    lines = server.request("GET", "/metrics").body.decode().splitlines()
    prefix = "innkeep_zygote"
    return {name.removeprefix("innkeep_"): float(value) for name, value in
            (line.rsplit(" ", 1) for line in lines if line.startswith(prefix))}


def was_forked(agent, session) -> bool:
    command = Path(f"/proc/{agent.view(session)['agentPid']}/cmdline").read_bytes().split(b"\0")
    return any(word.endswith(b"/zygote.py") for word in command)


def interpreters(server) -> list[int]:
    """The zygotes' own processes: in a process namespace of their own, and in none inside of that."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_zygote = b"/zygote.py" in (entry / "cmdline").read_bytes()
            names = next(line for line in (entry / "status").read_text().splitlines() if line.startswith("NSpid:"))
            of_server = any(name in (entry / "cgroup").read_text() for name in server.zygotes())
        except (OSError, StopIteration):
            continue
        if is_zygote and of_server and len(names.split()) == 3:
            found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def small_agent(folder: Path, module: str) -> Path:
    """An agent of the standard library that imports `loaded`."""
    folder.mkdir()
    (folder / "loaded.py").write_text(textwrap.dedent(module))
    (folder / "main.py").write_text(textwrap.dedent('''
        import json
        import loaded
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


        class Handler(BaseHTTPRequestHandler):
            def answer(self, value):
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer({"status": "Healthy"})

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(loaded.tell())

            def log_message(self, *_):
                pass


        ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
    '''))
    return folder


@pytest.fixture(scope="module")
def forked(walled):
    return forking(walled, AGENTS / "forked", SDK_SETTINGS, environmentVariables={"FORKED_WORD": "ahoy"})


def test_eight_sessions_have_nothing_in_common_that_is_by_chance(forked):
    sessions = [new_session() for _ in range(8)]
    answers = [forked.ask({}, session) for session in sessions]
    assert all(was_forked(forked, session) for session in sessions)
    for what in answers[0]["by chance"]:
        found = [answer["by chance"][what] for answer in answers]
        assert len(set(found)) == len(found), (what, found)
    # They all are of one import, in a process that none of them is.
    assert len({answer["loaded by"] for answer in answers}) == 1
    assert all(answer["loaded by"] != answer["pid"] for answer in answers)


def test_of_many_sessions_at_once_each_is_forked(forked):
    """The signals of children that end, while a fork is waited for, are no failure of it."""
    for _ in range(2):
        sessions = [new_session() for _ in range(60)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda session: forked.ask({}, session), sessions))
        ways = [forked.view(session)["start"]["way"] for session in sessions]
        assert ways == ["zygote"] * 60
        for session in sessions:
            forked.stop(session)


def test_sessions_of_a_pool_of_forked_agents_have_nothing_in_common_that_is_by_chance(walled):
    agent = forking(walled, AGENTS / "forked", SDK_SETTINGS | {"pool": 8}, environmentVariables={"FORKED_WORD": "ahoy"})

    def members():
        pools = walled.request("GET", "/innkeep/v1/pools").json()["pools"]
        ready = [member["agentPid"] for pool in pools if pool["runtimeId"] == agent.id for member in pool["ready"]]
        return ready if len(ready) == 8 else None

    waiting = set(wait_for("the pool", members, 120))
    sessions = [new_session() for _ in range(8)]
    answers = [agent.ask({}, session) for session in sessions]
    taken = {agent.view(session)["agentPid"] for session in sessions}
    # What started before the zygote was ready did so from its program.
    assert len(taken & waiting) >= 4 and sum(was_forked(agent, session) for session in sessions) >= 4
    for what in answers[0]["by chance"]:
        assert len({answer["by chance"][what] for answer in answers}) == 8, what
    walled.control.delete_agent_runtime(agentRuntimeId=agent.id)


def test_numpy_and_random_are_seeded_anew_in_each_session(walled, tmp_path):
    module = """
        import random

        import numpy

        numpy.random.seed(7), random.seed(7)
        numpy.random.random(), random.random()


        def tell():
            fresh = numpy.random.default_rng()
            return {"legacy": numpy.random.random(), "generator": fresh.random(), "random": random.random(),
                    "shuffled": numpy.random.permutation(1000).tolist(), "bytes": random.randbytes(16).hex()}
    """
    folder = small_agent(tmp_path / "numbers", module)
    (folder / "requirements.txt").write_text("numpy==2.2.6\n")
    agent = forking(walled, folder, SDK_SETTINGS)
    sessions = [new_session() for _ in range(8)]
    answers = [agent.ask({}, session) for session in sessions]
    assert all(was_forked(agent, session) for session in sessions)
    for what in answers[0]:
        assert len({str(answer[what]) for answer in answers}) == 8, what


def test_a_forked_agent_finds_itself_started_as_by_its_interpreter(forked):
    started = forked.ask({}, new_session())["started"]
    main = "/var/task/main.py"
    assert started == {"name": "__main__", "file": main, "argv": [main], "path": "/var/task", "threads": 1}


def test_the_environment_that_was_read_at_import_is_the_session_s(forked):
    answer = forked.ask({}, new_session())
    assert answer["word"] == answer["environment"]["FORKED_WORD"] == "ahoy"


def test_sessions_share_the_memory_of_what_was_imported(walled, forked):
    def sizes(agent, session):
        rollup = Path(f"/proc/{agent.view(session)['agentPid']}/smaps_rollup").read_text()
        return {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}

    sessions = [new_session() for _ in range(8)]
    for session in sessions:
        forked.ask({}, session)
    found = [sizes(forked, session) for session in sessions]
    assert all(size["Pss"] < size["Rss"] / 2 for size in found), found


def test_the_log_and_the_end_of_a_forked_agent_are_its_own(walled, tmp_path):
    folder = small_agent(tmp_path / "ends", "def tell():\n    import os\n    print('last words', flush=True)\n    os._exit(7)\n")
    agent, session = forking(walled, folder), new_session()
    with pytest.raises(walled.data.exceptions.RuntimeClientError):
        agent.ask({}, session)
    ended = agent.wait_for_state(session, "Stopped")
    log = walled.request("GET", f"/innkeep/v1/logs?runtime={agent.id}&session={session}")
    assert "7" in str(ended) and b"last words" in log.body, (ended, log)


def test_an_agent_that_fails_at_its_start_shows_its_own_lines_only(walled, tmp_path):
    folder = small_agent(tmp_path / "fails", "import os\n\nPID = os.getpid()\n")
    main = (folder / "main.py").read_text()
    # Where it is forked, its module is of another process.
    (folder / "main.py").write_text("import loaded, os\nif loaded.PID != os.getpid():\n    raise ValueError('at the top')\n" + main)
    agent, session = forking(walled, folder, SDK_SETTINGS), new_session()
    with pytest.raises(walled.data.exceptions.RuntimeClientError, match="exit code 1"):
        agent.ask({}, session)
    log = walled.request("GET", f"/innkeep/v1/logs?runtime={agent.id}&session={session}").body.decode()
    assert "ValueError: at the top" in log and "/var/task/main.py" in log and "zygote.py" not in log, log


REFUSED = {
    "thread": ("import threading, time\nthreading.Thread(target=time.sleep, args=(9e9,), daemon=True, name='watcher').start()",
               "1 threads run after the imports, and a fork has none of them: watcher"),
    "connection": ("import socket\nlistener = socket.create_server(('127.0.0.1', 0))\n"
                   "connection = socket.create_connection(listener.getsockname())",
                   "is open after the imports, and all sessions would share it: socket:"),
    "database": ("import sqlite3\ndatabase = sqlite3.connect('/tmp/state.db')\ndatabase.execute('create table if not exists t (a)')",
                 "is open after the imports, and all sessions would share it: /tmp/state.db"),
    "lock": ("import multiprocessing\nlock = multiprocessing.Lock()",
             "memory is shared after the imports, and all sessions would write to it"),
    "missing": ("import not_there_at_all", "No module named 'not_there_at_all'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_fork_would_break_is_refused_with_the_reason_and_served_all_the_same(walled, tmp_path, what):
    module, reason = REFUSED[what]
    if what == "missing":
        module = f"try:\n    {module}\nexcept ImportError:\n    pass"
    folder = small_agent(tmp_path / what, module + "\n\n\ndef tell():\n    return {'served': True}\n")
    modules = ["not_there_at_all"] if what == "missing" else ["loaded"]
    agent = walled.deploy(folder, settings=SETTINGS | {"zygote_modules": modules})
    line = said(walled, reason)
    assert "start from their program, without a zygote" in line and agent.id in line, line
    session = new_session()
    assert agent.ask({}, session) == {"served": True} and not was_forked(agent, session)
    refused = metrics(walled)
    assert refused['zygote_refusals_total{reason="imports"}'] >= 1 and refused['zygotes{state="resting"}'] >= 1, refused
    [view] = zygotes(agent)
    assert (view["state"], view["version"], view["forks"]) == ("resting", 1, 0) and reason in view["reason"], view
    name = agent.id.rsplit("-", 1)[0]
    told = innkeep("status", name, data_dir=walled.data_dir).stdout
    assert "zygote" in told and reason in told and "from their program" in told, told
    [row] = [line for line in innkeep("status", data_dir=walled.data_dir).stdout.splitlines() if name in line]
    assert "no zygote" in row, row


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js here")
def test_what_can_never_be_forked_is_told(walled):
    agent = walled.deploy(EXAMPLES / "raw-node", settings=SETTINGS)
    [view] = zygotes(agent)
    assert (view["state"], view["reason"]) == ("unfit", "its program is not a Python interpreter"), view
    assert metrics(walled)['zygote_refusals_total{reason="program"}'] >= 1


def test_a_zygote_ends_with_the_version_that_it_is_for(walled, tmp_path):
    before = set(walled.zygotes())
    folder = small_agent(tmp_path / "moves", "def tell():\n    return {'version': 1}\n")
    agent = forking(walled, folder)
    session = new_session()
    agent.ask({}, session)
    assert was_forked(agent, session)
    [first] = set(walled.zygotes()) - before
    assert [(view["version"], view["state"], view["forks"]) for view in zygotes(agent)] == [(1, "ready", 1)]

    (folder / "loaded.py").write_text("def tell():\n    return {'version': 2}\n")
    walled.control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=walled.artifact(folder), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"},
    )
    assert walled.settled(agent.id)["status"] == "READY"
    wait_for("the first version's to end", lambda: 1 not in [view["version"] for view in zygotes(agent)])
    assert agent.ask({}, session) == {"version": 1}, "who was forked from it goes on"
    agent.stop(session)
    wait_for("nothing to be left of it", lambda: first not in walled.zygotes())

    fresh = new_session()
    assert agent.ask({}, fresh) == {"version": 2}
    walled.control.delete_agent_runtime(agentRuntimeId=agent.id)
    wait_for("nothing to be left", lambda: not zygotes(agent) and set(walled.zygotes()) <= before)


def test_a_file_that_was_opened_for_reading_is_read_by_each_for_itself(walled, tmp_path):
    module = """
        FILE = open(__file__)
        FIRST = FILE.readline()


        def tell():
            return {"next": FILE.readline(), "at": FILE.tell()}
    """
    agent = forking(walled, small_agent(tmp_path / "reads", module), SDK_SETTINGS)
    one, two = new_session(), new_session()
    assert agent.ask({}, one) == agent.ask({}, two) and was_forked(agent, one)
    assert agent.ask({}, one) == agent.ask({}, two)


@pytest.mark.parametrize("example, protocol", [("hello", "HTTP"), ("ws-echo", "HTTP"), ("mcp-server", "MCP")])
def test_an_example_is_forked_because_its_own_file_says_so(walled, example, protocol):
    members = {"protocolConfiguration": {"serverProtocol": protocol}}
    agent, session = forking(walled, EXAMPLES / example, {"egress": "none"}, **members), new_session()
    started = walled.request("POST", f"/innkeep/v1/runtimes/{agent.id}/prewarm", b'{"sessionId": "%s"}' % session.encode())
    assert started.status == 202, started
    agent.wait_for_state(session, "Idle")
    assert was_forked(agent, session)


def test_whoever_dies_requests_are_served_and_nothing_is_left():
    with running_server(isolation="container") as server:
        agent = forking(server, EXAMPLES / "sdk-echo")
        session = new_session()
        agent.ask({}, session)
        assert was_forked(agent, session)
        before = agent.view(session)["agentPid"]

        counted = metrics(server)
        assert counted['zygotes{state="ready"}'] == counted["zygote_forks_total"] == 1, counted
        assert counted["zygote_restarts_total"] == counted['zygote_refusals_total{reason="interpreter"}'] == 0, counted
        # An interpreter and what it imported; control groups may be missing where tests run.
        assert "memoryBytes" not in agent.view(session) or counted["zygote_memory_bytes"] > 1 << 20, counted

        [interpreter] = interpreters(server)
        os.kill(interpreter, signal.SIGKILL)
        served = new_session()
        agent.ask({}, served)
        assert agent.ask({"n": 1}, session)["echo"] == {"n": 1} and agent.view(session)["agentPid"] == before
        said(server, "the zygote of")
        # It rests for a while, and then the next start that wants one makes another one.
        def again():
            agent.ask({}, new_session())
            return interpreters(server)

        wait_for("another zygote", again, 60)
        said(server, "are forked from zygote", 2)
        inside = new_session()
        agent.ask({}, inside)
        assert was_forked(agent, inside)
        counted = metrics(server)
        # Which of the two is seen first: that the interpreter has ended, or that it does not fork.
        failures = sum(counted[f'zygote_refusals_total{{reason="{reason}"}}'] for reason in ("interpreter", "fork"))
        assert counted["zygote_restarts_total"] == failures == 1, counted
        assert counted["zygote_forks_total"] >= 2, counted

        # With its keeper, the sessions inside end.
        keeper = parent(interpreters(server)[0])
        os.kill(keeper, signal.SIGKILL)
        wait_for("the agent to end with it", lambda: not (view := agent.view(inside)) or view["state"] == "Stopped", 20)
        assert agent.ask({"n": 2}, inside)["echo"] == {"n": 2}
        assert agent.ask({"n": 3}, session)["echo"] == {"n": 3} and agent.view(session)["agentPid"] == before
        agent.stop(session)
        # The first one's keeper waited for that.
        wait_for("the first keeper to end", lambda: len(server.zygotes()) <= 1, 20)


def test_a_zygote_that_does_not_answer_is_waited_for_only_so_long(tmp_path):
    with running_server(isolation="container") as server:
        agent = forking(server, small_agent(tmp_path / "stopped", "def tell():\n    return {'served': True}\n"))
        [interpreter] = interpreters(server)
        os.kill(interpreter, signal.SIGSTOP)
        session = new_session()
        assert agent.ask({}, session) == {"served": True} and not was_forked(agent, session)
        assert "started from its program" in said(server, "was not forked")
        wait_for("the zygote to end", lambda: interpreter not in interpreters(server), 20)
        assert agent.ask({}, session) == {"served": True}


def test_sessions_of_a_zygote_outlive_their_server():
    with running_server(isolation="container") as server:
        agent = forking(server, AGENTS / "forked", SDK_SETTINGS, environmentVariables={"FORKED_WORD": "ahoy"})
        session = new_session()
        agent.ask({"remember": "me"}, session)
        assert was_forked(agent, session)
        [older] = server.zygotes()
        server.kill()
        server.start()
        assert agent.ask({}, session)["remembered"] == "me"
        wait_for("the older interpreter to end", lambda: not interpreters(server), 20)
        assert server.zygotes() == [older]

        def forked_again():
            fresh = new_session()
            agent.ask({}, fresh)
            return was_forked(agent, fresh)

        wait_for("a zygote of this server", forked_again, 60)
        agent.stop(session)
        wait_for("nothing to be left of the older one", lambda: older not in server.zygotes(), 20)


def test_a_server_without_containers_leaves_nothing_of_a_zygote(tmp_path):
    with running_server(isolation="container") as server:
        agent = forking(server, small_agent(tmp_path / "switched", "def tell():\n    return {'served': True}\n"))
        session = new_session()
        agent.ask({}, session)
        assert was_forked(agent, session) and server.zygotes()
        server.kill()
        server.isolation = "process"
        server.start()
        wait_for("nothing to be left of the zygote", lambda: not server.zygotes() and not interpreters(server), 20)
        assert agent.ask({}, session) == {"served": True}


@pytest.mark.skipif(not CAN_NEST, reason="this kernel lets ordinary users make no namespaces")
def test_an_ordinary_user_forks_what_has_no_network_and_says_why_not_otherwise():
    with running_server(isolation="container", user=new_user(), allow_missing_limits="true") as server:
        agent = forking(server, AGENTS / "probe", SETTINGS)
        session = new_session()
        agent.ask({"do": "facts"}, session)
        assert was_forked(agent, session)
        public = server.create(AGENTS / "probe", settings=SETTINGS | {"egress": "public"})
        if server.settled(public["agentRuntimeId"])["status"] == "READY":
            said(server, "as an ordinary user only agents without the public network can be forked")


HIDES = """
    import ctypes
    import os
    import subprocess
    import sys

    # A program of its own session that not even its own user may look into.
    hide = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print('hidden', flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", hide], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout.readline() == b"hidden\\n"
    child.stdout.close()


    def tell():
        return {"served": True}
"""


@pytest.mark.parametrize("who", ["root", "ordinary user"])
def test_a_child_of_an_import_that_hides_ends_with_its_zygote(tmp_path, who):
    if who == "ordinary user" and not CAN_NEST:
        pytest.skip("this kernel lets ordinary users make no namespaces")
    ordinary = {"user": new_user(), "allow_missing_limits": "true"} if who != "root" else {}
    with running_server(isolation="container", **ordinary) as server:
        agent = forking(server, small_agent(tmp_path / "hides", HIDES), SDK_SETTINGS)
        session = new_session()
        agent.ask({}, session)
        assert was_forked(agent, session) and server.zygotes()
        server.control.delete_agent_runtime(agentRuntimeId=agent.id)
        wait_for("nothing to be left of the zygote", lambda: not server.zygotes(), 20)
