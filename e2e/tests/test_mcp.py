"""MCP servers, with the `mcp` client for Python, signed and with tokens, and with the one for TypeScript."""

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import MCPError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from harness import AGENTS, EXAMPLES, ROOT, SESSION_HEADER, environment, innkeep, new_session, running_server
from signed_http import signing
from test_jwt import LOOPBACK, issuer  # noqa: F401

MCP = {"serverProtocol": "MCP"}
INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
BOTH = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def agent(server):
    return server.deploy(EXAMPLES / "mcp-server", protocolConfiguration=MCP)


@pytest.fixture(scope="module")
def keeper(server):
    return server.deploy(AGENTS / "mcp_sessions", protocolConfiguration=MCP)


@asynccontextmanager
async def client_of(agent, mode="legacy", auth=None, seen=None, **headers):
    """An MCP client; `seen` gets the answers' headers."""
    hooks = {"response": [_seeing(seen)]} if seen is not None else {}
    auth = auth or signing(httpx2, agent.server)
    async with httpx2.AsyncClient(auth=auth, headers=headers, timeout=60, event_hooks=hooks) as http:
        async with Client(streamable_http_client(agent.server.url + agent.path, http_client=http), mode=mode) as client:
            yield client


def _seeing(seen):
    async def see(answer):
        seen.append(answer)

    return see


def text(result) -> str:
    assert not result.is_error, result
    return result.content[0].text


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_server_without_sessions(agent, mode):
    session = new_session()

    async def test():
        heard = []

        async def progress(done, total, message):
            heard.append((done, total, message))

        async with client_of(agent, mode, **{SESSION_HEADER: session}) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"add", "count"}
            assert text(await client.call_tool("add", {"a": 2, "b": 40})) == "42"
            counted = await client.call_tool("count", {"to": 3}, progress_callback=progress)
            assert text(counted) == "counted to 3"
            assert [done for done, *_ in heard] == [1, 2, 3]

    asyncio.run(test())
    assert agent.view(session)["sessionId"] == session


def test_a_session_of_mcp_is_a_session_of_ours(agent):
    async def test():
        seen = []
        async with client_of(agent, seen=seen) as client:
            await client.call_tool("add", {"a": 1, "b": 1})
        sessions = {answer.headers[SESSION_HEADER] for answer in seen if answer.request.method == "POST"}
        ids = {answer.headers["mcp-session-id"] for answer in seen if answer.request.method == "POST"}
        assert len(sessions) == 1 and sessions == ids
        starts = [answer.headers["x-innkeep-start"] for answer in seen if answer.request.method == "POST"]
        assert starts[0] == "cold" and set(starts[1:]) == {"warm"}
        # To listen, and to end the session: the client goes on without.
        assert {answer.status_code for answer in seen if answer.request.method != "POST"} <= {405}
        return sessions.pop()

    assert agent.view(asyncio.run(test()))["state"] in ("Active", "Idle")


def test_a_server_with_sessions_keeps_them_apart(keeper):
    async def test():
        async with client_of(keeper) as one, client_of(keeper) as other:
            assert text(await one.call_tool("remember", {"word": "red"})) == "red"
            assert text(await other.call_tool("remember", {"word": "blue"})) == "blue"
            assert text(await one.call_tool("remember", {"word": "green"})) == "red green"

    asyncio.run(test())


def test_two_clients_in_one_session_have_one_of_the_servers_each(keeper):
    session = new_session()

    async def test():
        shared = {SESSION_HEADER: session}
        async with client_of(keeper, **shared) as one, client_of(keeper, **shared) as other:
            assert text(await one.call_tool("remember", {"word": "red"})) == "red"
            assert text(await other.call_tool("remember", {"word": "blue"})) == "blue"
            assert text(await one.call_tool("remember", {"word": "green"})) == "red green"

    asyncio.run(test())


def test_a_session_that_was_stopped_is_over(keeper):
    async def test():
        seen = []
        async with client_of(keeper, seen=seen) as client:
            await client.call_tool("remember", {"word": "red"})
            await asyncio.to_thread(keeper.stop, seen[0].headers[SESSION_HEADER])
            with pytest.raises(MCPError) as error:
                await client.call_tool("remember", {"word": "green"})
            assert error.value.error.code == -32004
            assert "Initialize again" in error.value.error.data["message"]

    asyncio.run(test())


def test_a_server_that_dies_in_a_call_is_a_failed_tool(keeper):
    async def test():
        async with client_of(keeper) as client:
            with pytest.raises(MCPError) as error:
                async with asyncio.timeout(30):
                    await client.call_tool("die", {})
            return error.value.error

    error = asyncio.run(test())
    assert error.code != 0, error


def test_a_path_that_the_server_does_not_have_is_a_failed_tool(server):
    lost = server.deploy(EXAMPLES / "mcp-server", protocolConfiguration=MCP | {"path": "/nowhere"})

    async def test():
        async with client_of(lost):
            pass

    with pytest.RaisesGroup(MCPError, flatten_subgroups=True) as group:
        asyncio.run(test())
    error = group.value.exceptions[0]
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    error = error.error
    assert (error.code, error.message) == (
        -32010, "Tool execution error - Please check your CloudWatch logs for more information"
    )
    assert "Received error (404 Not Found) from runtime" in error.data["message"]


