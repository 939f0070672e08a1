"""Agents of published frameworks, with the SDK, a tool and a scripted model: started from their program and forked by a zygote, in containers,
and by the process driver."""

import functools
import json
import random
import shutil
import tomllib
from pathlib import Path

import pytest

import model_server
from harness import EXAMPLES, IS_ROOT, new_session, running_server
from test_zygote import forking, was_forked

# What each is given of an environment.
FRAMEWORKS = {
    "strands": {},
    "langgraph": {},
    "openai-agents": {},
    "llamaindex": {},
    # LiteLLM would else fetch its table of prices when it is imported.
    "adk": {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    # Its import would else start a thread that reports to its makers, and what has threads cannot be forked.
    "crewai": {"CREWAI_DISABLE_TELEMETRY": "true"},
}
# Those that remember what was said.
REMEMBER = {"strands", "langgraph"}
# Of which a zygote is not asked for: whether one may fork depends on what its environment says, above.
NOT_FORKED = {"crewai"}
# Its packages take a gigabyte and, of all six, the longest.
LARGE = {"crewai"}
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can run a server as root")


@pytest.fixture(scope="module")
def server():
    with running_server(isolation="container" if IS_ROOT else "process") as server:
        yield server


@pytest.fixture(scope="module")
def unwalled(server):
    """The same, from now on without containers."""
    if server.isolation != "process":
        server.rest()
        server.stop()
        server.isolation = "process"
        server.start()
    return server


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Returns the folder that is deployed: the agent as it is, its model, and a `main.py` that starts both."""

    @functools.cache
    def project(framework):
        folder = tmp_path_factory.mktemp("projects") / framework
        shutil.copytree(EXAMPLES / framework, folder)
        (folder / "main.py").rename(folder / "agent.py")
        shutil.copy(Path(model_server.__file__).with_name("with_model.py"), folder / "main.py")
        shutil.copy(model_server.__file__, folder)
        return folder

    return project


@pytest.fixture(scope="module")
def started(server, project):
    """Returns the runtime that is started from its program; its packages are installed with the first."""

    @functools.cache
    def started(framework):
        environment = FRAMEWORKS[framework]
        settings = {"egress": "none", "zygote": False}
        return server.deploy(project(framework), settings=settings, environmentVariables=environment)

    return started


@pytest.fixture(params=FRAMEWORKS)
def framework(request):
    if request.param in LARGE and not request.config.getoption("--all-frameworks"):
        pytest.skip(f"{request.param} is large: cargo xtask suite frameworks")
    return request.param


@pytest.mark.parametrize("main", sorted(EXAMPLES.glob("*/main.py")), ids=lambda main: main.parent.name)
def test_an_example_that_python_runs_asks_for_a_zygote(main):
    settings = main.parent / "innkeep.toml"
    if main.parent.name in NOT_FORKED:
        assert not settings.exists()
    else:
        assert tomllib.loads(settings.read_text())["agent"]["zygote"] is True


@needs_root
def test_an_agent_with_a_tool_answers_and_streams_started_or_forked(server, started, project, framework):
    # Their own file asks for a zygote.
    settings = {"egress": "none"} | ({"zygote": True} if framework in NOT_FORKED else {})
    forked = forking(server, project(framework), settings, environmentVariables=FRAMEWORKS[framework])
    for agent in (started(framework), forked):
        session = new_session()
        check_answers(agent, session)
        assert was_forked(agent, session) == (agent is forked)
        # A session of its own, whose first request streams.
        check_stream(agent, new_session())
        check_stream(agent, session)
        if framework in REMEMBER:
            assert agent.ask({"prompt": "How often did I ask?"}, session) == {"text": "This is question 3."}


def test_the_same_agent_answers_and_streams_without_walls(unwalled, started, framework):
    session = new_session()
    check_answers(started(framework), session)
    check_stream(started(framework), session)


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
