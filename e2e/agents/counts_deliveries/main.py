"""Tells each request how many came before it in its session. The first waits for the file that its payload names, and the
start for that of $START_AFTER."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

deliveries = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        deliveries.append(self.headers.get("X-Amzn-Bedrock-AgentCore-Runtime-Request-Id"))
        number = len(deliveries)
        if number == 1:
            wait_for_file(asked.get("until"))
        if status := asked.get("fail"):
            return self.answer({"error": "as told"}, status)
        self.answer({"number": number, "deliveries": deliveries})

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def wait_for_file(path):
    deadline = time.monotonic() + 30
    while path and not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)


if __name__ == "__main__":
    wait_for_file(os.environ.get("START_AFTER"))
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
