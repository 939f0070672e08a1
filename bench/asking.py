"""A request on a bare socket, and the time to the first byte of its answer; into a network namespace where need be."""

import ctypes
import os
import socket
import time

from contenders import BODY, address, head
from harness import Agent, new_session

FIELDS = b"Host: agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
REQUEST = b"POST /invocations HTTP/1.1\r\n" + FIELDS + BODY
HEALTH = b"GET /ping HTTP/1.1\r\nHost: agent\r\n\r\n"
QUESTIONS = (HEALTH, REQUEST)
CLONE_NEWNET = 0x4000_0000
PATIENCE = 60
PAUSE = 0.0002

libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """The network namespace of a process; its sockets are the caller's, who stays where it is."""

    def __init__(self, pid: int):
        self.there, self.here = (os.open(f"/proc/{process}/ns/net", os.O_RDONLY) for process in (pid, "thread-self"))

    def socket(self) -> socket.socket:
        enter(self.there)
        try:
            return socket.socket()
        finally:
            enter(self.here)

    def close(self):
        os.close(self.there)
        os.close(self.here)


def enter(namespace: int):
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def first_byte_when_it_is_ready(new_socket, port: int, questions=QUESTIONS):
    """Connects until it succeeds, asks one question after the other, and returns with the first byte of the last answer."""
    deadline = time.monotonic() + PATIENCE
    for question in questions:
        while not has_answered(new_socket, port, question):
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(PAUSE)


def has_answered(new_socket, port: int, question: bytes) -> bool:
    """Whether something listens there; if so, the first byte of its answer has come."""
    with new_socket() as connection:
        if connection.connect_ex(("127.0.0.1", port)) != 0:
            return False
        first_byte(connection, question)
        return True


def first_answer(agent: Agent) -> tuple[float, str]:
    """Invokes a new session; returns the milliseconds to the first byte of its answer, and the session."""
    session = new_session()
    request = head(agent, session, BODY, agent.path) + BODY
    started = time.perf_counter()
    with socket.create_connection(address(agent.server.url)) as connection:
        first_byte(connection, request)
        return (time.perf_counter() - started) * 1000, session


def first_byte(connection: socket.socket, request: bytes):
    connection.settimeout(PATIENCE)
    connection.sendall(request)
    check(connection.recv(1 << 16))


def check(answer: bytes):
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")), answer
