"""An agent that, once it was asked something, does not mind SIGTERM."""

import json
import os
import signal
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({"pid": os.getpid()})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
