"""An agent that attacks: does what the payload's `do` names, and answers what came of it.

What failed is answered as `{"errno": "EPERM", …}`, so that a test can tell a wall from a mistake. Knows nothing of Innkeep.
"""

import errno
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bombs
import files
import kernel
import network
import processes

ATTACKS = {
    name: attack
    for module in (bombs, files, kernel, network, processes)
    for name, attack in vars(module).items()
    if callable(attack) and getattr(attack, "__module__", "") == module.__name__ and not name.startswith("_")
}


def attempt(do, **arguments):
    try:
        return {"result": ATTACKS[do](**arguments)}
    except OSError as error:
        return {"errno": errno.errorcode.get(error.errno, str(error)), "error": str(error)}
    except Exception as error:  # so that a test sees it
        return {"exception": repr(error)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.answer(attempt(**asked))

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
