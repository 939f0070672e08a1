"""An agent that is told to take what it can get: processes, memory, processor time, descriptors, disk, files, or its sidecar's
time. Whatever it does ends by itself after a few seconds; only for sandboxes."""

import json
import multiprocessing
import os
import signal
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

SECONDS = 3
BLOCK = 16 << 20
DISK_BLOCK = b"x" * (1 << 20)
FILES = "/tmp/files"
LINES = b"a line that nobody wants to read\n" * 1000


def forks(until):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while time.monotonic() < until:
        try:
            os.fork()
        except OSError:
            pass


def memory(until):
    blocks = []
    while time.monotonic() < until:
        try:
            blocks.append(b"x" * BLOCK)
        except MemoryError:
            blocks.clear()


def cpu(until):
    while time.monotonic() < until:
        pass


def descriptors(until):
    held = []
    while time.monotonic() < until:
        try:
            held.append(socket.socket())
        except OSError:
            held.clear()


def disk(until):
    """Fills the writable layer, again and again."""
    name = f"/tmp/disk-{os.getpid()}"
    while time.monotonic() < until:
        try:
            with open(name, "wb", buffering=0) as file:
                while time.monotonic() < until:
                    file.write(DISK_BLOCK)
        except OSError:
            pass


def inodes(until):
    """Makes files until there may be no more, and begins anew."""
    os.makedirs(FILES, exist_ok=True)
    made = 0
    while time.monotonic() < until:
        try:
            os.close(os.open(f"{FILES}/{os.getpid()}-{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
        except OSError:
            for name in os.listdir(FILES):
                remove(f"{FILES}/{name}")


def remove(name):
    try:
        os.remove(name)
    except OSError:
        pass  # another was faster


def binds(until):
    """Each bind waits for an answer of the sidecar: the only thing of it that an agent reaches with a request."""
    while time.monotonic() < until:
        try:
            with socket.socket() as one:
                one.bind(("127.0.0.1", 0))
        except OSError:
            pass


def output(until):
    """Each line is read, stamped and kept by the sidecar."""
    while time.monotonic() < until:
        os.write(1, LINES)


ABUSES = {
    "forks": (forks, 1), "memory": (memory, 2), "cpu": (cpu, 8), "descriptors": (descriptors, 8), "disk": (disk, 2),
    "inodes": (inodes, 2), "binds": (binds, 8), "output": (output, 2),
}


class Agent(BaseHTTPRequestHandler):
    """Not a thread for each request: there may be none to have."""

    at_it: list = []

    def do_GET(self):
        self.answer()

    def do_POST(self):
        abuse, n = ABUSES[json.loads(self.rfile.read(int(self.headers["Content-Length"])))["abuse"]]
        if not any(child.is_alive() for child in self.at_it):
            until = time.monotonic() + SECONDS
            Agent.at_it = [multiprocessing.Process(target=abuse, args=(until,), daemon=True) for _ in range(n)]
            for child in self.at_it:
                try:
                    child.start()
                except OSError:
                    break  # no more to be had
        self.answer()

    def answer(self):
        body = b'{"status":"Healthy"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8080), Agent).serve_forever()
