"""WebSockets to agents, with `websockets` and with the handshakes that the unmodified SDK makes."""

import asyncio
import base64
import json
import os
import urllib.parse
from contextlib import asynccontextmanager

import boto3
import pytest
import websockets
from bedrock_agentcore._utils import endpoints
from bedrock_agentcore.runtime import AgentCoreRuntimeClient
from websockets.exceptions import ConnectionClosed, InvalidStatus

from harness import EXAMPLES, REGION, SESSION_HEADER, innkeep, new_session, running_server, wait_for
from test_jwt import LOOPBACK, running_issuer

# What the SDK asks of a host's name, and the port that callers of this server know.
NAME = "dp.innkeep-e2e.amazonaws.com"
CUSTOM = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Word"


@pytest.fixture(scope="module")
def agent(server):
    return server.deploy(EXAMPLES / "ws-echo")


def port_of(agent) -> int:
    return urllib.parse.urlsplit(agent.server.url).port


class Sdk:
    """The SDK's own client, made for a server."""

    def __init__(self, agent, monkeypatch):
        self.agent = agent
        self.port = port_of(agent)
        monkeypatch.setattr(endpoints, "DP_ENDPOINT_OVERRIDE", f"https://{NAME}:{self.port}")
        key = agent.server.key
        session = boto3.Session(key.access_key, key.secret_key, key.token, region_name=REGION)
        self.client = AgentCoreRuntimeClient(REGION, session=session)


@pytest.fixture
def sdk(agent, monkeypatch):
    return Sdk(agent, monkeypatch)


@asynccontextmanager
async def opened(agent, url, headers=None, **options):
    """The socket of an URL that names the SDK's host: its connection goes to the server's own address."""
    url = url.replace("wss://", "ws://", 1)
    async with websockets.connect(
        url, additional_headers=headers, host="127.0.0.1", port=port_of(agent), compression=None, open_timeout=60, **options
    ) as socket:
        yield socket


def signed(agent, session, query="", **headers):
    """URL and headers of a socket by our own signature."""
    target = agent.path.replace("/invocations", "/ws") + query
    signed = agent.server.signed("GET", target)
    signed = {name: value for name, value in signed.items() if name.lower() not in ("host", "content-length")}
    return f"ws://127.0.0.1:{port_of(agent)}{target}", signed | {SESSION_HEADER: session} | headers


async def closed(socket):
    """Code and reason with which the socket is closed by the other side."""
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(20):
            while True:
                await socket.recv()
    return socket.close_code, socket.close_reason


async def talks(socket, session=None):
    hello = json.loads(await socket.recv())
    assert session is None or hello["session"] == session
    await socket.send("grüß dich")
    assert await socket.recv() == "grüß dich"
    await socket.send(bytes(range(256)))
    assert await socket.recv() == bytes(range(256))
    return hello


async def refused(agent, url, headers=None, **options):
    with pytest.raises(InvalidStatus) as error:
        async with opened(agent, url, headers, **options):
            pass
    response = error.value.response
    return response.status_code, response.headers["x-amzn-errortype"], json.loads(response.body)


def test_the_sdks_signed_headers(sdk, agent):
    session = new_session()

    async def test():
        url, headers = sdk.client.generate_ws_connection(agent.arn, session, "DEFAULT")
        async with opened(agent, url, headers) as socket:
            await talks(socket, session)
            assert socket.response.headers[SESSION_HEADER] == session

    asyncio.run(test())


def test_the_sdks_presigned_url(sdk, agent):
    session = new_session()

    async def test():
        url = sdk.client.generate_presigned_url(agent.arn, session, custom_headers={CUSTOM: "a b"})
        async with opened(agent, url) as socket:
            await talks(socket, session)
        broken = url.replace(session, new_session())
        assert (await refused(agent, broken))[0] == 403

    asyncio.run(test())


def test_a_socket_keeps_the_session_active_and_another_request_goes_beside_it(agent):
    session = new_session()

    async def test():
        async with opened(agent, *signed(agent, session)) as socket:
            await talks(socket, session)
            view = await asyncio.to_thread(agent.view, session)
            assert (view["state"], view["openRequests"]) == ("Active", 1)
            assert (await asyncio.to_thread(agent.ask, {"n": 1}, session))["session"] == session
            await socket.ping()
        await asyncio.to_thread(agent.wait_for_state, session, "Idle")

    asyncio.run(test())


def test_frames_pass_as_they_are(agent):
    async def test():
        async with opened(agent, *signed(agent, new_session())) as socket:
            await socket.recv()
            largest = os.urandom(64 << 10)
            await socket.send(largest)
            assert await socket.recv() == largest
            await socket.send(["in ", "three ", "frames"])
            assert await socket.recv() == "in three frames"
            await socket.send(json.dumps({"stream": 100}))
            assert [json.loads(await socket.recv())["n"] for _ in range(100)] == list(range(1, 101))
            latency = await (await socket.ping())
            assert latency < 5
            await socket.send(json.dumps({"close": 3456}))
            assert (await closed(socket))[0] == 3456

    asyncio.run(test())


def test_a_frame_that_is_too_large_is_refused(agent):
    async def test():
        async with opened(agent, *signed(agent, new_session())) as socket:
            await socket.recv()
            await socket.send(bytes((64 << 10) + 1))
            assert await closed(socket) == (1009, "frame exceeds 65536 bytes")

    asyncio.run(test())


def test_too_many_frames_are_refused(agent):
    async def test():
        async with opened(agent, *signed(agent, new_session())) as socket:
            await socket.recv()
            for _ in range(1000):
                await socket.send("x")
            assert await closed(socket) == (1008, "too many frames in one second")

    asyncio.run(test())


