"""Clients of WebSockets and terminals that vanish without a word: they hold nothing for longer than it takes to ask them twice."""

import asyncio
import base64
import os
import time
import urllib.parse

import websockets

import test_shells
import test_websocket
from harness import EXAMPLES, new_session

PING = b"\x89\x0einnkeep:alive?"
# Twice the interval of the server's pings.
SOON, LATE = 55, 90


async def silent(url, headers):
    """Shakes hands, and then says nothing any more, no pong either. Returns what it was told until it was cut, and after how long."""
    parts = urllib.parse.urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    asked = {"Host": parts.netloc, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    writer.write(f"GET {parts.path}?{parts.query} HTTP/1.1\r\n{lines}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    begun = time.monotonic()
    async with asyncio.timeout(LATE):
        told = await reader.read()
    writer.close()
    return told, time.monotonic() - begun


async def answering(url, headers):
    """Says nothing but what its library answers by itself."""
    async with websockets.connect(url, additional_headers=headers, compression=None, ping_interval=None) as socket:
        await socket.recv()
        await asyncio.sleep(SOON + 20)
        await asyncio.wait_for(await socket.ping(), 10)
        return socket.state


def test_who_vanishes_is_given_up_and_who_is_silent_is_not(server):
    agent = server.deploy(EXAMPLES / "ws-echo")
    of_socket, of_shell, other = new_session(), new_session(), new_session()

    async def test():
        stays = asyncio.create_task(answering(*test_websocket.signed(agent, other)))
        ends = await asyncio.gather(
            silent(*test_websocket.signed(agent, of_socket)),
            silent(*test_shells.signed(agent, of_shell, shellId="kept")),
        )
        for told, after in ends:
            assert PING in told and after < LATE, (told, after)
        # The agent's own server asks its clients too, and sooner.
        assert ends[1][1] > SOON, ends
        await asyncio.to_thread(agent.wait_for_state, of_socket, "Idle")
        await asyncio.to_thread(agent.wait_for_state, of_shell, "Idle")
        async with test_shells.connected(agent, of_shell, shellId="kept") as terminal:
            assert (await terminal.status())["metadata"] == {"shellId": "kept", "reconnected": True}
        assert await stays == websockets.State.OPEN

    asyncio.run(test())
