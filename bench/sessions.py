"""Many live sessions: what a request costs with 1, 100 and 1,000 of them, each asked in turn, against the very same agent
processes asked without anything in between, and through nginx, each in turn as well."""

import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bodies import content_length
from contenders import (
    AGENT, BODY, JSON, SESSION_HEADER, Agent, address, deploy_static_agent, head, new_session, running_nginx, running_server, wrk,
)
from servers import MANY, live_sessions
from table import Table, median

LIVE = (1, 100, 1000)
LEASES = AGENT.with_name("innkeep-bench-leases")
ROUNDS = 4000
READ = 1 << 16
TARGET = "0.90 to 1.10 of one session's"
NOTE = """Live sessions: one server, one process of the static agent per session, without isolation: else nobody but Innkeep
could reach them. `wrk` goes round all of them. nginx goes round the same processes, so that what its figures lose from 1 to
1,000 is the machine's (cold caches, 1,000 processes, a health check of each every two seconds) and no proxy's. "The same one
asked": as many live, but one of them each time, whose process is warm: what changes with the number of sessions then is the
server's own. The target, p50 with 1,000 the same as with one, is held against both: going round all, where the machine's part is in
it, and the same one asked. Each block follows a second that does not count, because Innkeep hangs up on an agent after a second
without a request. "One client in turn": one request after the other from a loop in Python, which, unlike `wrk`, can ask 1,000
processes directly, on a connection kept to each; it has no target and explains the first: what Innkeep and nginx add is their p50 less
the direct one's with as many processes, which cost more when each is cold, whoever asks. "Look-up, lease, release": what a warm
request pays for its session in the server, called 1,000 times and more in a loop, without HTTP and without agents. The session's
actor has no part in it: a warm request passes a gate and wakes nobody."""


def measure(table: Table, quick: bool):
    blocks, seconds = (1, 1) if quick else (4, 1)
    with running_server(settings=MANY, isolation="process") as server:
        agent = deploy_static_agent(server)
        sessions, results = [], {}
        for live in LIVE:
            sessions += start(agent, live - len(sessions))
            results[live] = {n: take_turns(agent, sessions, n, blocks, seconds) for n in (1, 32)}
            results[live]["in turn"] = one_client(agent, sessions, blocks)
    add(table, results)
    add_one_asked(table, {live: results[live][1]["one asked"]["p50"] for live in LIVE})
    add_in_turn(table, {live: results[live]["in turn"] for live in LIVE})
    add_leases(table)


def start(agent: Agent, n_sessions: int) -> list[str]:
    """Starts so many sessions and returns them when all have answered."""
    sessions = [new_session() for _ in range(n_sessions)]

    def ask(session):
        answer = agent.server.request("POST", agent.path, BODY, JSON | {SESSION_HEADER: session})
        assert answer.status == 200, answer

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, sessions))
    return sessions


def take_turns(agent: Agent, sessions: list[str], connections: int, blocks: int, seconds: int) -> dict[str, dict]:
    """Returns each contender's medians."""
    to_innkeep = [head(agent, session, BODY, agent.path) + BODY for session in sessions]
    to_nginx = [head(agent, sessions[0], BODY, "/invocations") + BODY]
    with running_nginx(*(f"127.0.0.1:{port}" for port in agent_ports(agent))) as nginx:
        contenders = {
            "nginx": (nginx, to_nginx), "innkeep": (agent.server.url, to_innkeep),
            "one asked": (agent.server.url, to_innkeep[:1]),
        }
        runs = {name: [] for name in contenders}
        for _ in range(blocks):
            for name, (url, requests) in contenders.items():
                wrk(url, requests, connections, 1)  # dials
                runs[name].append(wrk(url, requests, connections, seconds))
    return {name: {key: median(r[key] for r in taken) for key in taken[0]} for name, taken in runs.items()}


def one_client(agent: Agent, sessions: list[str], blocks: int) -> dict[str, list[float]]:
    """Returns the p50 of each block, µs, of one client that asks every agent in turn, each of the three ways."""
    ports = agent_ports(agent)
    to_innkeep = [head(agent, session, BODY, agent.path) + BODY for session in sessions]
    to_agent = [head(agent, sessions[0], BODY, "/invocations") + BODY]
    with running_nginx(*(f"127.0.0.1:{port}" for port in ports)) as nginx:
        contenders = {
            "direct": ([("127.0.0.1", port) for port in ports], to_agent),
            "nginx": ([address(nginx)], to_agent), "innkeep": ([address(agent.server.url)], to_innkeep),
        }
        runs = {name: [] for name in contenders}
        for _ in range(blocks):
            for name, (addresses, requests) in contenders.items():
                runs[name].append(ask_in_turn(addresses, requests, len(ports)))
    return runs


