"""One server per worker, and agents that several tests may share: each is deployed once per worker."""

import os

import pytest

from harness import AGENTS, running_server
from hostile import world_of
from machine import left_since, machine


def pytest_addoption(parser):
    parser.addoption("--all-frameworks", action="store_true", help="also those whose packages are large (test_frameworks.py)")


def pytest_collection_modifyitems(items):
    if os.environ.get("INNKEEP_TEST_ISOLATION", "process") == "process":
        return
    for item in items:
        if item.get_closest_marker("host"):
            item.add_marker(pytest.mark.skip(reason="agents behind walls share neither process ids nor files with the host"))


# --- the machine is left as it was found -------------------------------------------------------------------------------


def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        session.config.innkeep_machine = machine()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """After all workers: what cannot be laid at one server's door must be gone too. Only where no other server runs."""
    if hasattr(session.config, "workerinput"):
        return
    if left := left_since(session.config.innkeep_machine):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nFAILED: left on the machine: {left}")


# --- servers and agents ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server():
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def probe(server, tmp_path_factory):
    """The agent that does what the payload says (agents/probe), with a file that counts its starts."""
    starts = tmp_path_factory.mktemp("probe") / "starts"
    agent = server.deploy(AGENTS / "probe", environmentVariables={"PROBE_STARTS": str(starts), "PROBE_WORD": "ahoy"})
    agent.starts = starts
    return agent


@pytest.fixture
def own_server():
    """For a test that ends the server, or counts what it does."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module", params=["root", "rootless", "root zygote", "rootless zygote"])
def world(request):
    """Hostile agents in containers, on a server of root and on one of an ordinary user, started and forked."""
    with world_of(request.param) as world:
        yield world
