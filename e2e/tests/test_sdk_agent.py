"""An agent written with the unmodified `bedrock-agentcore` SDK, its package installed at deployment."""

import json

import pytest

from harness import EXAMPLES, new_session, wait_for


@pytest.fixture(scope="module")
def sdk_agent(server):
    return server.deploy(EXAMPLES / "sdk-echo")


def test_a_plain_answer(sdk_agent):
    session = new_session()
    answer = sdk_agent.invoke({"words": "grüß dich"}, session)
    assert answer["contentType"] == "application/json"
    assert json.loads(answer["response"].read()) == {"echo": {"words": "grüß dich"}, "session": session}


def test_a_stream(sdk_agent):
    answer = sdk_agent.invoke({"stream": 3}, new_session())
    assert answer["contentType"].startswith("text/event-stream")
    lines = [line for line in answer["response"].iter_lines() if line]
    assert lines == [b'data: {"n": 1}', b'data: {"n": 2}', b'data: {"n": 3}']


def test_background_work_keeps_the_session_active(sdk_agent):
    session = new_session()
    # For several health checks, which come every two seconds.
    assert sdk_agent.ask({"task": 10}, session)["task"] == "started"

    def busy_without_a_request():
        view = sdk_agent.view(session)
        return view["state"] == "Active" and view["openRequests"] == 0

    wait_for("the work to be seen", busy_without_a_request, 10)
    assert sdk_agent.wait_for_state(session, "Idle", 40)["idleLeftMs"] > 0


def test_several_sdk_agents_bind_the_same_port_side_by_side(sdk_agent):
    sessions = [new_session() for _ in range(3)]
    answers = [sdk_agent.ask({"n": number}, session) for number, session in enumerate(sessions)]
    assert answers == [{"echo": {"n": number}, "session": session} for number, session in enumerate(sessions)]


def test_what_the_sdk_refuses_is_424(sdk_agent):
    with pytest.raises(sdk_agent.server.data.exceptions.RuntimeClientError):
        sdk_agent.invoke(raw=b"this is not JSON", session=new_session())
