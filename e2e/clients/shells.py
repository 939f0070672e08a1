"""What the unmodified SDK does with a terminal and with a WebSocket of its own, over TLS. Prints a JSON object of what it saw.

The SDK asks for a host below amazonaws.com; whoever starts this has seen to it that the name leads to the server under test.
"""

import asyncio
import json
import os
import sys

import websockets
from bedrock_agentcore.runtime import AgentCoreRuntimeClient
from bedrock_agentcore.runtime.shell import OAuthAuth, PresignedAuth, ReconnectConfig, ShellChannel

client = AgentCoreRuntimeClient(os.environ["AWS_REGION"])


async def until(shell, mark: str) -> str:
    """All that is shown up to `mark`. What is typed is shown too, so marks are computed by the shell."""
    seen = ""
    async with asyncio.timeout(30):
        async for frame in shell:
            if frame.channel == ShellChannel.STDOUT:
                seen += frame.text
                if mark in seen:
                    return seen
    raise AssertionError(f"the shell ended before it showed {mark!r}: {seen!r}")


async def talk(arn, session):
    """Types, resizes, and ends with a code."""
    async with client.open_shell(arn, session_id=session, shell_id="talk") as shell:
        assert (shell.shell_id, shell.session_id) == ("talk", session)
        await shell.send("echo answer=$((40+2))\n")
        await until(shell, "answer=42")
        await shell.resize(133, 37)
        # It is told of it by a signal, which takes its time.
        await shell.send("until [ \"$(stty size)\" = '37 133' ]; do sleep 0.1; done; echo sized=$((1+1))\n")
        await until(shell, "sized=2")
        await shell.send("exit 3\n")
        async for _ in shell:
            pass
        return {"exit": shell.exit_code}


async def come_back(arn, session, auth="sigv4"):
    """Leaves a shell, and finds it as it was, with what it showed."""
    async with client.open_shell(arn, session_id=session, shell_id="again", auth=auth) as shell:
        await shell.send("word=remembered; echo first=$((1+1))\n")
        await until(shell, "first=2")
    async with client.open_shell(arn, session_id=session, shell_id="again", auth=auth) as shell:
        replayed = await until(shell, "first=2")
        await shell.send("echo it is $word.\n")
        await until(shell, "it is remembered.")
        return {"replayed": len(replayed)}


async def reconnect(arn, session):
    """Loses its connection, and goes on by itself."""
    again = asyncio.Event()
    config = ReconnectConfig(base_delay=0.1, on_reconnect=again.set)
    async with client.open_shell(arn, session_id=session, shell_id="lost", reconnect_config=config) as shell:
        await shell.send("word=kept; echo ready=$((1+1))\n")
        await until(shell, "ready=2")
        shell._ws.transport.abort()
        await until(shell, "ready=2")  # what is replayed
        await shell.send("echo it is $word.\n")
        await until(shell, "it is kept.")
        return {"reconnected": again.is_set()}


async def take_over(arn, session):
    async with client.open_shell(arn, session_id=session, shell_id="one") as first:
        await first.send("echo here=$((1+1))\n")
        await until(first, "here=2")
        async with client.open_shell(arn, session_id=session, shell_id="one") as second:
            await until(second, "here=2")
            async with asyncio.timeout(30):
                async for _ in first:
                    pass
            await second.send("echo still=$((1+1))\n")
            await until(second, "still=2")
            return {"kicked": first.kicked, "exit": first.exit_code}


async def echo(url, **options):
    async with websockets.connect(url, **options) as socket:
        hello = json.loads(await socket.recv())
        await socket.send("grüß dich")
        assert await socket.recv() == "grüß dich"
        return {"session": hello["session"]}


async def sockets(arn, session, token_arn, token):
    """The SDK's own WebSocket client, in each way of showing who it is."""
    url, headers = client.generate_ws_connection(arn, session)
    signed = await echo(url, additional_headers=headers)
    presigned = await echo(client.generate_presigned_url(arn, session))
    url, headers = client.generate_ws_connection_oauth(token_arn, token, session)
    bearer = await echo(url, additional_headers=headers)
    return {"sessions": [answer["session"] for answer in (signed, presigned, bearer)]}


async def main(what):
    arn, session = what["arn"], what["session"]
    match what["do"]:
        case "talk":
            return await talk(arn, session)
        case "come back":
            return await come_back(arn, session)
        case "presigned":
            return await come_back(arn, session, PresignedAuth(expires=120))
        case "token":
            return await come_back(what["tokenArn"], session, OAuthAuth(what["token"]))
        case "reconnect":
            return await reconnect(arn, session)
        case "take over":
            return await take_over(arn, session)
        case "sockets":
            return await sockets(arn, session, what["tokenArn"], what["token"])


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
