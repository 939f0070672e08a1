"""Agents on Node.js: bare node:http, and the app server of the service's TypeScript SDK."""

import json
import shutil

import pytest

from harness import AGENTS, EXAMPLES, ROOT, innkeep, new_session, wait_for


def events(answer) -> list[dict]:
    """Returns the data of a stream of server-sent events."""
    assert answer["contentType"].startswith("text/event-stream"), answer["contentType"]
    lines = answer["response"].iter_lines()
    return [json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: ")]


@pytest.fixture(scope="module")
def raw_node(server):
    return server.deploy(EXAMPLES / "raw-node")


def test_raw_node_remembers_its_own_conversation_only(raw_node):
    alice, bob = new_session(), new_session()
    assert raw_node.ask({"prompt": "red"}, alice) == {"result": 'You said "red".', "turn": 1}
    assert raw_node.ask({"prompt": "blue"}, bob)["turn"] == 1
    assert raw_node.ask({"prompt": "green"}, alice)["result"] == 'You said "green"; before that, "red".'


def test_raw_node_streams_word_by_word(raw_node):
    answer = raw_node.invoke({"prompt": "one two", "stream": True}, new_session())
    assert [event["word"] for event in events(answer)] == ["You", "said", '"one', 'two".']


def test_what_raw_node_refuses_is_the_agent_s_fault(raw_node):
    with pytest.raises(raw_node.server.data.exceptions.RuntimeClientError, match="400"):
        raw_node.invoke({"question": "?"}, new_session())


@pytest.fixture(scope="module")
def typescript_agent(server, tmp_path_factory):
    """Deployed by the command line, with node_modules in the project: as `npm ci` left it, less what is never loaded."""
    folder = tmp_path_factory.mktemp("node") / "typescript_sdk"
    shutil.copytree(AGENTS / "typescript_sdk", folder)
    unused = shutil.ignore_patterns("*.d.ts", "*.d.[cm]ts", "*.map", "client-bedrock-*")
    shutil.copytree(ROOT / "e2e" / "node_modules", folder / "node_modules", symlinks=True, ignore=unused)
    deployed = innkeep("deploy", folder, "--json", data_dir=server.data_dir)
    assert deployed.returncode == 0, deployed.stderr
    listed = server.control.list_agent_runtimes()["agentRuntimes"]
    return next(runtime["agentRuntimeArn"] for runtime in listed if runtime["agentRuntimeName"] == "typescript_sdk")


def invoke(server, arn, payload, session, accept="application/json"):
    return server.data.invoke_agent_runtime(
        agentRuntimeArn=arn, runtimeSessionId=session, payload=json.dumps(payload).encode(), accept=accept,
        contentType="application/json",
    )


def test_the_typescript_sdk_answers_within_its_session(server, typescript_agent):
    session = new_session()
    for turn in (1, 2):
        answer = json.loads(invoke(server, typescript_agent, {"words": "grüß dich"}, session)["response"].read())
        assert answer == {"echo": {"words": "grüß dich"}, "session": session, "turn": turn}


def test_the_typescript_sdk_streams_to_who_accepts_events(server, typescript_agent):
    answer = invoke(server, typescript_agent, {"stream": 3}, new_session(), "text/event-stream")
    assert events(answer) == [{"n": 1}, {"n": 2}, {"n": 3}]
    # Where the caller does not, the SDK answers 406, which is the agent's failure to us.
    with pytest.raises(server.data.exceptions.RuntimeClientError, match="406"):
        invoke(server, typescript_agent, {"stream": 3}, new_session())


def test_a_task_of_the_typescript_sdk_keeps_its_session_active(server, typescript_agent):
    session = new_session()
    invoke(server, typescript_agent, {"task": 10}, session)["response"].read()

    def state():
        runtime = typescript_agent.rsplit("/", 1)[1]
        answer = server.request("GET", f"/innkeep/v1/sessions?runtime={runtime}&session={session}&all=true").json()
        view = answer["sessions"][0]
        return view["state"], view["openRequests"]

    wait_for("the task to be seen", lambda: state() == ("Active", 0), 10)
    wait_for("the session to idle after it", lambda: state()[0] == "Idle", 40)
