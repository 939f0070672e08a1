"""Agents behind the servers that Python is deployed with: several workers, prefork and threads, one port."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import AGENTS, new_session, processes, wait_for


@pytest.mark.parametrize("name", ["gunicorn", "gunicorn-threads", "uvicorn", "hypercorn", "flask"])
def test_a_usual_server_answers(server, name):
    agent = server.deploy(AGENTS / "servers", environmentVariables={"SERVER": name})
    session = new_session()
    for number in range(20):
        assert agent.ask({"n": number}, session)["echo"] == {"n": number}


@pytest.mark.host
@pytest.mark.parametrize("name", ["gunicorn", "uvicorn", "hypercorn"])
def test_a_worker_that_is_busy_leaves_requests_to_the_others(server, tmp_path, name):
    agent = server.deploy(AGENTS / "servers", environmentVariables={"SERVER": name})
    session, gate = new_session(), tmp_path / "gate"
    with ThreadPoolExecutor(2) as pool:
        held = []
        for count in (1, 2):
            held.append(pool.submit(agent.ask, {"until": str(gate)}, session))
            wait_for(f"{count} workers to be busy", lambda: len(list(tmp_path.glob("gate.*"))) == count)
        gate.touch()
        assert len({each.result()["pid"] for each in held}) == 2


@pytest.mark.host
def test_a_stop_ends_every_worker(server, tmp_path):
    environment = {"SERVER": "gunicorn", "MARK": str(tmp_path)}
    agent = server.deploy(AGENTS / "servers", environmentVariables=environment)
    session = new_session()
    agent.ask({}, session)
    # The first worker answers before the last is started.
    wait_for("gunicorn's master and its workers", lambda: len(processes(str(tmp_path))) == 1 + 3)
    agent.stop(session)
    wait_for("every worker to end", lambda: not processes(str(tmp_path)))


def test_processes_that_each_bind_the_port_share_it(server):
    agent = server.deploy(AGENTS / "reuse_port")
    session, pids = new_session(), set()

    def both():
        # The second binds it in its own time.
        pids.update(agent.ask({}, session)["pid"] for _ in range(60))
        return len(pids) == 2

    wait_for("both to be asked", both)
