"""The operator API and the commands on it: its document is true, and sessions are listed, watched, explained and ended."""

import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import schemathesis
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance, response_headers_conformance, response_schema_conformance, status_code_conformance,
)

from harness import (
    AGENTS, binary, environment, innkeep, is_alive, new_session, processes, running_server, wait_for, zipped,
)

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]


# --- the document ------------------------------------------------------------------------------------------------------


@schemathesis.serializer("application/zip")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


class SigV4(requests.auth.AuthBase):
    def __init__(self, server):
        self.server = server

    def __call__(self, request):
        # A blank: botocore signs the plus as it stands, which the specification of SigV4 does not know.
        request.url = request.url.replace("+", "%20")
        body = request.body or b""
        signed = self.server.signed(request.method, request.path_url, body if isinstance(body, bytes) else body.encode())
        request.headers.update(signed)
        return request


@pytest.fixture(scope="module")
def document(server):
    answer = server.request("GET", "/innkeep/v1/openapi.json")
    assert answer.status == 200
    schema = schemathesis.openapi.from_dict(answer.json())
    schema.config.update(base_url=server.url)
    return schema


def send(server, case):
    """Sends one request and compares the answer with what the document says."""
    if case.query:
        case.query.pop("follow", None)  # has no end
    if case.headers:
        case.headers.pop("Authorization", None)  # made up from the document's schemes
    answer = case.call(auth=SigV4(server), timeout=30)
    case.validate_response(answer, checks=CHECKS)
    return answer


def test_the_document_is_for_operators_only(server):
    assert server.request("GET", "/innkeep/v1/openapi.json", sign=False).status == 403


def test_every_route_answers_anything_as_the_document_says(server, document):
    for operation in document.get_all_operations():
        statuses = []

        @settings(
            max_examples=60, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.ok().as_strategy())
        def try_it(case):
            statuses.append(send(server, case).status_code)

        try_it()
        assert statuses and 403 not in statuses, operation.ok().label


def test_what_is_there_is_shown_as_the_document_says(server, probe, document):
    living, ended = new_session(), new_session()
    for session in (living, ended):
        probe.ask({"do": "say", "words": "here"}, session)
    probe.stop(ended)
    probe.wait_for_state(ended, "Stopped")

    def ask(method, path, **members):
        answer = send(server, document[f"/innkeep/v1/{path}"][method].Case(**members))
        assert answer.status_code == 200, (path, answer.text)
        return answer

    sessions = ask("GET", "sessions", query={"runtime": probe.id, "all": "true", "usage": "true"}).json()["sessions"]
    by_id = {session["sessionId"]: session for session in sessions}
    assert by_id[living]["memoryBytes"] > 1_000_000 and by_id[living]["cpuMs"] > 0
    assert by_id[ended]["stop"] == {"reason": "StoppedByCaller"} and "memoryBytes" not in by_id[ended]
    stopped = ask("GET", "sessions", query={"state": "Stopped", "session": ended}).json()["sessions"]
    assert [session["sessionId"] for session in stopped] == [ended]
    runtimes = ask("GET", "runtimes").json()["runtimes"]
    assert probe.id in [runtime["id"] for runtime in runtimes]
    failure = ask("GET", "runtimes/{runtimeId}/failure", path_parameters={"runtimeId": probe.id}).json()
    assert failure == {"failureReason": None, "logTail": []}
    # Written a moment after the answer.
    wait_for("the log", lambda: server.request("GET", f"/innkeep/v1/logs?session={living}").body)
    lines = ask("GET", "logs", query={"session": living}).text.splitlines()
    assert json.loads(lines[-1])["message"] == "here"
    answer = server.request("POST", "/innkeep/v1/artifacts?kind=project", zipped(AGENTS / "probe"))
    assert answer.status == 201 and set(answer.json()) == {"bucket", "prefix", "runtime", "entryPoint", "notes"}
    told = ask("POST", "sessions/stop", body={"runtimeId": probe.id, "sessionId": living}, media_type="application/json")
    assert told.json() == {"stopped": [living]}


# --- sessions ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mine():
    """A server with an agent that ends when told, and one that does not; returns a function that runs commands."""
    with running_server() as server:

        def run(*arguments, status=0):
            ran = innkeep(*arguments, data_dir=server.data_dir)
            assert ran.returncode == status, (ran.returncode, ran.stdout, ran.stderr)
            return ran

        run.server = server
        run.probe = server.deploy(AGENTS / "probe")
        run.deaf = server.deploy(AGENTS / "ignores_sigterm")
        yield run


