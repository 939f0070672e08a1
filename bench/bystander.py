"""A session beside one whose agent tries to take the machine: what it pays."""

import json
import threading
from contextlib import contextmanager

import servers
from contenders import BENCH, JSON, SESSION_HEADER, ThreeWays, new_session, three_ways
from harness import Agent
from servers import deploy, end_all
from table import Table, median

ABUSES = {
    "forks": "a fork bomb", "memory": "a memory hog", "cpu": "a CPU burner", "descriptors": "a descriptor flood",
    "disk": "a disk bomb", "inodes": "an inode bomb", "binds": "a flood of binds", "output": "a flood of output",
}
LIMITS = "memory_mib = 256\ncpu_millis = 500\nprocesses = 128\nopen_files = 1024\ndisk_mib = 64"
NAMES = ("direct", "innkeep")
NOTE = f"""Bystander: one session asked by `wrk` while an agent in another does its worst, within limits of 256 MiB, half a
CPU, 128 processes, 1,024 open files and 64 MiB of disk; when it is ended for it, it is started again. The control socket is out of
its reach; of its sidecar it reaches two things, and floods them: each bind waits for the sidecar's answer, and its output is read by
the sidecar and stamped. Direct: the same agent by hand, outside
of any sandbox, beside the same neighbour. What both wait for is a turn on a processor: who does not get it when he wakes gets it
at one of the kernel's ticks, 4 ms apart where there are 250 per second. Not measured without isolation, where nothing would contain
it."""


def measure(table: Table, quick: bool):
    if servers.chosen == "process":
        table.add("a bystander's invoke beside an abuser", compared="not measured: nothing contains it")
        return
    blocks, seconds = (1, 2) if quick else (5, 2)
    states = ("quiet", *ABUSES)
    with three_ways() as ways:
        abuser = deploy(ways.agent.server, BENCH / "agents" / "hostile", LIMITS)
        runs = {state: {name: [] for name in NAMES} for state in states}
        for name in NAMES:
            ways.wrk(name, 1, 1)  # warms up
        for _ in range(blocks):
            for state in states:
                with abused(abuser, state):
                    ask(ways, runs[state], seconds)
    add(table, runs)


def ask(ways: ThreeWays, runs: dict[str, list[dict]], seconds: int):
    for name in NAMES:
        runs[name].append(ways.wrk(name, 1, seconds))


@contextmanager
def abused(abuser: Agent, state: str):
    """A neighbour does its worst for as long as the context lasts; none when quiet."""
    if state == "quiet":
        yield
        return
    over, at_it = threading.Event(), threading.Event()
    neighbour = threading.Thread(target=torment, args=(abuser, state, over, at_it))
    neighbour.start()
    try:
        assert at_it.wait(30), f"the neighbour does not begin with {state}"
        yield
    finally:
        over.set()
        neighbour.join()
        end_all(abuser)


def torment(abuser: Agent, abuse: str, over: threading.Event, at_it: threading.Event):
    """Until it is over: tells a session to go on, and a new one when that has ended."""
    session = new_session()
    body = json.dumps({"abuse": abuse}).encode()
    while not over.wait(0.2):
        answer = abuser.server.request("POST", abuser.path, body, JSON | {SESSION_HEADER: session})
        if answer.status == 200:
            at_it.set()
        else:
            session = new_session()


def add(table: Table, runs: dict[str, dict[str, list[dict]]]):
    for state, taken in runs.items():
        figures = {name: median(run["p99"] for run in taken[name]) for name in NAMES}
        ratio = {
            name: median(now["p99"] / then["p99"] for now, then in zip(taken[name], runs["quiet"][name])) for name in NAMES
        }
        is_quiet = state == "quiet"
        table.add(
            f"a bystander's invoke, {'no abuser' if is_quiet else 'beside ' + ABUSES[state]}: p99",
            f"{figures['direct']:.0f} µs", "", f"{figures['innkeep']:.0f} µs",
            "" if is_quiet else f"{ratio['innkeep']:.2f} of quiet; direct {ratio['direct']:.2f}",
            "" if is_quiet else "< 2 of quiet", None if is_quiet else ratio["innkeep"] < 2,
        )
