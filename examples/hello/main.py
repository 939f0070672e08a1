"""An agent without a model: does sums, and remembers the conversation. Python's standard library only.

Each session is a process of its own, so its memory is simply a list.
"""

import ast
import json
import operator
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
STARTED = int(time.time())
conversation = []


def evaluate(node):
    match node:
        case ast.Constant(value=int() | float()):
            return node.value
        case ast.UnaryOp(op=ast.USub()):
            return -evaluate(node.operand)
        case ast.BinOp() if type(node.op) in OPERATORS:
            left, right = evaluate(node.left), evaluate(node.right)
            if isinstance(node.op, ast.Pow) and (left < 0 or left > 1000 or abs(right) > 100):
                raise ValueError("that power is too much for me")
            return OPERATORS[type(node.op)](left, right)
    raise ValueError("I only know +, -, *, / and **")


def answer(prompt):
    if re.search(r"\b(ask|asked|said|before|remember)\b", prompt, re.IGNORECASE):
        asked = [turn["prompt"] for turn in conversation]
        return f"You asked: {'; '.join(asked)}" if asked else "You have not asked me anything yet."
    # The longest stretch that looks like a sum: "What is 2+2?" holds "2+2".
    found = max(re.findall(r"[\d(.-][\d\s.()+*/-]*", prompt), key=len, default="").strip(" .")
    if not any(c.isdigit() for c in found):
        return "Ask me a sum, such as: What is 2+2?"
    try:
        expression = ast.parse(found[:200], mode="eval").body
        value = evaluate(expression)
        return f"{ast.unparse(expression)} = {value if isinstance(value, int) else f'{value:.10g}'}"
    except (ArithmeticError, ValueError) as error:
        return f"I cannot work out {found}: {error}"
    except SyntaxError:
        return f"I cannot read {found} as a sum."


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/ping":
            self.send_json(200, {"status": "Healthy", "time_of_last_update": STARTED})
        else:
            self.send_json(404, {"error": "not found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            prompt = str(json.loads(body)["prompt"])
        except (ValueError, KeyError, TypeError):
            return self.send_json(400, {"error": 'expected {"prompt": "..."}'})
        result = answer(prompt)
        conversation.append({"prompt": prompt, "result": result})
        self.send_json(200, {"result": result, "turn": len(conversation)})

    def send_json(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        if self.path != "/ping":
            print(format % args, flush=True)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Agent).serve_forever()
