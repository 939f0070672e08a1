"""Keeps the first request of a session until the payload's file is there; tells each how many came before it."""

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
        number, deadline = len(deliveries), time.monotonic() + 30
        while number == 1 and not os.path.exists(asked["until"]) and time.monotonic() < deadline:
            time.sleep(0.01)
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


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
