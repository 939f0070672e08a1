"""Hostile code in a container that takes all there is: it gets its share, the reason is told, and a bystander notices nothing."""

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, innkeep, new_session
from hostile import SETTINGS, bystander_answers

MIB = 1 << 20
SMALL = {"memory_mib": 160, "processes": 48, "open_files": 300, "disk_mib": 24, "cpu_millis": 300}


@pytest.fixture(scope="module")
def small(world):
    """The hostile agent with little of everything."""
    return world.server.deploy(AGENTS / "hostile", settings=SETTINGS | SMALL)


@pytest.fixture
def session(small):
    """A session of it that is ready, so that its start is no part of the bomb."""
    session = new_session()
    small.ask({"do": "facts"}, session)
    return session


def missing(world, limit: str) -> str | None:
    """What the server says of a limit that it could not set."""
    caveats = world.agent.view(world.victim).get("caveats", [])
    return next((caveat for caveat in caveats if limit in caveat), None)


def test_a_fork_bomb_is_stopped_at_its_limit(world, small, session):
    """T33: fork and threads fail with EAGAIN; the session lives on."""
    with bystander_answers(world):
        forked = small.ask({"do": "fork"}, session)["result"]
        assert forked["errno"] == "EAGAIN" and 0 < forked["count"] < SMALL["processes"], forked
        threads = small.ask({"do": "threads"}, session)["result"]
        assert threads["errno"] and 0 < threads["count"] < SMALL["processes"], threads
    assert small.ask({"do": "fork", "limit": 3}, session)["result"] == {"count": 3, "errno": None}


def test_a_memory_bomb_ends_its_session_and_says_out_of_memory(world, small, session):
    """T34: the kernel ends the agent and nobody else; the operator is told why."""
    if caveat := missing(world, "memory"):
        pytest.skip(f"memory cannot be limited here: {caveat}")
    with bystander_answers(world):
        with pytest.raises(ClientError) as refused:
            small.ask({"do": "memory", "mebibytes": 4096}, session)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert small.wait_for_state(session, "Stopped")["stop"]["reason"] == "OutOfMemory"
    shown = innkeep("sessions", "inspect", session, "--json", data_dir=world.server.data_dir)
    assert '"OutOfMemory"' in shown.stdout, shown
    # What fits, fits.
    assert small.ask({"do": "memory", "mebibytes": 40}, new_session())["result"] == 40


@pytest.mark.parametrize("place", ["/tmp", "/home/agent", "/var/tmp", "/dev/shm"])
def test_a_disk_bomb_is_stopped_at_its_limit(world, small, session, place):
    """T35: writing fails with ENOSPC at the size that the runtime has, wherever the agent may write."""
    with bystander_answers(world):
        written = small.ask({"do": "disk", "place": place}, session)["result"]
    assert written["errno"] == "ENOSPC" and SMALL["disk_mib"] * 0.8 <= written["count"] <= SMALL["disk_mib"] + 1, written
    assert small.ask({"do": "disk", "place": place, "mebibytes": 2}, session)["result"]["errno"] is None


def test_an_inode_bomb_is_stopped_at_its_limit(world):
    """T36: making files fails with ENOSPC after 200,000."""
    large = world.server.deploy(AGENTS / "hostile", settings=SETTINGS | {"memory_mib": 2048, "disk_mib": 512})
    session = new_session()
    with bystander_answers(world):
        made = large.ask({"do": "inodes"}, session)["result"]
    assert made["errno"] == "ENOSPC" and 150_000 < made["count"] <= 200_000, made
    assert large.ask({"do": "inodes", "limit": 10}, session)["result"] == {"count": 10, "errno": None}


def test_a_descriptor_bomb_is_stopped_at_its_limit(world, small, session):
    """T37: opening fails with EMFILE, also once the soft limit is raised to the hard one."""
    with bystander_answers(world):
        opened = small.ask({"do": "descriptors"}, session)["result"]
        assert opened["errno"] == "EMFILE" and opened["count"] < SMALL["open_files"], opened
        more = small.ask({"do": "raise_limit", "name": "NOFILE", "value": SMALL["open_files"] + 1}, session)
        assert "result" not in more, more


def test_a_busy_session_gets_no_more_than_its_processor_time(world, small, session):
    """T39: four processes that compute get the share of one session."""
    if caveat := missing(world, "cpu"):
        pytest.skip(f"processor time cannot be limited here: {caveat}")
    with bystander_answers(world):
        used = small.ask({"do": "processor", "seconds": 3}, session)["result"]
    assert used <= 3 * SMALL["cpu_millis"] / 1000 * 1.5 + 0.2, used
