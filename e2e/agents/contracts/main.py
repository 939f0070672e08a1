"""An agent that follows the contract its environment names: SERVES_ON a port, with PING or without, and with WARM_UP answers of a
kind, on WARM_UP_PORT if that is another port. It answers every POST with where it came in."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVES_ON = int(os.environ["SERVES_ON"])
WARM_UP_PORT = int(os.environ.get("WARM_UP_PORT", SERVES_ON))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200 if self.path == "/ping" and "PING" in os.environ else 404, {"status": "Healthy"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/warm":
            return self.warm_up(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.answer(200, {"path": self.path, "body": body, "headers": headers})

    def warm_up(self, body):
        print("warming up", file=sys.stderr, flush=True)
        kind = os.environ["WARM_UP"]
        if kind == "exits":
            os._exit(3)
        asked_well = body == "{}" and self.headers["Content-Type"] == "application/json"
        self.answer(200 if kind == "good" and asked_well and self.server.port == WARM_UP_PORT else 500, {})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def listen(port):
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    server.port = port
    return server


if WARM_UP_PORT != SERVES_ON:
    threading.Thread(target=listen(WARM_UP_PORT).serve_forever, daemon=True).start()
listen(SERVES_ON).serve_forever()
