"""Sandboxes that wait for sessions: a new session finds its agent running, whatever happened to server and members meanwhile."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import AGENTS, IS_ROOT, ROLE, innkeep, is_alive, new_session, processes, running_server, wait_for
from hostile import KINDS, server_of_kind


@pytest.fixture(params=KINDS)
def own_server(request):
    """A server of the test's own, with each kind of sandbox."""
    with server_of_kind(request.param) as server:
        yield server


@pytest.fixture
def process_server():
    """One for what does not depend on the kind of sandbox."""
    with running_server(isolation="process") as server:
        yield server


def pools(agent) -> list[dict]:
    answer = agent.server.request("GET", "/innkeep/v1/pools")
    assert answer.status == 200, answer
    return [pool for pool in answer.json()["pools"] if pool["runtimeId"] == agent.id]


def waiting(agent) -> list[int]:
    """The agents' processes that wait for a session, oldest first."""
    return [member["agentPid"] for pool in pools(agent) for member in pool["ready"]]


def wait_for_members(agent, n) -> list[int]:
    # On a host with two processors they start one after the other.
    what = lambda: f"{n} members: {pools(agent)} {agent.server.stderr[-2000:]}"
    wait_for(what, lambda: len(waiting(agent)) == n, 30 + 10 * n)
    return waiting(agent)


def deploy(server, size, folder=AGENTS / "probe", **members):
    """Deploys with a pool and waits until it is full; sandboxes without a network, which every host can give."""
    agent = server.deploy(folder, settings={"pool": size, "egress": "none"}, **members)
    if isinstance(size, int):
        wait_for_members(agent, size)
    return agent


def update(agent, folder=AGENTS / "probe", **members):
    agent.server.control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=agent.server.artifact(folder), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"}, **members,
    )
    assert agent.server.settled(agent.id)["status"] == "READY"


def delete(agent):
    """Ends the runtime; the server then holds nothing for it."""
    agent.server.control.delete_agent_runtime(agentRuntimeId=agent.id)
    wait_for("the runtime to be gone", lambda: not pools(agent) and not agent.server.sessions())


def test_a_new_session_gets_an_agent_that_was_there_before_it(own_server):
    agent = deploy(own_server, 2)
    before = wait_for_members(agent, 2)
    session = new_session()
    assert agent.ask({"do": "remember", "word": "apple"}, session)["memory"] == ["apple"]
    assert agent.view(session)["agentPid"] == before[0]
    after = wait_for_members(agent, 2)
    assert before[0] not in after and before[1] in after
    assert agent.ask({"do": "remember", "word": "pear"}, session)["memory"] == ["apple", "pear"]
    (pool,) = pools(agent)
    assert (pool["size"], pool["wanted"], pool["hits"], pool["misses"], pool["wasted"]) == (2, 2, 1, 0, 0)
    assert pool["lastRefillMs"] > 0
    # Looked at when it waits already.
    measured = lambda: [member["memoryBytes"] for pool in pools(agent) for member in pool["ready"] if "memoryBytes" in member]
    wait_for("what they use to be measured", lambda: len(measured()) == 2)
    assert all(n_bytes > 1 << 20 for n_bytes in measured())
    delete(agent)


def test_sessions_of_one_pool_share_nothing_that_has_to_be_random(own_server):
    agent = deploy(own_server, 8, AGENTS / "unique")
    members = waiting(agent)
    sessions = [new_session() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda session: agent.ask({}, session), sessions))
    assert {agent.view(session)["agentPid"] for session in sessions} == set(members)
    for what in answers[0]:
        assert len({answer[what] for answer in answers}) == 8, what
    delete(agent)


def test_an_update_replaces_what_waits_and_no_session(process_server):
    agent = deploy(process_server, 2, environmentVariables={"WORD": "one"})
    session = new_session()
    agent.ask({"do": "facts"}, session)
    old = wait_for_members(agent, 2)
    update(agent, environmentVariables={"WORD": "two"})
    wait_for("the old members to go", lambda: not set(old) & set(waiting(agent)) and not any(map(is_alive, old)))
    new = wait_for_members(agent, 2)
    other = new_session()
    assert agent.ask({"do": "facts"}, other)["environment"]["WORD"] == "two"
    assert agent.view(other)["agentPid"] in new
    assert agent.ask({"do": "facts"}, session)["environment"]["WORD"] == "one"
    # And a rollback, which is an update like any other.
    answer = process_server.request("POST", f"/innkeep/v1/runtimes/{agent.id}/rollback", b'{"version": 1}')
    assert answer.status == 202, answer
    process_server.settled(agent.id)
    wait_for("members of the third version", lambda: [pool["version"] for pool in pools(agent)] == [3])
    wait_for_members(agent, 2)
    assert agent.ask({"do": "facts"}, new_session())["environment"]["WORD"] == "one"
    delete(agent)
    agents = lambda: {pid for pid, line in processes(str(process_server.data_dir)).items() if "main.py" in line}
    wait_for("no agent to be left", lambda: not agents())


