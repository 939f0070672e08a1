"""Two processes that each bind the port with SO_REUSEPORT, so that the kernel shares connections out between them."""

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({"pid": os.getpid()})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(HTTPServer):
    allow_reuse_port = True


if __name__ == "__main__":
    os.fork()
    Server(("0.0.0.0", 8080), Handler).serve_forever()
