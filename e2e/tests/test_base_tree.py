"""A tree of the operator's as base: what docs/operations.md says to make, once per checkout in e2e/.cache."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import AGENTS, EXAMPLES, IS_ROOT, ROOT, new_session, running_server
from hostile import REFUSED, SETTINGS

CACHE = ROOT / "e2e" / ".cache"
MARKER = "innkeep-tree"


@pytest.fixture(scope="module")
def tree() -> Path:
    """Debian with Python, and things in it by which it is known. Takes a minute or two the first time, and 250 MB."""
    if not IS_ROOT:
        pytest.skip("debootstrap needs root")
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree, unfinished = CACHE / "tree", CACHE / "unfinished"
        if not tree.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(tree)
    return tree


def make(place: Path):
    subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=python3", "bookworm", place],
        check=True, stdout=subprocess.DEVNULL, timeout=900,
    )
    with open(place / "etc/os-release", "a") as file:
        file.write(f"VARIANT_ID={MARKER}\n")
    # What a setuid program would do if it were let.
    shutil.copy(place / "usr/bin/id", place / "usr/bin/rootid")
    os.chmod(place / "usr/bin/rootid", 0o4755)


@pytest.fixture(scope="module")
def server(tree):
    with running_server(isolation="container", base=tree) as server:
        yield server


def test_an_example_runs_on_a_tree(server):
    agent = server.deploy(EXAMPLES / "hello", settings=SETTINGS)
    assert "4" in agent.ask({"prompt": "What is 2+2?"}, new_session())["result"]


def test_agents_see_the_tree_and_cannot_change_it_for_others(server, tree):
    """T48: its files and not the host's; what one changes, the next does not see, and the tree least of all."""
    agent = server.deploy(AGENTS / "hostile", settings=SETTINGS)
    one, other = new_session(), new_session()
    attack = lambda session, do, **arguments: agent.ask({"do": do, **arguments}, session)
    assert MARKER in attack(one, "read", path="/etc/os-release")["result"]
    assert "debootstrap" not in attack(one, "ls", path="/usr/sbin")["result"]
    before = {path: (tree / path).read_bytes() for path in ("etc/os-release", "usr/bin/id")}
    for path in ("/etc/os-release", "/usr/lib/os-release", "/usr/bin/id", "/usr/bin/new", "/new"):
        changed = attack(one, "write", path=path)
        assert "result" in changed or changed["errno"] in ("EROFS", *REFUSED), changed
        attack(one, "remove", path=path)
    assert MARKER in attack(other, "read", path="/etc/os-release")["result"]
    assert "id" in attack(other, "ls", path="/usr/bin")["result"]
    assert before == {path: (tree / path).read_bytes() for path in before}
    assert not (tree / "usr/bin/new").exists() and not (tree / "new").exists()


def test_a_setuid_program_of_the_tree_makes_nobody_more(server):
    """T28: it runs, and its user stays who it was."""
    agent = server.deploy(AGENTS / "hostile", settings=SETTINGS)
    ran = agent.ask({"do": "run", "program": ["rootid"]}, new_session())["result"]
    assert ran["status"] == 0 and "uid=1000" in ran["said"] and "euid" not in ran["said"], ran