def test_boto3_speaks_it_too(agent):
    body = json.dumps(INITIALIZE | {"id": 7}).encode()
    session = new_session()
    answer = agent.invoke(raw=body, session=session, accept=BOTH["Accept"])
    assert answer["mcpSessionId"] == session
    events = [line for line in answer["response"].iter_lines() if line.startswith(b"data: ")]
    assert json.loads(events[-1].removeprefix(b"data: "))["id"] == 7


def test_the_command_line_speaks_it_too(agent, keeper):
    def call(agent, tool, **arguments):
        asked = INITIALIZE | {"method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        return innkeep("invoke", agent.id, "-d", json.dumps(asked), data_dir=agent.server.data_dir)

    called = call(agent, "add", a=2, b=40)
    assert called.returncode == 0 and "42" in called.stdout, called
    # Of a session that nobody began, which is the agent's failure.
    failed = call(keeper, "remember", word="red")
    assert failed.returncode == 5 and "404 Not Found" in failed.stderr, failed


def test_what_http_says_of_errors(agent):
    def post(body=json.dumps(INITIALIZE).encode(), **headers):
        return agent.server.request("POST", agent.path, body, BOTH | headers)

    refused = post(Accept="application/json")
    assert (refused.status, refused.json()["error"]["code"]) == (406, -32011)
    refused = post(**{"Mcp-Session-Id": "short"})
    assert (refused.status, refused.json()["id"], refused.json()["error"]["code"]) == (200, 1, -32006)
    assert refused.headers["x-amzn-errortype"] == "ValidationException"
    for method in ("GET", "DELETE"):
        refused = agent.server.request(method, agent.path, headers=BOTH)
        assert (refused.status, refused.headers["allow"]) == (405, "POST")
    # Who is not known is not told what is spoken.
    refused = agent.server.request("POST", agent.path, b"{}", BOTH, sign=False)
    assert refused.status == 403 and refused.json()["message"]


# --- tokens ------------------------------------------------------------------------------------------------------------


class Storage:
    """Where the client keeps its tokens."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


@pytest.fixture(scope="module")
def token_agent(issuer):  # noqa: F811
    with running_server(**LOOPBACK) as server:
        rules = {"discoveryUrl": issuer.discovery_url, "allowedClients": ["program"], "allowedScopes": ["invoke"]}
        yield server.deploy(
            AGENTS / "mcp_sessions", protocolConfiguration=MCP, authorizerConfiguration={"customJWTAuthorizer": rules}
        )


def test_a_client_finds_its_own_way_to_a_token(token_agent, issuer):  # noqa: F811
    storage = Storage()
    auth = ClientCredentialsOAuthProvider(
        f"{token_agent.server.url}{token_agent.path}?qualifier=DEFAULT", storage, "program", "secret of program",
        scope="invoke", issuer=issuer.issuer,
    )

    async def test():
        seen = []
        async with client_of(token_agent, auth=auth, seen=seen) as client:
            assert text(await client.call_tool("remember", {"word": "red"})) == "red"
            assert text(await client.call_tool("remember", {"word": "blue"})) == "red blue"
        return seen

    first, *_ = asyncio.run(test())
    assert first.status_code == 401
    assert first.headers["www-authenticate"].startswith("Bearer resource_metadata=")
    assert storage.tokens.access_token


def test_without_a_token_the_error_is_mcps(token_agent):
    refused = token_agent.server.request("POST", token_agent.path, json.dumps(INITIALIZE).encode(), BOTH, sign=False)
    assert (refused.status, refused.json()["error"]["code"]) == (401, -32001)
    refused = token_agent.server.request("POST", token_agent.path, json.dumps(INITIALIZE).encode(), BOTH)
    assert (refused.status, refused.json()["error"]["code"]) == (403, -32002)


def test_the_client_for_typescript_finds_its_own_way_too(token_agent, issuer):  # noqa: F811
    if not (ROOT / "e2e/node_modules/@modelcontextprotocol/sdk").is_dir():
        pytest.skip("the client is not here: npm ci, in e2e")
    asked = {
        "url": token_agent.server.url + token_agent.path, "clientId": "program", "clientSecret": "secret of program",
        "scope": "invoke", "expectedIssuer": issuer.issuer,
    }
    ran = subprocess.run(
        ["node", ROOT / "e2e/clients/mcp.mjs", json.dumps(asked)], env=environment(), capture_output=True, text=True,
        timeout=120, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
    assert printed["tools"] == ["die", "remember"]
    assert printed["said"] == ["red", "red green"]
    assert len(printed["session"]) == 36
    # What refuses it names where it gets its token.
    assert printed["statuses"][:2] == [401, 200], printed
    assert "nothing" in printed["refusal"], printed
