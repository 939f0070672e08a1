"""SIGTERM: no more requests are taken, streams finish within the grace, sessions end or live on; a second signal waits for nothing."""

import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness import AGENTS, SESSION_HEADER, Server, is_alive, new_session, processes, wait_for


@contextmanager
def server_with(settings: str):
    """A server with a settings file, checked for leaks unless the test killed it."""
    data_dir = Path(tempfile.mkdtemp(prefix="innkeep-e2e-"))
    (data_dir / "innkeep.toml").write_text(settings)
    server = None
    try:
        server = Server(data_dir)
        yield server
    finally:
        if server is not None and server.process.poll() is None:
            server.kill()
        for pid in processes(str(data_dir)):
            with suppress(ProcessLookupError):  # it went with another
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(data_dir, ignore_errors=True)


class Stream:
    """A stream of two chunks, of which the agent sends the second when it is told to."""

    def __init__(self, agent, tmp_path):
        self.gate, self.session = tmp_path / "gate", new_session()
        body = json.dumps({"do": "stream", "chunks": ["first", "second"], "gates": [str(self.gate)]}).encode()
        headers = {"Content-Type": "application/json", SESSION_HEADER: self.session}
        server = agent.server
        self.connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        self.connection.request("POST", agent.path, body, server.signed("POST", agent.path, body, headers))
        self.response = self.connection.getresponse()
        assert self.response.read(5) == b"first"

    def finish(self) -> bytes:
        self.gate.touch()
        return self.response.read()


def refuses(server) -> bool:
    address = urlsplit(server.url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


@pytest.mark.host
@pytest.mark.parametrize("at_shutdown", ["end", "detach"])
def test_a_stream_finishes_while_nothing_new_is_taken(at_shutdown, tmp_path):
    with server_with(f'sessions_at_shutdown = "{at_shutdown}"\n') as server:
        agent = server.deploy(AGENTS / "probe")
        stream = Stream(agent, tmp_path)
        pid = agent.view(stream.session)["agentPid"]
        server.process.send_signal(signal.SIGTERM)
        wait_for("the listener to be gone", lambda: refuses(server))
        assert server.process.poll() is None and is_alive(pid)
        assert stream.finish() == b"second"
        assert server.process.wait(30) == 0, server.stderr
        if at_shutdown == "end":
            assert not is_alive(pid)
            server.assert_nothing_left()
        server.start()
        if at_shutdown == "end":
            assert agent.view(stream.session)["stop"]["reason"] == "ServerShutdown"
        else:
            assert agent.ask({"do": "facts"}, stream.session)["pid"] == pid


@pytest.mark.host
@pytest.mark.parametrize("at_shutdown", ["end", "detach"])
def test_a_stream_that_outlasts_the_grace_is_cut(at_shutdown, tmp_path):
    with server_with(f'sessions_at_shutdown = "{at_shutdown}"\nshutdown_grace_secs = 1\n') as server:
        agent = server.deploy(AGENTS / "probe")
        stream = Stream(agent, tmp_path)
        pid = agent.view(stream.session)["agentPid"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0, server.stderr
        # Cut and not ended: the client can tell.
        with pytest.raises(http.client.IncompleteRead):
            stream.response.read()
        assert is_alive(pid) == (at_shutdown == "detach")
        server.start()
        if at_shutdown == "detach":
            assert agent.ask({"do": "remember", "word": "apple"}, stream.session) == {"pid": pid, "memory": ["apple"]}


@pytest.mark.host
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_server_at_once_and_the_next_one_takes_over(second, tmp_path):
    with server_with("shutdown_grace_secs = 300\n") as server:
        agent = server.deploy(AGENTS / "probe")
        stream = Stream(agent, tmp_path)
        pid = agent.view(stream.session)["agentPid"]
        server.process.send_signal(signal.SIGTERM)
        wait_for("the listener to be gone", lambda: refuses(server))
        server.process.send_signal(second)
        server.process.wait(10)
        server.start()
        assert agent.ask({"do": "facts"}, stream.session)["pid"] == pid


def test_a_start_under_way_and_a_busy_agent_do_not_hold_the_end_up(tmp_path):
    with server_with("shutdown_grace_secs = 1\n") as server:
        agent = server.deploy(AGENTS / "probe")
        held = threading.Thread(target=pytest.raises, args=(Exception, agent.ask, {"do": "hold", "until": str(tmp_path / "x")}))
        held.start()
        wait_for("the request", lambda: server.request("GET", "/innkeep/v1/sessions").json()["sessions"])
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0, server.stderr
        held.join()
        server.assert_nothing_left()
