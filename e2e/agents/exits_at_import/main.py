"""Fails while it is imported, in the way given by the environment: always, or from the second start on."""

import os
import sys
from pathlib import Path

marker = os.environ.get("EXITS_AFTER_FIRST_START")
if marker is None or Path(marker).exists():
    print("cannot find the model weights", file=sys.stderr, flush=True)
    sys.exit(3)
Path(marker).touch()

from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()


HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
