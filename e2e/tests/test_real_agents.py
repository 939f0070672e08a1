"""Agents as people write them, mistakes included. Each folder under agents/ is one of them."""

import shutil
import time

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, new_session


def check_create_fails(server, folder, *words):
    created = server.create(folder)
    runtime = server.settled(created["agentRuntimeId"])
    assert runtime["status"] == "CREATE_FAILED"
    for word in words:
        assert word in runtime["failureReason"], runtime["failureReason"]
    with pytest.raises(ClientError) as caught:
        server.data.invoke_agent_runtime(agentRuntimeArn=created["agentRuntimeArn"], payload=b"{}")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    return runtime


def test_one_without_ping_is_refused_by_name_and_with_the_remedy(server):
    check_create_fails(server, AGENTS / "single_threaded", "/ping", 'health = "tcp"')


def test_one_without_ping_works_once_it_says_so(server, tmp_path):
    folder = tmp_path / "single_threaded"
    shutil.copytree(AGENTS / "single_threaded", folder)
    (folder / "innkeep.toml").write_text('[agent]\nhealth = "tcp"\n')
    agent = server.deploy(folder)
    session = new_session()
    for number in range(3):
        assert agent.ask({"n": number}, session) == {"echo": {"n": number}}
    # Chunked bodies it cannot read; it is told the length.
    assert agent.ask({"text": "x" * 3_000_000}, session)["echo"]["text"] == "x" * 3_000_000


def test_one_that_closes_idle_connections_never_fails_a_request(server):
    agent = server.deploy(AGENTS / "closes_idle")
    session = new_session()
    for number in range(100):
        assert agent.ask({"n": number}, session) == {"echo": {"n": number}}


def test_one_that_exits_at_import_fails_its_deployment_with_exit_code(server):
    check_create_fails(server, AGENTS / "exits_at_import", "exit code 3")


@pytest.mark.host
def test_one_that_exits_at_import_fails_the_request_at_once(server, tmp_path):
    agent = server.deploy(
        AGENTS / "exits_at_import", environmentVariables={"EXITS_AFTER_FIRST_START": str(tmp_path / "started")}
    )
    target, body = agent.path, b"{}"
    started = time.monotonic()
    answer = server.request("POST", target, body, {"Content-Type": "application/json"})
    took = time.monotonic() - started
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (424, "RuntimeClientError")
    assert "exit code 3" in answer.json()["message"]
    # The key of the credentials file has operator rights.
    assert "cannot find the model weights" in answer.json()["logTail"]
    assert took < 10, "the start's own 30 s were waited for"


@pytest.mark.parametrize("folder", ["never_binds", "ping_500"])
def test_one_that_never_gets_healthy_fails_its_deployment(server, folder):
    started = time.monotonic()
    check_create_fails(server, AGENTS / folder, "/ping" if folder == "ping_500" else "8080")
    assert time.monotonic() - started < 20  # innkeep.toml grants it two seconds to start


def test_one_that_says_healthy_busy_is_not_idle(probe):
    session = new_session()
    probe.ask({"do": "set_ping", "status": "HealthyBusy"}, session)

    busy = probe.wait_for_state(session, "Active", 10)
    assert busy["openRequests"] == 0 and "idleLeftMs" not in busy
    probe.ask({"do": "set_ping", "status": "Healthy"}, session)
    probe.wait_for_state(session, "Idle", 10)
