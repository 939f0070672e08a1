"""Ways to a new session: from its first request to the first byte of its answer, however the sandbox came about."""

import json
import os
import select
from contextlib import ExitStack, contextmanager

import servers
from asking import PATIENCE, first_answer
from contenders import scratch_directory
from harness import Agent, wait_for
from places import Bare, shuffled
from servers import MANY, await_pool, await_zygote, deploy, live_sessions, running_server, way
from spawner import Spawner
from table import Table, percentile
from workloads import Workload, read, sources

WAITING = 2
NOTE = """Ways to a new session of the SDK's agent (`examples/sdk-echo`), to the first byte of its answer, in rounds. Bare: from the exec by hand. Cold: started from its program, as in "spawn". Zygote: forked from an interpreter that
has imported the SDK. Pool: taken from two that wait, once both do; "and zygote": those are forked. The server says each time that it
was this way. What takes a place in a pool again is started meanwhile, and is in the figure."""


class Way:
    """A new session, always the same way."""

    def __init__(self, name: str, expected: str, agent: Agent, size: int):
        self.name, self.expected, self.agent, self.size = name, expected, agent, size

    def start(self, _: Workload) -> tuple[float, str]:
        if self.size:
            await_pool(self.agent, self.size)
        took, session = first_answer(self.agent)
        came = way(self.agent, session)
        assert came == self.expected, f"{self.name}: the server says {came}"
        return took, session

    def stop(self, session: str):
        """As a caller does, and waits until it is gone."""
        process = os.pidfd_open(self.agent.view(session)["agentPid"])
        self.agent.stop(session)
        assert select.select([process], [], [], PATIENCE)[0], "the agent goes on"
        os.close(process)
        wait_for("the session to be gone", lambda: not live_sessions(self.agent))


def measure(table: Table, quick: bool):
    times = 5 if quick else 100
    with all_ways() as (places, sdk):
        taken = {place.name: [] for place in places}
        for turn in range(-1, times):
            for place in shuffled(places, turn):
                took, running = place.start(sdk)
                place.stop(running)
                if turn >= 0:  # else it was to warm up
                    taken[place.name].append(took)
    for name in taken:
        add(table, name, taken)


@contextmanager
def all_ways():
    """By hand, and what the chosen isolation has; and the agent."""
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_directory())
        _, folder, settings = stack.enter_context(sources())[-1]
        by_hand = stack.enter_context(running_server(isolation="process"))
        sdk, _ = read(by_hand, "sdk", folder, settings)
        spawner = Spawner(scratch / "spawner.log")
        stack.callback(spawner.close)
        bare = Bare(spawner)
        stack.callback(bare.close)

        server = stack.enter_context(running_server(settings=MANY))

        def way_of(name: str, expected: str, size: int, forked: bool) -> Way:
            agent = deploy(server, folder, settings_of(size, forked))
            if forked:
                await_zygote(agent)
            return Way(name, expected, agent, size)

        ways = [bare, way_of("cold", "cold", 0, False), way_of("pool", "pool", WAITING, False)]
        if servers.chosen == "container":
            ways += [way_of("zygote", "zygote", 0, True), way_of("pool and zygote", "pool", WAITING, True)]
        yield ways, sdk


def settings_of(size: int | str, forked: bool) -> str:
    """The lines of `innkeep.toml` for a pool and a zygote."""
    return f"pool = {json.dumps(size)}\n" * bool(size) + "zygote = true\n" * forked


def add(table: Table, name: str, taken: dict[str, list[float]]):
    times = taken[name]
    most = {"pool": (5, 15), "pool and zygote": (5, 15), "zygote": (40, None)}.get(name, (None, None))
    for percent, limit in zip((50, 99), most):
        ours, bare = percentile(times, percent), percentile(taken["bare"], percent)
        figures = ("", f"{ours:.1f} ms") if name != "bare" else ("", "")
        ratio = "" if name == "bare" else f"{ours / bare:.2f} of bare; "
        table.add(
            f"first byte of a new session, SDK, {name}: p{percent}", f"{bare:.1f} ms", *figures,
            f"{ratio}min {min(times):.1f}, max {max(times):.1f} ms",
            f"≤ {limit} ms" if limit else "", ours <= limit if limit else None,
        )
