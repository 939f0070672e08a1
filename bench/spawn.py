"""Starts: from the request for a sandbox to the first byte of its agent's answer, wherever an agent can run."""

from places import Bare, Innkeep, Unasked, all_places, take_turns
from table import Table, median, percentile

RIVALS = ("crun", "runc")
NOTE = """Starts: static is the agent of the other groups, stdlib an `http.server`, sdk one with `bedrock-agentcore`;
everywhere the same command on the same files. Innkeep: an invocation of a new session of a deployed runtime, to the first
byte of its answer; "server" is what the server itself calls ready. Bare and the runtimes: from the exec of the agent, or of
the runtime, to the first byte of the same request's answer. Everywhere the agent is asked for its health first (`GET /ping`), as
soon as the port accepts it: by contract nothing is asked of an agent before it said that it is healthy, and some have work to do
for their first answer. How much tells "bare, no health check", which is invoked at once. crun, runc and podman are
Debian's and make what Innkeep makes but for a user namespace and a writable layer: namespaces for network, mounts, pids, ipc
and uts, the host's /usr read-only, uid 1000, no capabilities, the distribution's seccomp profile; asked through the network
namespace. crun once more without the profile, which it compiles for every container. No limits for crun where control groups
of both versions are mounted: it refuses such machines, and runs with groups disabled and version 2's hidden."""


def measure(table: Table, quick: bool):
    times = 5 if quick else 25
    with all_places(unasked=True) as (places, workloads):
        for workload in workloads:
            taken = {name: starts for name, (starts, _) in take_turns(places, workload, times).items()}
            for place in places:
                add(table, workload.name, place, taken)


def add(table: Table, workload: str, place, taken: dict[str, list[float]]):
    times = taken[place.name]
    p50 = {name: median(values) for name, values in taken.items()}
    added = median(ours - bare for bare, ours in zip(taken["bare"], times))
    spread = f"min {min(times):.1f}, p95 {percentile(times, 95):.1f} ms"
    cells, target, met = ["", "", ""], "", None
    if isinstance(place, Innkeep):
        cells[0], cells[2] = f"{p50['bare']:.1f} ms", f"{p50[place.name]:.1f} ms"
        spread += f"; server {median(place.ready[workload]):.0f} ms"
        rivals = [name for name in RIVALS if name in p50]
        ratios = {name: median(ours / theirs for ours, theirs in zip(times, taken[name])) for name in rivals}
        spread = f"{added:+.1f} ms" + "".join(f", {ratio:.2f} of {name}" for name, ratio in ratios.items()) + "; " + spread
        if place.name.startswith("container"):
            target = "≤ bare + 8 ms" + ", faster than crun and runc" * bool(rivals)
            met = added <= 8 and all(ratio < 1 for ratio in ratios.values())
        else:
            target, met = "≤ bare + 20 ms", added <= 20
    elif isinstance(place, Bare):
        cells[0] = f"{p50[place.name]:.1f} ms"
        spread = f"{added:+.1f} ms; {spread}" if isinstance(place, Unasked) else spread
    else:
        cells[0], cells[1] = f"{p50['bare']:.1f} ms", f"{p50[place.name]:.1f} ms"
        spread = f"{added:+.1f} ms; {spread}"
    table.add(f"start, {workload}, {place.name}: p50", *cells, spread, target, met)
