"""A sidecar that was taken over: what it says on the control socket ends its own session, and nobody else's."""

import contextlib
import ctypes
import json
import os
import socket
import struct

import pytest

from harness import IS_ROOT, new_session, processes, wait_for
from hostile import bystander_answers

PIDFD_GETFD = 438  # the same on every architecture
MISSED = json.dumps({"t": "state", "missed": {"misses": 1, "detail": "x"}}).encode()
DIALLED = json.dumps({"t": "dialled", "id": 0, "port": 8080}).encode()


def flood(link):
    for _ in range(3000):
        link.send(MISSED)


def two_descriptors(link):
    with socket.create_server(("127.0.0.1", 0)) as one:
        socket.send_fds(link, [DIALLED], [one.fileno(), one.fileno()])


@pytest.mark.skipif(not IS_ROOT, reason="only root takes a socket out of a sidecar")
@pytest.mark.parametrize("breach, cause", [
    (lambda link: link.send(b"{"), "EOF while parsing"),
    (lambda link: link.send(b'"' + b"x" * (32 << 10)), "the sidecar sent too much"),
    (flood, "the sidecar floods the link"),
    (two_descriptors, "the sidecar sent too much"),
], ids=["half a frame", "a large frame", "a flood", "two descriptors"])
def test_a_sidecar_that_breaks_the_rules_loses_its_sandbox(world, breach, cause):
    """T11, T12, T13: the session ends as lost, the log says why, and nothing of it stays."""
    server, session = world.server, new_session()
    before = set(homes(server))
    world.gain("facts", session=session)
    [home] = set(homes(server)) - before
    with bystander_answers(world):
        with control_socket(server, home) as link:
            link.settimeout(10)  # waits while it is full; it breaks when the server has seen enough
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                breach(link)
        view = world.agent.wait_for_state(session, "Stopped")
        assert view["stop"]["reason"] == "HostLost", view
        wait_for(lambda: f"it to be gone: {processes(str(home))}", lambda: not home.exists() and not processes(str(home)))
        wait_for("its control groups to be gone", lambda: not server.control_groups_of(home.name))
    told = lambda: [line for line in server.stderr_lines if home.name in line and "broke, it is ended" in line]
    said = wait_for(lambda: f"the log to tell it: {server.stderr[-2000:]}", told)
    assert cause in said[0], said


def homes(server):
    return list((server.data_dir / "sandboxes").iterdir())


def control_socket(server, home) -> socket.socket:
    """The sidecar's end of the connection that the server has made."""
    for pid, command in processes(str(home)).items():
        for found in sockets(pid) if command.startswith("innkeep-sidecar") else []:
            if found.family == socket.AF_UNIX and found.type == socket.SOCK_SEQPACKET and peer(found) == server.pid:
                return found
            found.close()
    raise AssertionError(f"no sidecar with a control socket: {processes(str(home))}")


def sockets(pid: int):
    """Copies of another process's sockets, one after the other; of those that it does not close meanwhile, as it does after each ping."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            is_socket = os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:")
            copy = taken(pid, int(number)) if is_socket else None
        except OSError:
            continue
        if copy is not None:
            yield socket.socket(fileno=copy)


def taken(pid: int, number: int) -> int:
    """A copy of another process's descriptor. Source: pidfd_getfd(2)."""
    process = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, number, 0)
    finally:
        os.close(process)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copy


def peer(connection) -> int | None:
    """Who connected, or None while nobody has. Source: unix(7), SO_PEERCRED."""
    try:
        connection.getpeername()
    except OSError:
        return None
    return struct.unpack("iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
