"""An agent that is told to take what it can get: processes, memory, processor time or descriptors. Whatever it does ends by
itself after a few seconds; only for sandboxes."""

import json
import multiprocessing
import os
import signal
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

SECONDS = 3
BLOCK = 16 << 20


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


ABUSES = {"forks": (forks, 1), "memory": (memory, 2), "cpu": (cpu, 8), "descriptors": (descriptors, 8)}


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
