"""Where a workload can be started and stopped: by hand, under a server's drivers, in a runtime's container. Every place answers
`prepare` once per workload, then `start` and `stop` in turn; times are milliseconds as the one who asks sees them."""

import os
import random
import select
import signal
import socket
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import servers
from asking import PATIENCE, QUESTIONS, REQUEST, first_answer, first_byte_when_it_is_ready
from contenders import JSON, SESSION_HEADER, scratch_directory
from harness import Agent, Server
from podman import Podman
from runtimes import Crun, CrunUnfiltered, Runc
from servers import MANY, await_no_sandbox, deploy, running_server
from spawner import Spawner
from workloads import PORT, Workload, read, sources


class Bare:
    """The same process by hand, asked for its health before anything else, as the contract has it."""

    name = "bare"
    questions = QUESTIONS

    def __init__(self, spawner: Spawner):
        self.spawner = spawner
        self.running: set[int] = set()

    def prepare(self, workload: Workload):
        pass

    def start(self, workload: Workload) -> tuple[float, int]:
        started = time.perf_counter()
        pid = self.spawner.spawn(workload.argv, workload.environment, workload.directory)
        self.running.add(pid)
        first_byte_when_it_is_ready(socket.socket, PORT, self.questions)
        return (time.perf_counter() - started) * 1000, pid

    def stop(self, pid: int) -> float:
        started = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        self.spawner.wait(pid)
        took = (time.perf_counter() - started) * 1000
        self.running.discard(pid)
        return took

    def close(self):
        """Ends what a failure has left running."""
        for pid in list(self.running):
            self.stop(pid)


class Unasked(Bare):
    """Not asked for its health: what that question costs an agent is the difference."""

    name = "bare, no health check"
    questions = (REQUEST,)


@dataclass
class Innkeep:
    """A session of its own on a server."""

    name: str
    server: Server
    egress: str = "none"
    agents: dict[str, Agent] = field(default_factory=dict)
    ready: dict[str, list[float]] = field(default_factory=dict)
    """By workload, how long the server itself says that its starts took, ms."""

    def prepare(self, workload: Workload):
        if workload.name not in self.agents:
            self.agents[workload.name] = deploy(self.server, workload.folder, workload.settings, self.egress)
        self.ready[workload.name] = []

    def start(self, workload: Workload) -> tuple[float, tuple[Agent, str]]:
        agent = self.agents[workload.name]
        took, session = first_answer(agent)
        self.ready[workload.name].append(agent.view(session)["readyMs"])
        return took, (agent, session)

    def stop(self, running: tuple[Agent, str]) -> float:
        """From StopRuntimeSession until the agent's process and all that the sandbox had are gone."""
        agent, session = running
        path = agent.path.replace("/invocations", "/stopruntimesession")
        headers = self.server.signed("POST", path, b"{}", JSON | {SESSION_HEADER: session})
        process = os.pidfd_open(agent.view(session)["agentPid"])
        started = time.perf_counter()
        answer = self.server.request("POST", path, b"{}", headers, sign=False)
        assert answer.status == 200, answer
        assert select.select([process], [], [], PATIENCE)[0], "the agent goes on"
        await_no_sandbox(self.server)
        took = (time.perf_counter() - started) * 1000
        os.close(process)
        return took

    def close(self):
        """Its server ends what it has left running."""


@contextmanager
def all_places(names=("static", "stdlib", "sdk"), runtimes=True, unasked=False):
    """Every place that this machine has, and the workloads of these names. `unasked`: by hand without a health check, too."""
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_directory())
        os.chmod(scratch, 0o755)
        by_hand = stack.enter_context(running_server(settings=MANY, isolation="process"))
        process = Innkeep("process", by_hand)
        workloads = []
        for name, folder, settings in stack.enter_context(sources()):
            if name in names:
                workload, process.agents[name] = read(by_hand, name, folder, settings)
                workloads.append(workload)
        spawner = Spawner(scratch / "spawner.log")
        stack.callback(spawner.close)
        places = [Bare(spawner), *([Unasked(spawner)] if unasked else []), process]
        if servers.chosen != "process":
            places += sandboxed(stack)
        if runtimes and os.geteuid() == 0:
            places += [runtime(spawner, scratch) for runtime in (Crun, CrunUnfiltered, Runc, Podman)]
        for place in places:
            stack.callback(place.close)
        yield [place for place in places if is_here(place, workloads)], workloads


def sandboxed(stack: ExitStack) -> list[Innkeep]:
    """The chosen isolation: as root without and with a network, and as an ordinary user."""
    places = []
    for ordinary_user in (False, True) if os.geteuid() == 0 else (False,):
        server = stack.enter_context(running_server(settings=MANY, ordinary_user=ordinary_user))
        if ordinary_user or os.geteuid() != 0:
            places.append(Innkeep(f"{servers.chosen}, rootless", server))
        else:
            places += [Innkeep(servers.chosen, server), Innkeep(f"{servers.chosen}, public egress", server, "public")]
    return places


def is_here(place, workloads: list[Workload]) -> bool:
    """Prepares a place; false where this machine does not have it. The chosen isolation must be there."""
    try:
        for workload in workloads:
            place.prepare(workload)
        _, running = place.start(workloads[0])
        place.stop(running)
    except (AssertionError, OSError) as reason:
        if place.name in ("bare", "process", servers.chosen):
            raise
        print(f"\nnot measured: {place.name}: {reason}", file=sys.stderr)
        return False
    return True


def shuffled(places: list, turn: int) -> list:
    """In another order every round, the same in every run: what one leaves to be cleaned up costs whoever comes next."""
    return random.Random(turn).sample(places, len(places))


def take_turns(places: list, workload: Workload, times: int) -> dict[str, tuple[list[float], list[float]]]:
    """Starts and stops the workload at each place, in rounds, so that what else the machine does meets all alike. Returns by
    place the times of starts and of stops."""
    taken = {place.name: ([], []) for place in places}
    for turn in range(-1, times):
        for place in shuffled(places, turn):
            started, running = place.start(workload)
            stopped = place.stop(running)
            if turn >= 0:  # else it was to warm up
                taken[place.name][0].append(started)
                taken[place.name][1].append(stopped)
    return taken
