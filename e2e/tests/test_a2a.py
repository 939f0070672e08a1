"""A2A agents, with the client of `a2a-sdk`: the card, a message, a stream."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import get_artifact_text, new_text_message
from a2a.types import Role, SendMessageRequest, TaskState

from harness import EXAMPLES, SESSION_HEADER, new_session, running_server
from signed_http import signing
from test_jwt import LOOPBACK, issuer  # noqa: F401

A2A = {"serverProtocol": "A2A"}


@pytest.fixture(scope="module")
def agent(server):
    return server.deploy(EXAMPLES / "a2a-server", protocolConfiguration=A2A)


@asynccontextmanager
async def client_of(agent, session, streaming, auth=None, **headers):
    """A client that has got the card, and the card."""
    auth = auth or signing(httpx, agent.server)
    async with httpx.AsyncClient(auth=auth, headers={SESSION_HEADER: session} | headers, timeout=60) as http:
        card = await A2ACardResolver(http, agent.server.url + agent.path).get_agent_card()
        yield ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card), card


def message(text) -> SendMessageRequest:
    return SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))


async def check_talk(agent, session, **how):
    async with client_of(agent, session, True, **how) as (client, card):
        assert card.name == "innkeep example"
        assert card.supported_interfaces[0].url == f"{agent.server.url}{agent.path}/"
        events = [event async for event in client.send_message(message("one two three"))]
        words = [get_artifact_text(e.artifact_update.artifact) for e in events if e.HasField("artifact_update")]
        assert words == ["one", "two", "three"]
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
    async with client_of(agent, session, False, **how) as (client, _):
        (answer,) = [event async for event in client.send_message(message("grüß dich"))]
        assert answer.task.status.state == TaskState.TASK_STATE_COMPLETED
        assert get_artifact_text(answer.task.artifacts[0]).split() == ["grüß", "dich"]


def test_the_card_leads_to_the_agent_and_it_streams(agent):
    session = new_session()
    asyncio.run(check_talk(agent, session))
    assert agent.view(session)["state"] in ("Active", "Idle")


def test_with_a_token(issuer):  # noqa: F811
    with running_server(**LOOPBACK) as server:
        rules = {"discoveryUrl": issuer.discovery_url, "allowedClients": ["program"]}
        agent = server.deploy(
            EXAMPLES / "a2a-server", protocolConfiguration=A2A, authorizerConfiguration={"customJWTAuthorizer": rules}
        )
        headers = {"Authorization": f"Bearer {issuer.token()}"}
        asyncio.run(check_talk(agent, new_session(), auth=httpx.Auth(), **headers))


def test_boto3_gets_the_card(agent):
    session = new_session()
    got = agent.server.data.get_agent_card(agentRuntimeArn=agent.arn, runtimeSessionId=session)
    assert got["runtimeSessionId"] == session
    assert (got["statusCode"], got["agentCard"]["name"]) == (200, "innkeep example")
    assert agent.view(session)["state"] in ("Active", "Idle")


def test_errors_are_json_rpc_with_their_status(agent, probe):
    def post(body, **headers):
        headers = {"Content-Type": "application/json", SESSION_HEADER: new_session()} | headers
        return agent.server.request("POST", agent.path, json.dumps(body).encode(), headers)

    ask = {"jsonrpc": "2.0", "id": "r-1", "method": "message/send", "params": {}}
    refused = post(ask, **{SESSION_HEADER: "short"})
    assert (refused.status, refused.json()["id"], refused.json()["error"]["code"]) == (400, "r-1", -32052)
    # What JSON-RPC the agent itself says is the agent's answer.
    unknown = post(ask | {"method": "nothing/known"})
    assert (unknown.status, unknown.json()["id"], unknown.json()["error"]["code"]) == (200, "r-1", -32601)
    card = probe.path + "/.well-known/agent-card.json"
    refused = probe.server.request("GET", card)
    assert refused.status == 400 and "no others have cards" in refused.json()["message"]
    assert agent.server.request("GET", agent.path + "/.well-known/agent-card.json", sign=False).status == 403
