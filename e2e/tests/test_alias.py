"""Agents by name, for people with curl: `/agents/{name}/invocations` and `/agents/{name}/ws`."""

import asyncio
import json
import subprocess
import urllib.parse

import pytest
import websockets

from harness import EXAMPLES, REGION, SESSION_HEADER, environment, innkeep

ALICE = "alice-innkeep-session-000000000000000000"


@pytest.fixture(scope="module")
def named(server, probe):
    """What follows `/agents/` for the probe."""
    return f"/agents/{probe.id.rsplit('-', 1)[0]}"


def call(server, path, payload, **headers):
    return server.request("POST", path, json.dumps(payload).encode(), {"Content-Type": "application/json"} | headers)


def test_a_short_session_is_the_one_that_the_command_line_means(server, probe, named):
    said = innkeep("invoke", probe.id, "-s", "carol", "-d", '{"do": "remember", "word": "one"}', data_dir=server.data_dir)
    assert said.returncode == 0, said.stderr
    first = json.loads(said.stdout)
    ways = [
        (f"{named}/invocations?session_id=carol", {}, {}),
        (f"{named}/invocations", {}, {SESSION_HEADER: "carol"}),
        (f"{named}/invocations?X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=carol", {}, {}),
    ]
    for n, (path, members, headers) in enumerate(ways):
        answer = call(server, path, {"do": "remember", "word": str(n)} | members, **headers)
        assert answer.status == 200, answer
        assert answer.json()["pid"] == first["pid"] and answer.json()["memory"][-1] == str(n)
        assert answer.headers[SESSION_HEADER].startswith("carol-innkeep-session-0")


def test_a_body_names_the_session_and_stays_as_it_is(server, named):
    agent = server.deploy(EXAMPLES / "hello")
    path = f"/agents/{agent.id.rsplit('-', 1)[0]}/invocations"
    turns = [call(server, path, {"prompt": "hi", "session_id": "alice"}) for _ in range(2)]
    assert [answer.headers[SESSION_HEADER] for answer in turns] == [ALICE, ALICE]
    assert [answer.headers["x-innkeep-start"] for answer in turns] == ["cold", "warm"]
    fresh = call(server, path, {"prompt": "hi"})
    assert fresh.status == 200 and len(fresh.headers[SESSION_HEADER]) == 36


def test_a_folder_s_name_does_and_the_endpoint_may_be_named(server, probe, named):
    folder = named.replace("_", "-")
    assert folder != named
    answer = call(server, f"{folder}/invocations?qualifier=DEFAULT&session_id=dave", {"do": "facts"})
    assert answer.status == 200, answer
    assert call(server, f"{folder}/invocations?qualifier=nowhere", {"do": "facts"}).status == 404
    missing = call(server, "/agents/no-such/invocations", {})
    assert missing.status == 404 and "'no-such'" in missing.json()["message"]


def test_what_is_wrong_is_said_before_anything_starts(server, named):
    before = ids(server)
    for path, payload, headers in [
        (f"{named}/invocations?session_id=a", {}, {SESSION_HEADER: "b"}),
        (f"{named}/invocations", {"session_id": 7}, {}),
        (f"{named}/invocations", {"session_id": "two words"}, {}),
    ]:
        answer = call(server, path, payload, **headers)
        assert (answer.status, answer.json()["fieldList"][0]["name"]) == (400, "session_id"), answer
    unsigned = server.request("POST", f"{named}/invocations?session_id=a", b"{}", sign=False)
    assert unsigned.status == 403
    assert ids(server) <= before, "others may have ended meanwhile"


def ids(server) -> set[str]:
    return {session["sessionId"] for session in server.sessions()}


def test_curl_signs_and_gets_an_answer(server, named):
    key = server.key
    ran = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "--aws-sigv4", f"aws:amz:{REGION}:bedrock-agentcore",
         "--user", f"{key.access_key}:{key.secret_key}", "-d", '{"do": "remember", "word": "curl"}',
         f"{server.url}{named}/invocations?session_id=erin"],
        env=environment(), capture_output=True, text=True, timeout=60,
    )
    assert ran.returncode == 0 and json.loads(ran.stdout)["memory"] == ["curl"], (ran.stdout, ran.stderr)


def test_a_socket_by_name(server):
    agent = server.deploy(EXAMPLES / "ws-echo")
    target = f"/agents/{agent.id.rsplit('-', 1)[0]}/ws?session_id=alice"
    headers = {name: value for name, value in server.signed("GET", target).items() if name.lower() not in ("host", "content-length")}
    netloc = urllib.parse.urlsplit(server.url).netloc

    async def talk():
        async with websockets.connect(f"ws://{netloc}{target}", additional_headers=headers, compression=None, open_timeout=60) as socket:
            assert json.loads(await socket.recv())["session"] == ALICE
            await socket.send("ahoy")
            assert await socket.recv() == "ahoy"

    asyncio.run(talk())
