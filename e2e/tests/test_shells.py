"""Terminals beside agents, with `websockets` and with the unmodified SDK's own client over TLS."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import urllib.parse
from contextlib import asynccontextmanager

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from harness import EXAMPLES, IS_ROOT, REGION, ROOT, SESSION_HEADER, environment, new_session, running_server, wait_for
from test_dev_issuer import DOCUMENTS, token

# What the SDK asks of a host's name.
NAME = "dp.innkeep-e2e.amazonaws.com"

STDIN, STDOUT, STDERR, STATUS, RESIZE, HEARTBEAT, CLOSE = (bytes([n]) for n in (0, 1, 2, 3, 4, 5, 255))

NAMESPACES = ["unshare", "--mount"] + ([] if IS_ROOT else ["--user", "--map-root-user"])
CAN_UNSHARE = subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def agent(server):
    return server.deploy(EXAMPLES / "ws-echo")


class Terminal:
    """One connection to a shell, message by message."""

    def __init__(self, socket):
        self.socket = socket
        self.seen = ""

    async def hear(self):
        async with asyncio.timeout(30):
            message = await self.socket.recv()
        return message[:1], message[1:]

    async def status(self) -> dict:
        channel, told = await self.hear()
        assert channel == STATUS, (channel, told)
        return json.loads(told)

    async def type(self, text: str):
        await self.socket.send(STDIN + text.encode())

    async def until(self, mark: str) -> str:
        while mark not in self.seen:
            channel, shown = await self.hear()
            assert channel == STDOUT, (channel, shown, self.seen)
            self.seen += shown.decode(errors="replace")
        seen, self.seen = self.seen.split(mark, 1)
        return seen

    async def end(self) -> tuple[dict | None, bool, int]:
        """The status that is told last, whether the server closes the shell, and the close code."""
        told, closes = None, False
        with pytest.raises(ConnectionClosed):
            while True:
                channel, message = await self.hear()
                told = json.loads(message) if channel == STATUS else told
                closes |= channel == CLOSE
        return told, closes, self.socket.close_code


def signed(agent, session, **query):
    target = agent.path.replace("/invocations", "/ws/shells") + "?" + urllib.parse.urlencode(query, doseq=True, quote_via=urllib.parse.quote)
    headers = agent.server.signed("GET", target, headers={SESSION_HEADER: session})
    headers = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
    return f"ws://127.0.0.1:{urllib.parse.urlsplit(agent.server.url).port}{target}", headers


@asynccontextmanager
async def connected(agent, session, **query):
    url, headers = signed(agent, session, **query)
    async with websockets.connect(url, additional_headers=headers, compression=None, open_timeout=60) as socket:
        yield Terminal(socket)


async def refused(agent, session, **query):
    with pytest.raises(InvalidStatus) as error:
        async with connected(agent, session, **query):
            pass
    response = error.value.response
    return response.status_code, response.headers["x-amzn-errortype"], json.loads(response.body)


def test_a_shell_is_one_beside_the_agent(agent):
    session = new_session()

    async def test():
        async with connected(agent, session, shellId="one", width=100, height=30) as terminal:
            assert terminal.socket.response.headers["X-Amzn-Bedrock-AgentCore-Shell-Id"] == "one"
            assert terminal.socket.response.headers[SESSION_HEADER] == session
            told = await terminal.status()
            assert told["metadata"] == {"shellId": "one", "reconnected": False}
            await terminal.type("stty size; tty; echo $TERM; test -t 0 && echo terminal=$((1+1))\n")
            seen = await terminal.until("terminal=2")
            assert "30 100" in seen and "/dev/pts/" in seen and "xterm-256color" in seen
            await terminal.socket.send(RESIZE + b'{"width":133,"height":37}')
            # It is told of it by a signal, which takes its time.
            await terminal.type("until [ \"$(stty size)\" = '37 133' ]; do sleep 0.1; done; echo sized=$((1+1))\n")
            await terminal.until("sized=2")
            # Ctrl-C ends what runs, and the shell takes the next line.
            await terminal.type("PS1='asks''you> '\n")
            await terminal.until("asksyou> ")
            # Said by what is interrupted: a shell in the middle of starting it may lose its terminal to it, and end.
            await terminal.type("sh -c 'echo sleeping=$((1+1)); exec sleep 1000'\n")
            await terminal.until("sleeping=2")
            await terminal.type("\x03")
            # What is typed before it asks, it throws away.
            await terminal.until("asksyou> ")
            await terminal.type("echo awake=$((1+1)); exit 3\n")
            await terminal.until("awake=2")
            told, closes, code = await terminal.end()
            assert told["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
            assert (closes, code) == (False, 1000)

    asyncio.run(test())


def test_heartbeats_are_echoed_and_keep_nothing_waiting(agent):
    async def test():
        async with connected(agent, new_session(), command=["cat"]) as terminal:
            await terminal.status()
            for _ in range(3):
                await terminal.socket.send(HEARTBEAT)
                assert await terminal.hear() == (HEARTBEAT, b"")
            assert await (await terminal.socket.ping()) < 5

    asyncio.run(test())


def test_a_shell_outlives_its_client_and_shows_what_it_printed(agent):
    session = new_session()
    printed = f"/tmp/{session}"

    async def test():
        async with connected(agent, session, shellId="one") as terminal:
            await terminal.type(f"word=kept; (sleep 0.2; seq 1 100000; echo done=$((1+1)); touch {printed}) &\n")
            view = await asyncio.to_thread(agent.view, session)
            assert (view["state"], view["openRequests"]) == ("Active", 1)
        # Without a client the session is idle, and nothing holds the program up.
        await asyncio.to_thread(agent.wait_for_state, session, "Idle")
        # Before it has printed all, a client would get what is replayed, and the rest.
        looks = ["sh", "-c", f"until rm {printed} 2>/dev/null; do sleep 0.1; done; echo it has"]
        async with connected(agent, session, command=looks) as beside:
            await beside.status()
            await beside.until("it has")
        async with connected(agent, session, shellId="one") as terminal:
            assert (await terminal.status())["metadata"]["reconnected"] is True
            replayed = await terminal.until("done=2")
            assert len(replayed) <= 256 << 10 and replayed.splitlines()[-1] == "100000"
            await terminal.type("echo it is $word.\n")
            await terminal.until("it is kept.")

    asyncio.run(test())


def test_the_next_client_takes_over(agent):
    session = new_session()

    async def test():
        async with connected(agent, session, shellId="one") as first:
            await first.status()
            async with connected(agent, session, shellId="one") as second:
                assert (await first.end())[2] == 4000
                await second.type("echo mine=$((1+1))\n")
                await second.status()
                await second.until("mine=2")

    asyncio.run(test())


def test_a_session_has_ten(agent):
    session = new_session()

    async def test():
        for n in range(10):
            async with connected(agent, session, shellId=f"shell{n}") as terminal:
                await terminal.status()
        status, kind, body = await refused(agent, session, shellId="one-more")
        assert (status, kind, body["error"]) == (424, "RuntimeClientError", "ShellLimitExceeded")
        async with connected(agent, session, shellId="shell3") as terminal:
            assert (await terminal.status())["metadata"]["reconnected"] is True
            await terminal.socket.send(CLOSE)
            told, _, code = await terminal.end()
            assert ({"reason": "Signal", "message": "9"} in told["details"]["causes"], code) == (True, 1000)
        async with connected(agent, session, shellId="one-more"):
            pass
        assert (await refused(agent, session, shellId="-"))[2]["error"] == "InvalidShellId"
        status, _, body = await refused(agent, new_session(), command=["no-such-program"])
        assert (status, body["error"]) == (424, "ShellUnreachable"), body
        assert "no-such-program" in body["message"]

    asyncio.run(test())


def test_what_a_client_may_not_say(agent):
    async def check(frames, expect):
        async with connected(agent, new_session(), command=["cat"]) as terminal:
            for frame in frames:
                await terminal.socket.send(frame)
            assert (await terminal.end())[2] == expect

    asyncio.run(check(["text"] * 5, 1003))
    asyncio.run(check([STDIN + bytes(64 << 10)], 1009))
    asyncio.run(check([HEARTBEAT] * 1000, 1008))


def test_a_paste_arrives_whole(agent):
    async def test():
        command = ["sh", "-c", "stty raw -echo; echo ready; head -c 300000 | sha256sum"]
        async with connected(agent, new_session(), command=command) as terminal:
            await terminal.status()
            await terminal.until("ready")
            paste = os.urandom(300_000)
            for at in range(0, len(paste), 60_000):
                await terminal.socket.send(STDIN + paste[at : at + 60_000])
            await terminal.until(hashlib.sha256(paste).hexdigest())

    asyncio.run(test())


def test_a_session_that_ends_says_so(agent):
    session = new_session()

    async def test():
        async with connected(agent, session) as terminal:
            await terminal.status()
            await asyncio.to_thread(agent.stop, session)
            assert (await terminal.end())[1:] == (True, 1001)
        async with connected(agent, session) as terminal:
            assert (await terminal.status())["metadata"]["reconnected"] is False

    asyncio.run(test())


@pytest.mark.host
def test_an_agent_that_is_killed_takes_its_shells_with_it(agent):
    session = new_session()

    async def test():
        async with connected(agent, session) as terminal:
            await terminal.status()
            # Quoted, so that what is typed, and shown, is not what is printed.
            await terminal.type('sleep 123456 & echo "p""id=$!."\n')
            await terminal.until("pid=")
            pid = int(await terminal.until("."))
            os.kill(agent.view(session)["agentPid"], 9)
            told, _, code = await terminal.end()
            assert (told["reason"], told["code"], code) == ("InternalError", 500, 1011)
            await asyncio.to_thread(wait_for, "the shell's children to end", lambda: not os.path.exists(f"/proc/{pid}"))

    asyncio.run(test())


def test_a_server_that_ends_asks_to_come_back():
    async def test(agent):
        async with connected(agent, new_session()) as terminal:
            await terminal.status()
            stopping = asyncio.to_thread(agent.server.stop)
            (_, closes, code), _ = await asyncio.gather(terminal.end(), stopping)
            assert (closes, code) == (False, 1001)

    with running_server() as server:
        asyncio.run(test(server.deploy(EXAMPLES / "ws-echo")))


# --- the SDK's own client --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secure():
    """Two agents behind TLS, of which one takes tokens, and a function that lets the SDK talk to them."""
    if not CAN_UNSHARE:
        pytest.skip("the SDK's host cannot be named here: no mount namespace can be made")
    with running_server("--tls", "auto", "--dev-issuer", tls_names=json.dumps(["127.0.0.1", NAME])) as server:
        agent = server.deploy(EXAMPLES / "ws-echo")
        rules = {"discoveryUrl": server.url + DOCUMENTS[0], "allowedClients": ["program"]}
        of_tokens = server.deploy(EXAMPLES / "ws-echo", authorizerConfiguration={"customJWTAuthorizer": rules})
        hosts = server.data_dir / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {NAME}\n")

        def run(do, session=None):
            what = {
                "do": do, "arn": agent.arn, "session": session or new_session(),
                "tokenArn": of_tokens.arn, "token": token(server.data_dir, "--client-id", "program"),
            }
            port = urllib.parse.urlsplit(server.url).port
            ran = subprocess.run(
                [*NAMESPACES, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts,
                 sys.executable, ROOT / "e2e/clients/shells.py", json.dumps(what)],
                env=environment(
                    AWS_REGION=REGION, AWS_ACCESS_KEY_ID=server.key.access_key,
                    AWS_SECRET_ACCESS_KEY=server.key.secret_key, AWS_EC2_METADATA_DISABLED="true",
                    BEDROCK_AGENTCORE_DP_ENDPOINT=f"https://{NAME}:{port}",
                ) | {"SSL_CERT_FILE": str(server.ca)},
                capture_output=True, text=True, timeout=120, check=False,
            )
            assert ran.returncode == 0, (ran.stderr[-4000:], server.stderr[-2000:])
            return json.loads(ran.stdout)

        yield run


def test_the_sdk_talks(secure):
    assert secure("talk") == {"exit": 3}


@pytest.mark.parametrize("how", ["come back", "presigned", "token"])
def test_the_sdk_comes_back(secure, how):
    assert secure(how)["replayed"] > 0


def test_the_sdk_reconnects_by_itself(secure):
    assert secure("reconnect") == {"reconnected": True}


def test_the_sdk_knows_that_it_was_replaced(secure):
    assert secure("take over") == {"kicked": True, "exit": None}


def test_the_sdks_websocket_client_over_tls(secure):
    session = new_session()
    assert secure("sockets", session) == {"sessions": [session] * 3}