def test_a_member_that_is_killed_is_replaced_and_no_request_sees_it(own_server):
    agent = deploy(own_server, 2)
    with ThreadPoolExecutor(1) as threads:
        # Requests for new sessions all the while: they meet members that were just killed.
        asked = [threads.submit(agent.ask, {"do": "facts"}, new_session()) for _ in range(10)]
        for _ in range(5):
            for pid in waiting(agent):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        failed = []
        for request in asked:
            try:
                request.result()
            except Exception as error:  # a member that was killed after it was taken is a session's agent that was killed
                failed.append(str(error))
    # Before the answer, or in the middle of it.
    known = ("424", "RuntimeClientError", "Connection broken")
    assert all(any(word in error for word in known) for error in failed), failed
    back = lambda: len(members := waiting(agent)) == 2 and all(map(is_alive, members)) and members
    members = wait_for("both to be back", back, 60)
    # While nobody asks, for whom it could have been taken.
    (before,) = pools(agent)
    os.kill(members[0], signal.SIGKILL)
    wait_for("it to be replaced", lambda: members[0] not in waiting(agent) and back(), 60)
    assert agent.ask({"do": "facts"}, new_session())["pid"]
    (pool,) = pools(agent)
    assert pool["wasted"] > before["wasted"], pool
    delete(agent)


def test_members_outlive_a_crash_of_the_server_and_wait_again(own_server):
    agent = deploy(own_server, 2)
    session = new_session()
    agent.ask({"do": "remember", "word": "apple"}, session)
    before = wait_for_members(agent, 2)
    taken = agent.view(session)["agentPid"]
    own_server.kill()
    own_server.start()
    assert waiting(agent) == before
    assert agent.wait_for_state(session, "Idle")["agentPid"] == taken
    assert agent.ask({"do": "remember", "word": "pear"}, session)["memory"] == ["apple", "pear"]
    other = new_session()
    agent.ask({"do": "facts"}, other)
    assert agent.view(other)["agentPid"] == before[0]
    # One that died meanwhile does not come back, and is replaced.
    members = wait_for_members(agent, 2)
    own_server.kill()
    os.kill(members[0], signal.SIGKILL)
    wait_for("the member to end", lambda: not is_alive(members[0]))
    own_server.start()
    wait_for("it to be missed", lambda: members[0] not in waiting(agent))
    assert members[1] in wait_for_members(agent, 2)
    delete(agent)


def test_members_of_a_server_with_other_settings_do_not_wait_again():
    with running_server(isolation="process", egress="public") as server:
        agent = server.deploy(AGENTS / "probe", settings={"pool": 2})
        members = wait_for_members(agent, 2)
        server.kill()
        server.start()
        # Of two that were started at the same time either may be named first.
        assert set(waiting(agent)) == set(members)
        server.kill()
        server.settings["INNKEEP_EGRESS"] = "none"
        server.start()
        assert not set(waiting(agent)) & set(members)
        wait_for("the old members to end", lambda: not any(map(is_alive, members)))
        wait_for_members(agent, 2)
        agent.ask({"do": "facts"}, new_session())
        delete(agent)


@pytest.mark.skipif(not IS_ROOT, reason="only root can run a server as root")
def test_members_with_other_name_servers_do_not_wait_again():
    with running_server(isolation="container", dns="192.0.2.1") as server:
        agent = deploy(server, 1)
        members = waiting(agent)
        server.kill()
        server.settings["INNKEEP_DNS"] = "192.0.2.2"
        server.start()
        assert not set(wait_for_members(agent, 1)) & set(members)
        wait_for("the old member to end", lambda: not any(map(is_alive, members)))
        delete(agent)


def test_a_member_whose_version_serves_no_more_after_a_crash_is_ended(process_server):
    agent = deploy(process_server, 1)
    (member,) = waiting(agent)
    # The old version's member lives while the new one is made; the crash comes right after the move.
    process_server.control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=process_server.artifact(AGENTS / "unique"), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"},
    )
    wait_for("the move", lambda: process_server.control.get_agent_runtime(agentRuntimeId=agent.id)["status"] == "READY")
    process_server.kill()
    process_server.start()
    wait_for("the old member to end", lambda: not is_alive(member))
    wait_for_members(agent, 1)
    assert [pool["version"] for pool in pools(agent)] == [2]
    delete(agent)


@pytest.mark.parametrize("at_shutdown", ["end", "detach"])
def test_a_stop_leaves_nothing_or_everything(at_shutdown):
    with running_server(isolation="process", sessions_at_shutdown=at_shutdown) as server:
        agent = deploy(server, 2)
        members = waiting(agent)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
        if at_shutdown == "end":
            server.assert_nothing_left()
            server.start()
            assert not set(wait_for_members(agent, 2)) & set(members)
        else:
            assert all(map(is_alive, members))
            server.start()
            assert set(waiting(agent)) == set(members)
        delete(agent)
        # What the server ends with this time is nothing.
        server.rest()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
        server.assert_nothing_left()


