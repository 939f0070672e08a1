"""Speaks HTTP/1.1 as if it kept connections, and closes each the moment its answer is out, without saying so."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        self.answer({"echo": json.loads(self.rfile.read(int(self.headers["Content-Length"])))})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
