"""Answers `/ping` with 500."""

from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()


HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
