"""Many live sessions: what a request costs with 1, 100 and 1,000 of them, each asked in turn, against nginx in front of
the very same agent processes, each in turn as well."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contenders import (
    BODY, JSON, SESSION_HEADER, Agent, deploy_static_agent, head, new_session, running_nginx, running_server,
    scratch_directory, wrk,
)
from table import Table, median

LIVE = (1, 100, 1000)
SETTINGS = "max_active_sessions = 2000\nmax_starts_per_second = 1000\n"
NOTE = """Live sessions: one server, one process of the static agent per session; `wrk` goes round all of them. nginx goes
round the same processes, so that what its figures lose from 1 to 1,000 is the machine's (cold caches, 1,000 processes, a
health check of each every two seconds) and no proxy's. "One asked": as many live, but the same one each time. Each
block follows a second that does not count, because Innkeep hangs up on an agent after a second without a request. The look-up
of a session is not measured by itself: it is what 999 more sessions add to the p50 beyond what they add to nginx's."""


def measure(table: Table, quick: bool):
    blocks, seconds = (1, 1) if quick else (4, 1)
    with scratch_directory() as scratch:
        settings = scratch / "innkeep.toml"
        settings.write_text(SETTINGS)
        with running_server("--config", str(settings)) as server:
            agent = deploy_static_agent(server)
            sessions, results = [], {}
            for live in LIVE:
                sessions += start(agent, live - len(sessions))
                results[live] = {n: take_turns(agent, sessions, n, blocks, seconds) for n in (1, 32)}
    add(table, results)


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


def agent_ports(agent: Agent) -> list[int]:
    """The ports that the sessions' agents listen on, as the kernel knows them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{line[9]}]": int(line[1].split(":")[1], 16) for line in lines if line[3] == "0A"}
    sessions = agent.server.request("GET", f"/innkeep/v1/sessions?runtime={agent.id}").json()["sessions"]
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
            has_target = key == "p50" and live == LIVE[-1]
            name = "requests/s" if key == "rate" else key
            table.add(
                f"{live:,} live session{'s' * (live > 1)}, {connections} connection{'s' * (connections > 1)}: {name}",
                nginx=figure(key, now["nginx"]), innkeep=figure(key, now["innkeep"]),
                compared="" if live == 1 else f"{ratio['innkeep']:.2f} of one session's; one asked "
                f"{ratio['one asked']:.2f}; nginx {ratio['nginx']:.2f}",
                target="0.90 to 1.10 of one session's" if has_target else "",
                met=0.9 <= ratio["innkeep"] <= 1.1 if has_target else None,
            )
    added = {name: results[LIVE[-1]][1][name]["p50"] - results[1][1][name]["p50"] for name in ("nginx", "innkeep")}
    table.add(
        "what 999 more sessions add to the p50", nginx=f"{added['nginx']:+.0f} µs", innkeep=f"{added['innkeep']:+.0f} µs",
        compared=f"{added['innkeep'] - added['nginx']:+.0f} µs for the look-up",
    )


def figure(key: str, value: float) -> str:
    return f"{value:,.0f}" if key == "rate" else f"{value:.0f} µs"