def test_a_stopped_session_says_so(agent):
    session = new_session()

    async def test():
        async with opened(agent, *signed(agent, session)) as socket:
            await socket.recv()
            await asyncio.to_thread(agent.stop, session)
            assert (await closed(socket))[0] == 1001

    asyncio.run(test())


@pytest.mark.host
def test_a_killed_agent_says_so(agent):
    session = new_session()

    async def test():
        async with opened(agent, *signed(agent, session)) as socket:
            await socket.recv()
            os.kill(agent.view(session)["agentPid"], 9)
            assert (await closed(socket))[0] == 1011

    asyncio.run(test())


def test_a_server_that_ends_says_so(agent):
    async def test(agent):
        async with opened(agent, *signed(agent, new_session())) as socket:
            await socket.recv()
            stopping = asyncio.to_thread(agent.server.stop)
            (code, reason), _ = await asyncio.gather(closed(socket), stopping)
            assert code == 1001, reason

    with running_server() as server:
        asyncio.run(test(server.deploy(EXAMPLES / "ws-echo")))


def test_who_may_not_is_told_before_the_upgrade(agent, probe):
    async def test():
        url, headers = signed(agent, new_session())
        assert (await refused(agent, url))[:2] == (403, "AccessDeniedException")
        short = await refused(agent, url, headers | {SESSION_HEADER: "short"})
        assert short[:2] == (400, "ValidationException")
        status, kind, body = await refused(agent, *signed(agent, new_session(), "?qualifier=nowhere"))
        assert (status, kind) == (404, "ResourceNotFoundException")
        # An agent without the route.
        status, kind, body = await refused(probe, *signed(probe, new_session()))
        assert (status, kind) == (424, "RuntimeClientError"), body

    asyncio.run(test())
    answer = agent.server.request("GET", agent.path.replace("/invocations", "/ws"))
    assert answer.status == 400 and answer.json()["fieldList"][0]["name"] == "Upgrade", answer


def test_tokens_in_the_header_and_as_a_subprotocol(monkeypatch):
    async def test(agent, sdk, token):
        url, headers = sdk.client.generate_ws_connection_oauth(agent.arn, token, new_session())
        async with opened(agent, url, headers) as socket:
            await talks(socket)
        encoded = base64.urlsafe_b64encode(token.encode()).rstrip(b"=").decode()
        name = "base64UrlBearerAuthorization"
        session = new_session()
        query = urllib.parse.urlencode({SESSION_HEADER: session, CUSTOM: "from a browser"})
        url = f"ws://127.0.0.1:{port_of(agent)}{agent.path.replace('/invocations', '/ws')}?{query}"
        async with opened(agent, url, subprotocols=[f"{name}.{encoded}", name]) as socket:
            hello = await talks(socket, session)
            assert socket.subprotocol == name
            assert {key.lower(): value for key, value in hello["headers"].items()}[CUSTOM.lower()] == "from a browser"
        assert (await refused(agent, url, subprotocols=[name]))[0] == 401
        assert (await refused(agent, *signed(agent, new_session())))[0] == 403

    with running_issuer() as issuer, running_server(**LOOPBACK) as server:
        rules = {"discoveryUrl": issuer.discovery_url, "allowedClients": ["program"]}
        agent = server.deploy(
            EXAMPLES / "ws-echo", authorizerConfiguration={"customJWTAuthorizer": rules},
            requestHeaderConfiguration={"requestHeaderAllowlist": [CUSTOM]},
        )
        asyncio.run(test(agent, Sdk(agent, monkeypatch), issuer.token()))


def test_the_command_line_talks(agent):
    def talk(*arguments, stdin=None):
        return innkeep("invoke", agent.id, "--ws", *arguments, data_dir=agent.server.data_dir, stdin=stdin)

    session = new_session()
    spoken = talk("--session", session, "--wait", "3s", stdin="one\ntwo\n")
    assert spoken.returncode == 0, spoken.stderr
    hello, *echoes = spoken.stdout.splitlines()
    assert (json.loads(hello)["session"], echoes) == (session, ["one", "two"])
    assert talk("hello", "--wait", "3s").stdout.splitlines()[1:] == ['{"prompt":"hello"}']
    left = talk("-d", '{"close": 3456}')
    assert left.returncode != 0 and "closed with code 3456" in left.stderr, left
    # More than pass within a second, but not so many that a pause makes them too many in the next.
    many = talk("--wait", "3s", stdin="".join(f"{n}\n" for n in range(300)))
    assert many.stdout.splitlines()[1:] == [str(n) for n in range(300)], many.stderr
    none = talk("hello", "--endpoint", "nowhere")
    assert none.returncode != 0 and "No endpoint or agent found" in none.stderr, none


def test_metrics_count_them(agent):
    def figure(series):
        lines = agent.server.request("GET", "/metrics").body.decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(series + " "))

    async def test():
        before = figure("innkeep_websockets")
        async with opened(agent, *signed(agent, new_session())) as socket:
            await socket.recv()
            assert figure("innkeep_websockets") == before + 1
        return before

    wait_for("earlier ones to be counted", lambda: figure("innkeep_websockets") == 0)
    ended = figure('innkeep_websockets_ended_total{reason="closed"}')
    before = asyncio.run(test())
    wait_for("the end to be counted", lambda: figure("innkeep_websockets") == before)
    assert figure('innkeep_websockets_ended_total{reason="closed"}') == ended + 1
