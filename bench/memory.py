"""Memory at rest: of the server and of sidecars, as proportional set size."""

from pathlib import Path

from cold import agent_pid
from contenders import deploy_static_agent, new_session, running_server
from table import Table, median

NOTE = "Memory at rest: proportional set size."


def measure(table: Table, quick: bool):
    del quick  # it takes a second
    with running_server() as server:
        agent = deploy_static_agent(server)
        sessions = [new_session() for _ in range(10)]
        agent.ask({}, sessions[0])
        sidecars = [parent(agent_pid(agent, sessions[0]))]
        alone, with_one = pss(sidecars[0]), pss(server.pid)
        for session in sessions[1:]:
            agent.ask({}, session)
            sidecars.append(parent(agent_pid(agent, session)))
        with_ten, one_of_ten = pss(server.pid), median(pss(pid) for pid in sidecars)
    table.add("memory of the server, one session", innkeep=f"{with_one:.1f} MiB")
    table.add("memory of the server, ten sessions", innkeep=f"{with_ten:.1f} MiB")
    table.add("memory of a sidecar, alone", innkeep=f"{alone:.2f} MiB", target="≤ 2 MiB", met=alone <= 2)
    table.add("memory of a sidecar, one of ten", innkeep=f"{one_of_ten:.2f} MiB")


def pss(pid: int) -> float:
    """Proportional set size, MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
