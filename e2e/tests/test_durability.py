"""What was acknowledged survives, here and on another machine: crashes under writers, stores of newer programs, backup and restore."""

import json
import os
import random
import sqlite3
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager, nullcontext

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness import AGENTS, ROLE, Server, binary, environment, innkeep, new_session, running_server


class Writers:
    """Clients that create runtimes and start sessions until the server is gone, and note what was acknowledged."""

    def __init__(self, agent):
        self.agent, self.server = agent, agent.server
        self.runtimes: list[str] = []
        self.sessions: list[str] = []
        self.acknowledged = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(self.create,)) for _ in range(4)]
        self.threads.append(threading.Thread(target=self.run, args=(self.start_session,)))
        for thread in self.threads:
            thread.start()

    def run(self, write):
        while True:
            try:
                write()
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 429, error
            except BotoCoreError:
                return  # the server is gone

    def create(self):
        """Its making will fail, which costs nothing; the record of it stays."""
        created = self.server.control.create_agent_runtime(
            agentRuntimeName=f"n_{uuid.uuid4().hex}", roleArn=ROLE, networkConfiguration={"networkMode": "PUBLIC"},
            agentRuntimeArtifact={
                "codeConfiguration": {
                    "code": {"s3": {"bucket": "innkeep", "prefix": "absent"}},
                    "runtime": "PYTHON_3_11", "entryPoint": ["main.py"],
                }
            },
        )
        self.runtimes.append(created["agentRuntimeId"])
        self.acknowledged.set()

    def start_session(self):
        session = new_session()
        self.agent.ask({"do": "facts"}, session)
        self.sessions.append(session)

    def join(self):
        for thread in self.threads:
            thread.join()


def test_acknowledged_writes_survive_ten_crashes_of_the_server():
    # More runtimes are created than an account has of its own accord.
    with running_server(max_runtimes=1_000_000) as server:
        survive_ten_crashes(server)


def survive_ten_crashes(own_server):
    agent = own_server.deploy(AGENTS / "probe")
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    for _ in range(10):
        writers = Writers(agent)
        assert writers.acknowledged.wait(30), own_server.stderr
        time.sleep(moments.uniform(0, 0.3))
        own_server.kill()
        writers.join()
        own_server.start()
        for runtime in writers.runtimes:
            assert own_server.control.get_agent_runtime(agentRuntimeId=runtime)["agentRuntimeId"] == runtime
        for session in writers.sessions:
            agent.wait_for_state(session, "Idle")  # once its agent was asked how it is
            agent.stop(session)


def test_a_store_of_a_newer_innkeep_is_refused_with_what_to_do(own_server):
    own_server.stop()
    with sqlite3.connect(own_server.data_dir / "innkeep.db") as database:
        database.execute("PRAGMA user_version = 99")
    refused = subprocess.run(
        [binary(), "serve", "--listen", "127.0.0.1:0", "--isolation", "process", "--data-dir", own_server.data_dir],
        env=environment(), capture_output=True, text=True, timeout=30, check=False,
    )
    assert refused.returncode == 1, refused
    assert "schema version 99" in refused.stderr and "run the newer innkeep again" in refused.stderr, refused


@contextmanager
def invoking(agent, session):
    """Keeps the session busy, and checks that nothing disturbed it."""
    done, pids = threading.Event(), set()

    def invoke():
        while not done.is_set():
            pids.add(agent.ask({"do": "facts"}, session)["pid"])

    thread = threading.Thread(target=invoke)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert len(pids) == 1


@pytest.mark.host
@pytest.mark.parametrize("state", ["running", "stopped", "killed"])
def test_a_backup_lives_on_in_another_place_with_the_same_keys(own_server, tmp_path, state):
    agent = own_server.deploy(AGENTS / "probe", environmentVariables={"PROBE_WORD": "sealed away"})
    session, file = new_session(), tmp_path / "backup.tar"
    agent.ask({"do": "facts"}, session)
    if state == "stopped":
        own_server.stop()
    elif state == "killed":
        own_server.kill()
    with invoking(agent, session) if state == "running" else nullcontext():
        made = innkeep("backup", file, "--json", data_dir=own_server.data_dir)
    assert made.returncode == 0, made
    assert json.loads(made.stdout)["bytes"] == file.stat().st_size and file.stat().st_mode & 0o777 == 0o600

    elsewhere = tmp_path / "elsewhere"
    restored = innkeep("restore", file, data_dir=elsewhere)
    assert restored.returncode == 0 and f"innkeep serve --data-dir {elsewhere}" in restored.stderr, restored
    other = Server(elsewhere)
    try:
        assert other.key.get_frozen_credentials() == own_server.key.get_frozen_credentials()
        there = type(agent)(other, agent.arn, agent.id)
        assert other.control.get_agent_runtime(agentRuntimeId=agent.id)["status"] == "READY"
        answer = there.ask({"do": "facts"}, session)
        assert answer["environment"]["PROBE_WORD"] == "sealed away"
        assert answer["cwd"].startswith(str(elsewhere))
    finally:
        other.stop()


def test_what_is_no_whole_backup_or_no_empty_place_is_refused_and_nothing_changes(own_server, tmp_path):
    file, elsewhere = tmp_path / "backup.tar", tmp_path / "elsewhere"
    assert innkeep("backup", file, data_dir=own_server.data_dir).returncode == 0
    into_itself = innkeep("restore", file, data_dir=own_server.data_dir)
    assert into_itself.returncode == 1 and "is not empty" in into_itself.stderr, into_itself
    os.truncate(file, file.stat().st_size // 2)
    cut = innkeep("restore", file, "--json", data_dir=elsewhere)
    assert cut.returncode == 1 and "cannot be restored" in json.loads(cut.stdout)["error"]["message"], cut
    assert not elsewhere.exists()
    nothing = innkeep("backup", file, data_dir=tmp_path)
    assert nothing.returncode == 1 and "is no data directory" in nothing.stderr, nothing
    assert own_server.request("GET", "/healthz", sign=False).status == 200
