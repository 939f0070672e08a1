"""One server per worker, and agents that several tests may share: each is deployed once per worker."""

import pytest

from harness import AGENTS, running_server


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
