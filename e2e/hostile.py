"""What the tests of the walls share: a server with hostile agents, a host full of secrets beside it, and a bystander."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import AGENTS, IS_ROOT, Agent, Server, is_alive, new_session, new_user, running_server, wait_for

# Agents that need no network have none: it may be refused where no helper for it is installed.
SETTINGS = {"egress": "none"}

CAN_NEST = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True).returncode == 0

REFUSED = ("EPERM", "EACCES", "ENOSYS")


def server_as(who: str):
    """A server whose sessions are containers, run by root or by an ordinary user."""
    if who == "root":
        if not IS_ROOT:
            pytest.skip("only root can run a server as root")
        return running_server(isolation="container")
    if not CAN_NEST:
        pytest.skip("this kernel lets ordinary users make no namespaces")
    return running_server(isolation="container", user=new_user(), allow_missing_limits="true")


KINDS = ["process", "container", "rootless container"]


def server_of_kind(kind: str):
    """A server whose sessions are processes, or containers of root's or of an ordinary user's: one of `KINDS`."""
    who = {"container": "root", "rootless container": "rootless"}
    return server_as(who[kind]) if kind in who else running_server(isolation="process")


def need_public_network(is_rootless: bool):
    """Skips the test where servers of root, or of an ordinary user, can give sandboxes no network."""
    if is_rootless and (not shutil.which("pasta") or not os.path.exists("/dev/net/tun")):
        pytest.skip("an ordinary user needs pasta and /dev/net/tun for egress, and they are not here")


@dataclass
class Secrets:
    """Things on the host that no agent may find, each with the same word in it."""

    word: str = field(default_factory=lambda: uuid.uuid4().hex)
    files: list[Path] = field(default_factory=list)

    @contextmanager
    def planted(self, server: Server):
        with ExitStack() as stack:
            for place in ("/tmp", "/var/tmp", "/root", "/home", server.data_dir):
                try:
                    directory = Path(tempfile.mkdtemp(prefix="canary-", dir=place))
                except OSError:
                    continue  # it is not there, or we are not root
                stack.callback(directory.rmdir)
                directory.chmod(0o777)
                file = directory / f"{self.word}.txt"
                file.write_text(self.word)
                file.chmod(0o666)
                stack.callback(file.unlink, missing_ok=True)
                self.files.append(file)
            self.process = stack.enter_context(
                subprocess.Popen(["sleep", "3600"], env={"SECRET": self.word, "PATH": os.environ["PATH"]})
            )
            stack.callback(self.process.kill)
            self.listener = stack.enter_context(socket.create_server(("0.0.0.0", 0), backlog=64))
            self.port = self.listener.getsockname()[1]
            self.named = stack.enter_context(socket.socket(socket.AF_UNIX))
            self.named.bind("\0" + self.word)
            self.named.listen()
            self.path = f"/tmp/{self.word}.sock"
            self.at_path = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            self.at_path.bind(self.path)
            stack.callback(os.unlink, self.path)
            os.chmod(self.path, 0o777)
            self.at_path.listen()
            yield self

    def are_untouched(self) -> bool:
        files = all(file.read_text() == self.word and len(os.listdir(file.parent)) == 1 for file in self.files)
        return files and is_alive(self.process.pid)


@dataclass
class World:
    """Two runtimes of the hostile agent, sessions of both that hold secrets of their own, and a bystander."""

    server: Server
    secrets: Secrets
    is_rootless: bool
    agent: Agent
    other: Agent
    bystander: Agent
    session: str = field(default_factory=new_session)
    victim: str = field(default_factory=new_session)
    stranger: str = field(default_factory=new_session)

    def attack(self, do: str, session: str | None = None, agent: Agent | None = None, **arguments) -> dict:
        """What came of one attack; from the session that is there for it, unless told otherwise."""
        return (agent or self.agent).ask({"do": do, **arguments}, session or self.session)

    def gain(self, do: str, **arguments):
        """What an attack brought that may succeed, such as a look around."""
        answer = self.attack(do, **arguments)
        assert "result" in answer, answer
        return answer["result"]

    def is_refused(self, do: str, *errnos: str, **arguments):
        """The attack fails, for one of these reasons."""
        answer = self.attack(do, **arguments)
        assert answer.get("errno") in (errnos or REFUSED), (do, arguments, answer)

    def pid(self, agent: Agent, session: str) -> int:
        """An agent's process on the host."""
        return agent.view(session)["agentPid"]


@contextmanager
def world_of(who: str):
    """Of a server of `root` or of an ordinary user (`rootless`); with ` zygote` behind it, agents are forked."""
    who, _, zygote = who.partition(" ")
    settings = SETTINGS | ({"zygote": True} if zygote else {})
    with server_as(who) as server, Secrets().planted(server) as secrets:
        deploy = lambda folder, **members: server.deploy(AGENTS / folder, settings=settings, **members)
        world = World(
            server, secrets, who == "rootless", deploy("hostile", environmentVariables={"OWN": secrets.word[:16]}),
            deploy("hostile"), deploy("probe"),
        )
        if zygote:
            wait_for("three zygotes", lambda: server.stderr.count("are forked from zygote") >= 3, 90)
        # Before anything that would hurt: there are walls, for what a hostile agent does to a host is not undone.
        inside = world.gain("facts", session=world.victim)["pid"]
        view = world.agent.view(world.victim)
        assert view["tier"] == "container" and inside != view["agentPid"], view
        command = Path(f"/proc/{view['agentPid']}/cmdline").read_bytes()
        assert (b"zygote.py" in command) == bool(zygote), command
        world.attack("remember", session=world.victim, word=secrets.word)
        world.attack("remember", session=world.stranger, agent=world.other, word=secrets.word)
        yield world


@contextmanager
def bystander_answers(world: World):
    """Another session of the same server is asked all the while; each answer must be right, and come."""
    session, done, failures, count = new_session(), threading.Event(), [], 0
    expected = world.bystander.ask({"do": "remember", "word": "calm"}, session)

    def ask():
        nonlocal count
        while not done.is_set():
            try:
                answer = world.bystander.ask({"do": "facts"}, session)
                if answer["pid"] != expected["pid"]:
                    failures.append(f"it is another process now: {answer['pid']}")
            except Exception as error:  # whatever it is, it is the finding
                failures.append(repr(error))
            count += 1
            time.sleep(0.02)  # between requests, not for anything to happen

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not failures, failures
    assert count > 0
    assert world.bystander.ask({"do": "remember", "word": "still"}, session)["memory"][-2:] == ["calm", "still"]
