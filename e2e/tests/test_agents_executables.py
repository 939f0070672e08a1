"""Agents that are one executable: Rust with axum, and a static one with a dual-stack socket, as Go makes them."""

import json
import os
import shutil
import subprocess

import pytest

from harness import AGENTS, EXAMPLES, ROOT, innkeep, new_session


@pytest.fixture(scope="module")
def rust_axum(server, tmp_path_factory):
    """Built as its innkeep.toml says (unoptimised, for speed), deployed by the command line; returns how to invoke it."""
    folder = tmp_path_factory.mktemp("rust") / "rust-axum"
    shutil.copytree(EXAMPLES / "rust-axum", folder, ignore=shutil.ignore_patterns("target", "bin"))
    built = subprocess.run(
        ["cargo", "install", "--path", ".", "--root", ".", "--locked", "--debug"], cwd=folder, capture_output=True,
        text=True, env=os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target" / "examples")}, check=False,
    )
    assert built.returncode == 0, built.stderr
    deployed = innkeep("deploy", folder, data_dir=server.data_dir)
    assert deployed.returncode == 0, deployed.stderr

    def invoke(payload, session):
        ran = innkeep("invoke", "rust-axum", "-d", json.dumps(payload), "-s", session, data_dir=server.data_dir)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return invoke


def test_rust_axum_remembers_its_own_conversation_only(rust_axum):
    assert json.loads(rust_axum({"prompt": "red"}, "alice")) == {"result": 'You said "red".', "turn": 1}
    assert json.loads(rust_axum({"prompt": "blue"}, "bob"))["turn"] == 1
    assert json.loads(rust_axum({"prompt": "green"}, "alice"))["result"] == 'You said "green"; before that, "red".'


def test_rust_axum_streams_word_by_word(rust_axum):
    streamed = rust_axum({"prompt": "one two", "stream": True}, "carol")
    for word in ("You", "said", '\\"one', 'two\\".'):
        assert word in streamed


def test_a_static_executable_on_a_dual_stack_socket(server, tmp_path):
    folder = tmp_path / "static_dual_stack"
    folder.mkdir()
    subprocess.run(["cc", "-static", "-Os", "-o", folder / "agent", AGENTS / "static_dual_stack" / "main.c"], check=True)
    agent = server.deploy(folder)
    sessions = [new_session(), new_session()]
    for requests in (1, 2, 3):
        assert [agent.ask({}, session) for session in sessions] == [{"requests": requests}] * 2
