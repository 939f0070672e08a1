"""AG-UI agents, with the events of `ag-ui-protocol`, over HTTP and a WebSocket, and with the client for TypeScript."""

import asyncio
import json
import subprocess
import uuid

import pytest
from ag_ui.core import Event, RunAgentInput, UserMessage
from pydantic import TypeAdapter

from harness import EXAMPLES, ROOT, SESSION_HEADER, environment, new_session, running_server
from test_jwt import LOOPBACK, issuer  # noqa: F401
from test_websocket import opened, signed

AG_UI = {"serverProtocol": "AGUI"}
EVENT = TypeAdapter(Event)


@pytest.fixture(scope="module")
def agent(server):
    return server.deploy(EXAMPLES / "ag-ui-server", protocolConfiguration=AG_UI)


def run(text) -> str:
    asked = RunAgentInput(
        thread_id="a thread", run_id="a run", state={}, tools=[], context=[], forwarded_props={},
        messages=[UserMessage(id=str(uuid.uuid4()), role="user", content=text)],
    )
    return asked.model_dump_json(by_alias=True)


def check_events(events, text):
    types = [event.type.value for event in events]
    words = [event.delta for event in events if event.type.value == "TEXT_MESSAGE_CONTENT"]
    assert types[:2] == ["RUN_STARTED", "TEXT_MESSAGE_START"] and types[-1] == "RUN_FINISHED", types
    assert "".join(words).strip() == text and len(words) == len(text.split())


def test_a_run_is_a_stream_of_events(agent):
    answer = agent.invoke(raw=run("grüß dich und mich").encode(), session=new_session(), accept="text/event-stream")
    assert answer["contentType"].startswith("text/event-stream")
    lines = [line for line in answer["response"].iter_lines() if line]
    check_events([EVENT.validate_json(line.removeprefix(b"data: ")) for line in lines], "grüß dich und mich")


def test_a_run_over_a_websocket(agent):
    async def test():
        async with opened(agent, *signed(agent, new_session())) as socket:
            await socket.send(run("one two"))
            # The SDK sends what it would write to a stream.
            return [EVENT.validate_json(frame.removeprefix("data: ")) async for frame in socket]

    check_events(asyncio.run(test()), "one two")


def test_errors_are_an_event(agent):
    def post(body, **headers):
        headers = {"Content-Type": "application/json", SESSION_HEADER: new_session()} | headers
        answer = agent.server.request("POST", agent.path, body, headers)
        assert answer.headers["content-type"] == "text/event-stream", answer
        event = EVENT.validate_json(answer.body.removeprefix(b"data: "))
        assert event.type.value == "RUN_ERROR"
        return answer.status, event.code, event.message

    status, code, said = post(b"{}")
    assert (status, code) == (200, "AGENT_ERROR") and "Received error (400 Bad Request) from runtime" in said
    status, code, _ = post(b"{}", **{SESSION_HEADER: "short"})
    assert (status, code) == (400, "VALIDATION_ERROR")


def test_the_client_for_typescript(issuer):  # noqa: F811
    if not (ROOT / "e2e/node_modules/@ag-ui/client").is_dir():
        pytest.skip("the client is not here: npm ci, in e2e")
    with running_server(**LOOPBACK) as server:
        rules = {"discoveryUrl": issuer.discovery_url, "allowedClients": ["program"]}
        agent = server.deploy(
            EXAMPLES / "ag-ui-server", protocolConfiguration=AG_UI, authorizerConfiguration={"customJWTAuthorizer": rules}
        )
        asked = {"url": server.url + agent.path, "token": issuer.token(), "session": new_session()}
        ran = subprocess.run(
            ["node", ROOT / "e2e/clients/ag_ui.mjs", json.dumps(asked)], env=environment(), capture_output=True, text=True,
            timeout=120, check=False,
        )
        assert ran.returncode == 0, ran.stderr
        printed = json.loads(ran.stdout)
        assert printed["types"][0] == "RUN_STARTED" and printed["types"][-1] == "RUN_FINISHED"
        assert printed["answer"].strip() == "one two three"
        assert printed["refused"] == "AGENT_ERROR"
        without = server.request("POST", agent.path, run("a").encode(), {"Content-Type": "application/json"}, sign=False)
        assert (without.status, EVENT.validate_json(without.body.removeprefix(b"data: ")).code) == (401, "UNAUTHORIZED")