def listed(run, *arguments):
    return json.loads(run("sessions", "ls", *arguments, "--json").stdout)["sessions"]


def states(run, agent, *arguments):
    return {session["sessionId"]: session["state"] for session in listed(run, agent.id, *arguments)}


def test_reading_neither_revives_nor_extends_a_session(mine):
    living, ended = new_session(), new_session()
    for session in (living, ended):
        mine.probe.ask({}, session)
    mine("sessions", "stop", ended)
    mine.probe.wait_for_state(ended, "Stopped")
    before = mine.probe.wait_for_state(living, "Idle")
    for session in (living, ended):
        mine("sessions", "inspect", session)
        mine("logs", "-s", session)
    mine("sessions", "ls", "--all")
    mine("status", mine.probe.id)
    mine.server.request("GET", f"/innkeep/v1/sessions?session={living}&usage=true")
    after = mine.probe.view(living)
    assert after["idleLeftMs"] < before["idleLeftMs"] and after["lifetimeLeftMs"] < before["lifetimeLeftMs"]
    assert after["startedAt"] == before["startedAt"] and mine.probe.view(ended)["state"] == "Stopped"


def test_sessions_are_filtered(mine):
    idle, stopped = new_session(), new_session()
    for session in (idle, stopped):
        mine.probe.ask({}, session)
    mine("sessions", "stop", stopped)
    mine.probe.wait_for_state(stopped, "Stopped")
    mine.probe.wait_for_state(idle, "Idle")
    assert states(mine, mine.probe, "--state", "stopped")[stopped] == "Stopped"
    assert idle not in states(mine, mine.probe, "--state", "stopped")
    assert states(mine, mine.probe, "--state", "Idle")[idle] == "Idle"
    assert stopped not in states(mine, mine.probe)
    assert states(mine, mine.probe, "--endpoint", "nowhere", "--all") == states(mine, mine.deaf) == {}
    assert "Provisioning" in mine("sessions", "ls", "--state", "asleep", status=2).stderr


@pytest.mark.host
def test_inspect_tells_what_a_session_uses_and_why_it_ended(mine):
    session = new_session()
    first = mine.probe.invoke({}, session)
    pid = json.loads(first["response"].read())["pid"]
    mine.probe.ask({}, session)
    request = first["ResponseMetadata"]["RequestId"]
    shown = mine("sessions", "inspect", session).stdout
    assert re.search(rf"started by +request {request}", shown) and mine.probe.view(session)["startedBy"] == request
    assert re.search(r"memory +\d", shown) and re.search(r"processor time +\d", shown) and str(pid) in shown
    os.kill(pid, signal.SIGKILL)
    mine.probe.wait_for_state(session, "Stopped")
    shown = mine("sessions", "inspect", session).stdout
    assert "AgentExited" in shown and "signal 9" in shown and request in shown and "memory" not in shown
    assert mine("sessions", "inspect", "nobody", status=3).stderr


def test_watch_prints_what_changes_where_nobody_looks_at_a_terminal(mine, tmp_path):
    with open(tmp_path / "out", "w") as out:
        watching = subprocess.Popen(
            [binary(), "sessions", "ls", mine.probe.id, "--watch"], stdout=out, stderr=subprocess.STDOUT,
            env=environment(INNKEEP_DATA_DIR=str(mine.server.data_dir)),
        )
    try:
        session = new_session()
        mine.probe.ask({}, session)
        seen = lambda *words: re.search(f"{session}.*" + ".*".join(words), (tmp_path / "out").read_text())
        wait_for("the start to be told", lambda: seen("Idle"))
        mine("sessions", "stop", session)
        wait_for("the end to be told", lambda: seen("Stopped", "StoppedByCaller"))
        assert watching.poll() is None
    finally:
        watching.kill()
        watching.wait()


def test_several_are_stopped_and_all_of_one_runtime_by_age(mine):
    sessions = [new_session() for _ in range(3)]
    for session in sessions:
        mine.probe.ask({}, session)
    assert set(mine("sessions", "stop", *sessions[:2]).stdout.split()) == set(sessions[:2])
    mine("sessions", "stop", "--all", "--older", "10m", "--runtime", mine.probe.id)
    assert sessions[2] in states(mine, mine.probe)
    mine("sessions", "stop", "--all", "--older", "0s", "--runtime", mine.probe.id)
    wait_for("all to end", lambda: states(mine, mine.probe) == {})
    mine("sessions", "stop", sessions[0], status=3)


