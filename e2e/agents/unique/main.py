"""An agent whose answers tell one process from another: everything that has to be random is, and what it imported first shows."""

import json
import os
import random
import ssl
import tempfile
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AT_IMPORT = random.random()
time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))


def client_random() -> str:
    """The random bytes of a TLS client's first message."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="example.com")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()[11:43].hex()


def facts() -> dict:
    return {
        "urandom": os.urandom(16).hex(),
        "uuid4": uuid.uuid4().hex,
        "random": random.random(),
        "at import": AT_IMPORT,
        "tls": client_random(),
        "temporary name": tempfile.mktemp(),
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(facts())

    def answer(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