def ask_in_turn(addresses: list[tuple[str, int]], requests: list[bytes], n_agents: int) -> float:
    connections = [socket.create_connection(address, timeout=10) for address in addresses]
    times = []
    for turn in range(n_agents + max(ROUNDS, n_agents)):
        connection, request = connections[turn % len(connections)], requests[turn % len(requests)]
        started = time.perf_counter_ns()
        connection.sendall(request)
        answer = connection.recv(READ)
        while not is_whole(answer):
            answer += connection.recv(READ)
        if turn >= n_agents:  # else it made somebody dial
            times.append((time.perf_counter_ns() - started) / 1000)
    for connection in connections:
        connection.close()
    return median(times)


def is_whole(answer: bytes) -> bool:
    fields, end, body = answer.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return bool(end) and len(body) == content_length(fields)


def agent_ports(agent: Agent) -> list[int]:
    """The ports that the sessions' agents listen on, as the kernel knows them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{line[9]}]": int(line[1].split(":")[1], 16) for line in lines if line[3] == "0A"}
    sessions = live_sessions(agent)
    ports = []
    for session in sessions:
        descriptors = Path(f"/proc/{session['agentPid']}/fd").iterdir()
        ports += [listening[link] for link in (str(d.readlink()) for d in descriptors) if link in listening]
    assert len(ports) == len(sessions)
    return ports


def add(table: Table, results: dict[int, dict[int, dict[str, dict]]]):
    for key, connections in (("p50", 1), ("p99", 1), ("rate", 32)):
        for live in LIVE:
            now = {name: figures[key] for name, figures in results[live][connections].items()}
            then = {name: figures[key] for name, figures in results[1][connections].items()}
            ratio = {name: now[name] / then[name] for name in now}
            name = "requests/s" if key == "rate" else key
            has_target = key == "p50" and live == LIVE[-1]
            table.add(
                f"{live:,} live session{'s' * (live > 1)}, {connections} connection{'s' * (connections > 1)}: {name}",
                nginx=figure(key, now["nginx"]), innkeep=figure(key, now["innkeep"]),
                compared="" if live == 1 else f"{ratio['innkeep']:.2f} of one session's; one asked "
                f"{ratio['one asked']:.2f}; nginx {ratio['nginx']:.2f}",
                target=TARGET if has_target else "", met=is_the_same(ratio["innkeep"]) if has_target else None,
            )


def add_one_asked(table: Table, p50: dict[int, float]):
    ratio = p50[LIVE[-1]] / p50[1]
    table.add(
        f"{LIVE[-1]:,} live sessions, the same one asked, 1 connection: p50", innkeep=figure("p50", p50[LIVE[-1]]),
        compared=f"{ratio:.2f} of one session's", target=TARGET, met=is_the_same(ratio),
    )


def is_the_same(ratio: float) -> bool:
    return 0.9 <= ratio <= 1.1


def add_leases(table: Table):
    """What the registry takes of a warm request; a program of its own, without HTTP and agents."""
    took = json.loads(subprocess.run([LEASES], capture_output=True, text=True, check=True).stdout)
    for name, key in (
        ("1 live session", "oneOfOne"), (f"{LIVE[-1]:,} live sessions, the same one asked", "oneOfMany"),
        (f"{LIVE[-1]:,} live sessions, each in turn", "eachOfMany"),
    ):
        compared = "" if key == "oneOfOne" else f"{took[key] / took['oneOfOne']:.2f} of one session's"
        table.add(f"look-up, lease, release: {name}", innkeep=f"{took[key]:,} ns", compared=compared)


def add_in_turn(table: Table, results: dict[int, dict[str, list[float]]]):
    adds = {}
    for live, runs in results.items():
        adds[live] = median(ours - direct for direct, ours in zip(runs["direct"], runs["innkeep"]))
        nginx = median(theirs - direct for direct, theirs in zip(runs["direct"], runs["nginx"]))
        ratio = adds[live] / adds[LIVE[0]]
        figures = (figure("p50", median(each)) for each in runs.values())
        table.add(
            f"{live:,} live session{'s' * (live > 1)}, one client in turn: p50", *figures,
            f"Innkeep adds {adds[live]:.0f} µs, nginx {nginx:.0f} µs" + f"; {ratio:.2f} of what it adds to one" * (live > 1),
        )


def figure(key: str, value: float) -> str:
    return f"{value:,.0f}" if key == "rate" else f"{value:.0f} µs"