def test_an_adaptive_pool_comes_with_the_first_session(process_server):
    agent = deploy(process_server, "auto")
    wait_for("the pool", lambda: pools(agent))
    assert [(pool["wanted"], pool["ready"]) for pool in pools(agent)] == [(0, [])]
    agent.ask({"do": "facts"}, new_session())
    # How many, depends on how long a start takes here. What starts still may turn out to be the oldest.
    settled = lambda: [member["agentPid"] for pool in pools(agent) if not pool["starting"] for member in pool["ready"]]
    members = wait_for("members", settled)
    session = new_session()
    agent.ask({"do": "facts"}, session)
    assert agent.view(session)["agentPid"] == members[0]
    delete(agent)


def test_the_reason_why_nothing_waits_is_shown(process_server):
    storage = [{"sessionStorage": {"mountPath": "/mnt/data"}}]
    kept = process_server.deploy(AGENTS / "probe", settings={"pool": 2}, filesystemConfigurations=storage)
    wait_for("the reason", lambda: any("held" in pool for pool in pools(kept)))
    (pool,) = pools(kept)
    assert "filesystemConfigurations" in pool["held"] and (pool["wanted"], pool["ready"]) == (0, []), pool
    kept.ask({"do": "facts"}, new_session())
    refused = process_server.request("POST", f"/innkeep/v1/runtimes/{kept.id}/prewarm")
    assert refused.status == 400 and "filesystemConfigurations" in refused.json()["message"], refused
    delete(kept)


def test_pools_stop_where_memory_ends():
    with running_server(isolation="process", pool_memory_mib=1) as server:
        agent = server.deploy(AGENTS / "probe", settings={"pool": 3})
        wait_for("the reason", lambda: any("pool_memory_mib" in pool.get("held", "") for pool in pools(agent)))
        assert waiting(agent) == []
        agent.ask({"do": "facts"}, new_session())
        delete(agent)


def test_prewarm_starts_a_session_or_lets_sandboxes_wait(process_server):
    agent = process_server.deploy(AGENTS / "probe")
    runtime = agent.id.rsplit("-", 1)[0]
    run = lambda *arguments: innkeep(*arguments, data_dir=process_server.data_dir)
    done = run("prewarm", runtime, "--size", "2")
    assert done.returncode == 0 and "2 sandboxes will wait" in done.stderr, done
    members = wait_for_members(agent, 2)
    assert " 2/2 " in run("status").stdout
    assert "2 of 2 wait" in run("status", runtime).stdout
    session = new_session()
    agent.ask({"do": "facts"}, session)
    assert agent.view(session)["agentPid"] == members[0]
    assert wait_for_members(agent, 1) == members[1:]

    done = run("prewarm", runtime, "-s", "alice", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["versions"] == [1], done
    (alice,) = [view for view in process_server.sessions() if view["sessionId"].startswith("alice-")]
    alice = agent.wait_for_state(alice["sessionId"], "Idle")
    assert "startedBy" not in alice and alice["agentPid"] == members[1] and waiting(agent) == []
    # Again: it has a sandbox.
    assert run("prewarm", runtime, "-s", "alice").returncode == 0
    assert agent.view(alice["sessionId"])["startedAt"] == alice["startedAt"]

    for body, status, word in [
        (b'{"size": 0}', 400, "from 1 to 100"), (b'{"size": 101}', 400, "from 1 to 100"), (b"[]", 400, "body"),
        (b'{"size": 1, "sessionId": "' + b"s" * 33 + b'"}', 400, "exclude"), (b'{"sessionId": "short"}', 400, "33"),
        (b'{"endpoint": "absent"}', 404, "absent"), (b'{"more": 1}', 400, "more"),
    ]:
        answer = process_server.request("POST", f"/innkeep/v1/runtimes/{agent.id}/prewarm", body)
        assert answer.status == status and word in answer.json()["message"], (body, answer)
    assert process_server.request("POST", "/innkeep/v1/runtimes/absent-0123456789/prewarm").status == 404
    delete(agent)


def test_metrics_count_hits_misses_and_waste(process_server):
    agent = deploy(process_server, 1)

    def metrics() -> dict[str, float]:
        token = (process_server.data_dir / "operator-token").read_text().strip()
        answer = process_server.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}, sign=False)
        lines = [line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if line.startswith("innkeep_pool")]
        return {name: float(value) for name, value in lines}

    assert metrics()['innkeep_pool_members{state="ready"}'] == 1
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: agent.ask({"do": "facts"}, new_session()), range(4)))
    wait_for_members(agent, 1)
    seen = metrics()
    assert seen["innkeep_pool_hits_total"] + seen["innkeep_pool_misses_total"] == 4 and seen["innkeep_pool_hits_total"] >= 1
    assert seen["innkeep_pool_refill_seconds_count"] == seen["innkeep_pool_hits_total"] + 1
    assert seen["innkeep_pool_refill_seconds_sum"] > 0
    delete(agent)
    seen = metrics()
    assert seen["innkeep_pool_wasted_total"] == 1 and seen['innkeep_pool_members{state="ready"}'] == 0