@pytest.mark.host
def test_kill_ends_an_agent_that_does_not_mind_sigterm(mine):
    session = new_session()
    pid = mine.deaf.ask({}, session)["pid"]
    mine("sessions", "stop", session)
    mine.deaf.wait_for_state(session, "Stopping")
    refused = mine("sessions", "stop", session, status=1)
    assert "kill" in refused.stderr and is_alive(pid)
    started = time.monotonic()
    mine("sessions", "kill", session)
    assert mine.deaf.wait_for_state(session, "Stopped")["stop"]["reason"] == "StoppedByCaller"
    assert not is_alive(pid)
    assert time.monotonic() - started < 12, "the grace of 15 s was not cut short"


@pytest.mark.host
def test_kill_ends_a_session_that_is_starting_and_who_waits_for_it_is_told(mine, tmp_path):
    hold, session = tmp_path / "hold", new_session()
    agent = mine.server.deploy(AGENTS / "probe", environmentVariables={"PROBE_HOLD": str(hold)})
    hold.touch()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(agent.ask, {}, session) for _ in range(3)]
        agent.wait_for_state(session, "Provisioning")
        wait_for("the agent to be there", lambda: processes(str(hold)))
        with pytest.raises(ClientError) as refused:
            agent.stop(session)
        assert refused.value.response["Error"]["Code"] == "RetryableConflictException"
        assert "kill" in mine("sessions", "stop", session, status=1).stderr
        started = time.monotonic()
        mine("sessions", "kill", session)
        for each in asked:
            with pytest.raises(ClientError) as told:
                each.result()
            assert told.value.response["Error"]["Code"] == "RuntimeClientError"
            assert "stopped before its agent was ready" in told.value.response["Error"]["Message"]
    assert time.monotonic() - started < 10, "the start's own 30 s were not cut short"
    assert agent.wait_for_state(session, "Stopped")["stop"]["reason"] == "StoppedByCaller"
    assert not processes(str(hold))
    hold.unlink()
    assert agent.ask({}, session)["pid"]


# --- logs --------------------------------------------------------------------------------------------------------------


def test_the_logs_of_a_session_s_earlier_sandboxes_are_found(mine):
    session = new_session()
    for words in ("in the first life", "in the second life"):
        mine.probe.ask({"do": "say", "words": words}, session)
        mine("sessions", "stop", session)
        mine.probe.wait_for_state(session, "Stopped")
    shown = mine("logs", "-s", session).stdout
    assert shown.index("in the first life") < shown.index("in the second life")
    assert "second" not in mine("logs", "-s", session, "--grep", "first").stdout
    assert "first" in mine("logs", "-s", session, "--since", "10m").stdout
    assert "first" not in mine("logs", "-s", session, "--since", "2100-01-01T00:00:00Z").stdout


def test_a_followed_log_has_each_line_once_while_its_files_change(mine, tmp_path):
    session, lines = new_session(), 3000
    with open(tmp_path / "out", "w") as out:
        following = subprocess.Popen(
            [binary(), "logs", mine.probe.id, "-s", session, "--follow"], stdout=out, stderr=subprocess.STDOUT,
            env=environment(INNKEEP_DATA_DIR=str(mine.server.data_dir)),
        )
    try:
        # More than one file holds: 16 MiB, as JSON.
        for first in range(0, lines, 500):
            words = "\n".join(f"{n:06} " + "x" * 9000 for n in range(first, first + 500))
            mine.probe.ask({"do": "say", "words": words}, session)
        wait_for("the last line", lambda: f"{lines - 1:06} xxx" in (tmp_path / "out").read_text(), 60)
    finally:
        following.kill()
        following.wait()
    seen = [int(n) for n in re.findall(r"\| (\d{6}) x", (tmp_path / "out").read_text())]
    assert seen == list(range(lines))
    assert len(list((mine.server.data_dir / "logs").glob("*/agent.log.1"))) == 1


# --- settings ----------------------------------------------------------------------------------------------------------


def test_a_setting_that_is_changed_leaves_the_others_alone(mine):
    def deploy(*arguments):
        mine("deploy", str(AGENTS / "probe"), "--name", "settled", *arguments)
        runtimes = json.loads(mine("status", "--json").stdout)["runtimes"]
        return next(runtime for runtime in runtimes if runtime["name"] == "settled")["settings"]

    assert deploy("--set", "health=tcp", "--set", "start_timeout_secs=20") == {"health": "tcp", "start_timeout_secs": 20}
    assert deploy("--set", "start_timeout_secs=25") == {"health": "tcp", "start_timeout_secs": 25}
    assert deploy() == {"health": "tcp", "start_timeout_secs": 25}
    assert deploy("--set", "health-") == {"start_timeout_secs": 25}
