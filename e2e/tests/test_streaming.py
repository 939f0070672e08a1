"""Answers go through as they are produced, whatever their type; an agent's failure is told as the contract has it."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness import AGENTS, SESSION_HEADER, new_session, wait_for


def test_events_arrive_as_they_are_produced(probe, tmp_path):
    session, gates = new_session(), [tmp_path / "first", tmp_path / "second"]
    events = ['data: {"n": 1}\n\n', 'data: {"n": 2}\n\n', 'data: {"n": 3}\n\n']
    answer = probe.invoke(
        {"do": "stream", "chunks": events, "gates": [str(gate) for gate in gates]}, session,
        accept="text/event-stream",
    )
    assert answer["contentType"].startswith("text/event-stream")
    lines = (line for line in answer["response"].iter_lines(chunk_size=1) if line)
    # The agent sends an event only after the test has seen the one before: a buffer anywhere would end in a time-out.
    assert next(lines) == b'data: {"n": 1}'
    probe.open(gates[0], session)
    assert next(lines) == b'data: {"n": 2}'
    probe.open(gates[1], session)
    assert list(lines) == [b'data: {"n": 3}']


def test_any_content_type_streams(probe, tmp_path):
    session, gate = new_session(), tmp_path / "gate"
    answer = probe.invoke(
        {"do": "stream", "chunks": ["one,", "two"], "gates": [str(gate)], "content_type": "text/csv"}, session
    )
    assert answer["contentType"] == "text/csv"
    assert answer["response"].read(4) == b"one,"
    probe.open(gate, session)
    assert answer["response"].read() == b"two"


def test_status_and_content_type_of_a_good_answer_are_the_agent_s(probe):
    session = new_session()
    asked = {"do": "answer", "status": 202, "content_type": "application/vnd.example+json", "text": "{}"}
    answer = probe.invoke(asked, session)
    assert answer["statusCode"] == 202 and answer["contentType"] == "application/vnd.example+json"
    assert answer["response"].read() == b"{}" and answer["runtimeSessionId"] == session


def test_a_known_length_is_sent_on(probe):
    answer = probe.server.request(
        "POST", probe.path, json.dumps({"do": "answer", "text": "four"}).encode(), {"Content-Type": "application/json"}
    )
    assert answer.headers["Content-Length"] == "4" and answer.body == b"four"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_an_agent_s_own_error_becomes_424_without_its_body(probe, status):
    with pytest.raises(ClientError) as caught:
        probe.ask({"do": "fail", "status": status}, new_session())
    response = caught.value.response
    assert response["Error"]["Code"] == "RuntimeClientError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert str(status) in response["Error"]["Message"] and "secret" not in response["Error"]["Message"]
    assert "x-from-agent" not in response["ResponseMetadata"]["HTTPHeaders"]
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-innkeep-error-source"] == "agent"


def test_a_stream_whose_agent_dies_is_cut_and_not_ended(server):
    agent = server.deploy(AGENTS / "dies_in_mid_stream")
    session = new_session()
    stream = agent.invoke({}, session)["response"]
    assert next(stream.iter_lines(chunk_size=1)) == b'data: "the last words"'
    with pytest.raises((BotoCoreError, OSError)):
        list(stream.iter_lines())
    # The session is not broken by it: once the exit is known, the next request starts a fresh process.
    ended = agent.wait_for_state(session, "Stopped")
    assert ended["stop"] == {"reason": "AgentExited", "exit": {"code": 7}}
    again = agent.invoke({}, session)["response"]
    assert next(again.iter_lines(chunk_size=1)) == b'data: "the last words"'
    again.close()


def test_a_caller_who_leaves_a_stream_frees_the_session(probe, tmp_path):
    session = new_session()
    body = json.dumps({"do": "stream", "chunks": ["a", "b"], "gates": [str(tmp_path / "never")]}).encode()
    headers = probe.server.signed(
        "POST", probe.path, body,
        {"Content-Type": "application/json", SESSION_HEADER: session},
    )
    connection = http.client.HTTPConnection(urlsplit(probe.server.url).netloc)
    connection.request("POST", probe.path, body, headers)
    connection.getresponse().read(1)

    assert probe.view(session)["openRequests"] == 1
    connection.sock.close()
    connection.close()
    wait_for("the lease to end", lambda: probe.view(session)["openRequests"] == 0)
