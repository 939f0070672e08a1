"""An agent that does what the payload's `do` says, so that a test can see the world from inside a session."""

import json
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

memory = []
ping = {"status": "Healthy"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(ping) if self.path == "/ping" else self.answer({"error": "no such path"}, 404)

    def do_POST(self):
        if self.headers.get("Content-Type") == "application/octet-stream":
            return self.answer({"bytes": self.count_body(), "length": self.headers.get("Content-Length")})
        asked = json.loads(self.read_body() or b"{}")
        return getattr(self, "do_" + asked.pop("do", "facts"))(**asked)

    # -- what a payload may ask for

    def do_facts(self):
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        self.answer({"pid": os.getpid(), "headers": headers, "environment": dict(os.environ), "cwd": os.getcwd()})

    def do_remember(self, word):
        memory.append(word)
        self.answer({"pid": os.getpid(), "memory": memory})

    def do_say(self, words, stream="stdout"):
        print(words, file=getattr(sys, stream), flush=True)
        self.answer({"said": words})

    def do_set_ping(self, status):
        ping["status"] = status
        self.answer(ping)

    def do_fail(self, status):
        self.answer({"secret": "only the agent's own callers would see this"}, status, {"X-From-Agent": "yes"})

    def do_answer(self, status=200, content_type="text/plain; charset=utf-8", text="", headers=None):
        self.answer(text.encode(), status, {"Content-Type": content_type, **(headers or {})})

    def do_stream(self, chunks, gates=(), content_type="text/event-stream"):
        """Sends the chunks one by one; before chunk i + 1 it waits for the file gates[i], which `open` makes."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for position, chunk in enumerate(chunks):
            if 0 < position <= len(gates):
                wait_for_file(gates[position - 1])
            self.send_chunk(chunk.encode())
        self.send_chunk(b"")

    def do_hold(self, until):
        wait_for_file(until)
        self.answer({"pid": os.getpid()})

    def do_open(self, gate):
        os.makedirs(os.path.dirname(gate), exist_ok=True)
        open(gate, "x").close()
        self.answer({})

    def do_download(self, count):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(count))
        self.end_headers()
        block = bytes(range(256)) * 4096
        while count > 0:
            self.wfile.write(block[:count])
            count -= len(block)

    def do_exit(self, code):
        os._exit(code)

    def do_last_words(self, exit_after=0):
        """Answers as the last thing it does: from before the answer on, nobody can connect."""
        self.server.socket.shutdown(socket.SHUT_RDWR)
        self.answer({"pid": os.getpid()}, headers={"Connection": "close"})
        time.sleep(exit_after)
        os._exit(0)

    # -- HTTP

    def answer(self, body, status=200, headers=None):
        if not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def read_body(self):
        return b"".join(self.body_blocks())

    def count_body(self):
        return sum(len(block) for block in self.body_blocks())

    def body_blocks(self):
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            block = self.rfile.read(min(left, 1 << 20))
            left -= len(block)
            yield block

    def log_message(self, *arguments):
        pass


def wait_for_file(path):
    """No test waits as long: one that opens no gate fails."""
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


class Server(ThreadingHTTPServer):
    request_queue_size = 256  # the library's 5 would make the kernel drop connections of a burst


if __name__ == "__main__":
    starts = os.environ.get("PROBE_STARTS", "")
    if os.path.isdir(os.path.dirname(starts)):  # not behind walls
        with open(starts, "a") as file:
            print(os.getpid(), file=file)
    if hold := os.environ.get("PROBE_HOLD"):  # starts for as long as this file is there
        while os.path.exists(hold):
            time.sleep(0.01)
    Server(("0.0.0.0", int(os.environ.get("PROBE_PORT", "8080"))), Handler).serve_forever()
