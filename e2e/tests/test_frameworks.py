"""Agents of published frameworks, with the SDK, a tool and a scripted model: started from their program, and forked by a zygote."""

import json
import random
import shutil

import pytest

import model_server
from harness import AGENTS, IS_ROOT, new_session, running_server
from test_zygote import forking, was_forked

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root can run a server as root")


@pytest.fixture(scope="module")
def walled():
    with running_server(isolation="container") as server:
        yield server


@pytest.mark.parametrize("framework", ["strands", "langgraph"])
def test_an_agent_with_a_tool_answers_and_streams_started_or_forked(walled, tmp_path, framework):
    folder = tmp_path / framework
    shutil.copytree(AGENTS / "frameworks" / framework, folder)
    shutil.copy(model_server.__file__, folder)
    started = walled.deploy(folder, settings={"egress": "none"})
    forked = forking(walled, folder)
    for agent in (started, forked):
        session = new_session()
        check_answers(agent, session)
        assert was_forked(agent, session) == (agent is forked)
        # A session of its own, whose first request streams.
        check_stream(agent, new_session())
        check_stream(agent, session)


def check_answers(agent, session):
    question, answer = a_question()
    assert agent.ask({"prompt": question}, session) == {"text": answer}


def check_stream(agent, session):
    question, answer = a_question()
    streamed = agent.invoke({"prompt": question, "stream": True}, session)
    assert streamed["contentType"].startswith("text/event-stream")
    lines = [line for line in streamed["response"].iter_lines() if line]
    texts = [json.loads(line.removeprefix(b"data: "))["text"] for line in lines]
    # In the pieces in which the model said it.
    assert len(texts) > 3 and "".join(texts).strip() == answer, texts


def a_question() -> tuple[str, str]:
    """One that only the tool can have answered, and what the model makes of that."""
    a, b = random.randrange(1000, 9999), random.randrange(1000, 9999)
    return f"What is {a} times {b}?", f"The tool says: {a * b}. That is all."
