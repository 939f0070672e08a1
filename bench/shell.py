"""Commands beside the agent: how long until the first byte of output, and until the exit code."""

import http.client
import json
import os
import time
import urllib.parse
from dataclasses import dataclass

from botocore.eventstream import EventStreamBuffer

from contenders import deploy_static_agent
from harness import SESSION_HEADER, Agent, new_session
from servers import running_server
from table import Table, median, percentile

COMMANDS = ("true", "echo hello")
JSON = {"Content-Type": "application/json", "Accept": "application/vnd.amazon.eventstream"}
PATIENCE = 60
NOTE = """Commands: in a session of the static agent that is warm, over a connection that is kept, one after the other. By hand: the same
shell, spawned on the host with a pipe for its output. First byte: from the request to the first event with output, or by hand to the
first byte in the pipe; to the end: to the last event, which has the exit code, or by hand to when the process was waited for. Events
are parsed by botocore."""


@dataclass
class Took:
    """Milliseconds. To the first byte: none of a command that writes nothing."""

    first: float | None
    end: float


def measure(table: Table, quick: bool):
    blocks, times = (2, 10) if quick else (6, 100)
    with running_server() as server:
        agent, session = deploy_static_agent(server), new_session()
        agent.ask({}, session)
        for command in COMMANDS:
            runs = [block(agent, session, command, times) for _ in range(-1, blocks)][1:]
            add(table, command, "to the end", [[[one.end for one in way] for way in run] for run in runs])
            if command != "true":
                add(table, command, "to the first byte", [[[one.first for one in way] for way in run] for run in runs])


def block(agent: Agent, session: str, command: str, times: int) -> tuple[list[Took], list[Took]]:
    """By hand and through Innkeep, in turns."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(agent.server.url).netloc, timeout=PATIENCE)
    target = agent.path.replace("/invocations", "/commands")
    body = json.dumps({"command": command}).encode()
    headers = agent.server.signed("POST", target, body, JSON | {SESSION_HEADER: session})
    took = ([], [])
    for _ in range(times):
        took[0].append(by_hand(command))
        took[1].append(through(connection, target, body, headers))
    connection.close()
    return took


def by_hand(command: str) -> Took:
    ours, theirs = os.pipe()
    began, first = time.perf_counter(), None
    actions = [(os.POSIX_SPAWN_DUP2, theirs, 1), (os.POSIX_SPAWN_CLOSE, ours)]
    pid = os.posix_spawn("/bin/bash", ["bash", "-c", command], os.environ, file_actions=actions)
    os.close(theirs)
    while os.read(ours, 1 << 16):
        first = first or since(began)
    _, status = os.waitpid(pid, 0)
    took = Took(first, since(began))
    os.close(ours)
    assert status == 0, f"{command} ended with {status}"
    return took


def through(connection: http.client.HTTPConnection, target: str, body: bytes, headers: dict[str, str]) -> Took:
    events, began, first, last = EventStreamBuffer(), time.perf_counter(), None, {}
    connection.request("POST", target, body=body, headers=headers)
    response = connection.getresponse()
    assert response.status == 200, (response.status, response.read())
    while piece := response.read1(1 << 16):
        events.add_data(piece)
        for event in events:
            last = json.loads(event.payload)
            if "contentDelta" in last:
                first = first or since(began)
    took = Took(first, since(began))
    assert last == {"contentStop": {"exitCode": 0, "status": "COMPLETED"}}, last
    return took


def since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def add(table: Table, command: str, what: str, runs: list[list[list[float]]]):
    for percent in (50, 99):
        each = [[percentile(way, percent) for way in run] for run in runs]
        ours = median(run[1] for run in each)
        adds, ratio = median(run[1] - run[0] for run in each), median(run[1] / run[0] for run in each)
        has_target = percent == 50 and what == "to the first byte"
        table.add(
            f"command `{command}`, {what}: p{percent}", f"{median(run[0] for run in each):.2f} ms", "", f"{ours:.2f} ms",
            f"{adds:+.2f} ms, {ratio:.2f} of by hand", "≤ 10 ms" if has_target else "", ours <= 10 if has_target else None,
        )
