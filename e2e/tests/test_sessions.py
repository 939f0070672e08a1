"""Sessions under pressure: one start for many callers, callers who leave, ends that meet requests."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness import SESSION_HEADER, is_alive, new_session, processes, wait_for


def started(probe) -> list[str]:
    """The pids of all agents of this runtime that were ever started, as they noted themselves."""
    if probe.server.isolation != "process":
        pytest.skip("agents behind walls cannot write to the file of starts")
    return probe.starts.read_text().split()


def in_process_table(probe) -> set[int]:
    """The agents of this runtime that live: their environment names the file of starts."""
    return set(processes(str(probe.starts)))


def test_200_first_requests_at_once_start_one_agent(probe):
    before, living, session = len(started(probe)), in_process_table(probe), new_session()
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: probe.ask({"do": "facts"}, session), range(200)))
    assert len(answers) == 200
    assert in_process_table(probe) - living == {answers[0]["pid"]} == {answer["pid"] for answer in answers}
    assert len(started(probe)) == before + 1


def test_a_caller_who_leaves_does_not_cancel_a_start(probe):
    before, session = len(started(probe)), new_session()
    body = b'{"do": "facts"}'
    headers = probe.server.signed(
        "POST", probe.path, body, {"Content-Type": "application/json", SESSION_HEADER: session}
    )
    connection = http.client.HTTPConnection(urlsplit(probe.server.url).netloc)
    connection.request("POST", probe.path, body, headers)
    # A request that nobody has read yet may be forgotten.
    wait_for("the start to begin", lambda: probe.view(session))
    connection.close()
    wait_for("the start to go on", lambda: len(started(probe)) == before + 1)
    answer = probe.ask({"do": "facts"}, session)
    assert str(answer["pid"]) == started(probe)[-1] and len(started(probe)) == before + 1


def test_requests_of_one_session_run_side_by_side(probe, tmp_path):
    session, gate = new_session(), tmp_path / "gate"
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(probe.ask, {"do": "hold", "until": str(gate)}, session)
        quick = probe.ask({"do": "facts"}, session)
        assert not held.done()
        probe.open(gate, session)
        assert held.result()["pid"] == quick["pid"]


def test_a_stop_aborts_the_session_s_streams(probe, tmp_path):
    session = new_session()
    asked = {"do": "stream", "chunks": ["data: 1\n\n", "data: 2\n\n"], "gates": [str(tmp_path / "never")]}
    stream = probe.invoke(asked, session)["response"]
    assert next(stream.iter_lines(chunk_size=1)) == b"data: 1"
    probe.stop(session)
    with pytest.raises((BotoCoreError, OSError)):
        for line in stream.iter_lines():
            assert line != b"data: 2"


@pytest.mark.host
def test_a_stopped_session_leaves_no_process(probe):
    session = new_session()
    pid = probe.ask({"do": "facts"}, session)["pid"]
    assert pid in processes(str(probe.server.data_dir))
    probe.stop(session)
    wait_for("the agent to end", lambda: not is_alive(pid))


@pytest.mark.host
def test_an_agent_that_dies_between_requests_is_started_again(probe):
    session = new_session()
    before = probe.ask({"do": "remember", "word": "apple"}, session)
    with pytest.raises(ClientError) as caught:
        probe.ask({"do": "exit", "code": 9}, session)
    assert caught.value.response["Error"]["Code"] == "RuntimeClientError"
    assert "exit code 9" in caught.value.response["Error"]["Message"]
    assert probe.wait_for_state(session, "Stopped")["stop"] == {"reason": "AgentExited", "exit": {"code": 9}}
    after = probe.ask({"do": "remember", "word": "banana"}, session)
    assert after["memory"] == ["banana"] and after["pid"] != before["pid"]


@pytest.mark.host
@pytest.mark.parametrize(("exit_after", "times"), [(0, 40), (0.3, 5)])
def test_a_request_right_after_its_agent_s_death_gets_a_fresh_one(probe, exit_after, times):
    session = new_session()
    pids = [probe.ask({"do": "last_words", "exit_after": exit_after}, session)["pid"] for _ in range(times)]
    assert len(set(pids)) == times
    wait_for("the last to end", lambda: not is_alive(pids[-1]))


@pytest.mark.host
def test_operators_see_the_session_and_reading_it_changes_nothing(probe):
    session = new_session()
    pid = probe.ask({"do": "facts"}, session)["pid"]
    first = probe.wait_for_state(session, "Idle")
    assert first["sessionId"] == session and first["tier"] == "process" and first["agentPid"] == pid
    wait_for("the idle clock to go on", lambda: probe.view(session)["idleLeftMs"] < first["idleLeftMs"])
    probe.stop(session)
    assert probe.wait_for_state(session, "Stopped")["stop"]["reason"] == "StoppedByCaller"


def test_the_log_says_which_isolation_a_session_got(probe):
    session = new_session()
    probe.ask({"do": "facts"}, session)
    ready = lambda: next((line for line in probe.server.stderr_lines if f"/{session} ready" in line), None)
    assert f'session.tier="{probe.server.isolation}"' in wait_for("the log to tell that it is ready", ready)
