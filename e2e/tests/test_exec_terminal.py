"""`innkeep exec -it` on a terminal of its own: what is typed and shown, how it ends, and that the terminal is then as it was."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from harness import EXAMPLES, binary, environment, innkeep, wait_for


@pytest.fixture(scope="module")
def agent(server):
    return server.deploy(EXAMPLES / "ws-echo")


class Screen:
    """A program on a terminal of its own, which is how a person has it."""

    def __init__(self, *arguments, data_dir, rows=30, columns=100):
        self.near, far = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(far)
        self.process = subprocess.Popen(
            [binary(), *arguments], stdin=far, stdout=far, stderr=far,
            env=environment(INNKEEP_DATA_DIR=str(data_dir), TERM="xterm"),
            # Its controlling terminal, so that it is told of its size.
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )
        self.far = far
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str):
        os.write(self.near, text.encode())

    def until(self, mark: str, seconds=30.0) -> str:
        deadline = time.monotonic() + seconds
        while mark not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"waited in vain for {mark!r}: {self.seen!r}"
            if select.select([self.near], [], [], left)[0]:
                self.seen += os.read(self.near, 65536).decode(errors="replace")
        seen, self.seen = self.seen.split(mark, 1)
        return seen

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.far)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def end(self) -> tuple[int, str]:
        """The exit status, and what is shown last; the terminal must be as it was."""
        status = self.process.wait(30)
        assert termios.tcgetattr(self.far) == self.before
        while select.select([self.near], [], [], 0)[0]:
            self.seen += os.read(self.near, 65536).decode(errors="replace")
        return status, self.seen

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.near)
        os.close(self.far)


@pytest.fixture
def screen(agent):
    screens = []

    def show(*arguments, **size):
        screens.append(Screen("exec", "-it", agent.id, *arguments, data_dir=agent.server.data_dir, **size))
        return screens[-1]

    yield show
    for one in screens:
        one.close()


def test_a_shell_on_this_terminal(screen):
    shown = screen("-s", "alice")
    shown.until("Ctrl-] leaves")
    shown.type("echo answer=$((40+2))\r")
    shown.until("answer=42")
    assert shown.is_raw()
    shown.type("stty size\r")
    shown.until("30 100")
    shown.resize(41, 133)
    # It is told of it by a signal, which takes its time.
    for _ in range(50):
        shown.type("stty size\r")
        if "41 133" in shown.until("\n") + shown.until("\n"):
            break
    else:
        raise AssertionError(f"the new size was not seen: {shown.seen}")
    # Ctrl-C is for the program there, not for the one here.
    shown.type("PS1='asks''you> '\r")
    shown.until("asksyou> ")
    # Said by what is interrupted: a shell in the middle of starting it may lose its terminal to it, and end.
    shown.type("sh -c 'echo sleeping=$((1+1)); exec sleep 1000'\r")
    shown.until("sleeping=2")
    shown.type("\x03")
    # What is typed before it asks, it throws away.
    shown.until("asksyou> ")
    shown.type("echo awake=$((1+1)); exit 3\r")
    shown.until("awake=2")
    assert shown.end()[0] == 3


def test_a_command_on_this_terminal(screen):
    shown = screen("-s", "alice", "--", "sh", "-c", 'stty size; printf "%s|" "$@"; exit 7', "sh", "a b", "c+d")
    shown.until("30 100")
    shown.until("a b|c+d|")
    assert shown.end()[0] == 7


def test_who_leaves_may_come_back(screen):
    shown = screen("-s", "bob")
    shown.type("word=kept; echo ready=$((1+1))\r")
    shown.until("ready=2")
    shown.type("\x1d")
    status, words = shown.end()
    again = re.search(r"to come back: innkeep exec -it \S+ -s bob --shell (\S+)", words)
    assert status == 0 and again, words
    shown = screen("-s", "bob", "--shell", again[1])
    shown.until("ready=2")
    shown.type("echo it is $word.; exit\r")
    shown.until("it is kept.")
    assert shown.end()[0] == 0


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(screen, ended_by):
    shown = screen()
    shown.type("echo ready=$((1+1))\r")
    shown.until("ready=2")
    shown.process.send_signal(ended_by)
    status, words = shown.end()
    assert status == 1 and "a signal ended the terminal" in words


def test_a_stopped_session_ends_it(screen, agent):
    shown = screen("-s", "carol")
    shown.type("echo ready=$((1+1))\r")
    shown.until("ready=2")
    agent.server.request("POST", "/innkeep/v1/sessions/stop", stop_of(agent))
    status, words = shown.end()
    assert status == 5 and "the session has ended" in words, words


def stop_of(agent) -> bytes:
    [session] = [s for s in agent.server.sessions() if s["runtimeId"] == agent.id and s["sessionId"].startswith("carol")]
    return json.dumps({name: session[name] for name in ("runtimeId", "endpoint", "sessionId")} | {"kill": True}).encode()


def test_without_a_terminal_it_says_so(agent):
    ran = innkeep("exec", "-it", agent.id, data_dir=agent.server.data_dir, stdin="ls\n")
    assert ran.returncode == 2 and "-t needs a terminal" in ran.stderr, ran.stderr
    # Nothing was started for it.
    wait_for("no session", lambda: not any(s["openRequests"] for s in agent.server.sessions() if s["runtimeId"] == agent.id))
    half = innkeep("exec", "-i", agent.id, data_dir=agent.server.data_dir)
    assert half.returncode == 2
