"""A language model that follows a script, behind the chat completions of OpenAI: whole, or streamed in pieces as server-sent events.

Asked by a user it wants the first tool that it is offered called, with the numbers of the question as arguments, in the order of that
tool's parameters. Told what the tool said it answers with the number in that, whatever JSON its framework puts around it. Asked without
numbers it says what it was shown of the conversation. Whatever else it is asked is refused, so that an agent that skips a step is noticed.
Standard library only, so that it runs beside an agent: `model_server.py` prints its port once it listens.
"""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "scripted-1"


class Refused(Exception):
    """Why a request is none that the script knows."""


def reply(asked: dict) -> dict:
    """Returns the model's next message."""
    if asked.get("model") != MODEL:
        raise Refused(f"the model is {MODEL}, not {asked.get('model')}")
    last = asked["messages"][-1]
    said = text(last["content"])
    if last["role"] == "user":
        if not asked.get("tools"):
            raise Refused("no tool is offered")
        tool = asked["tools"][0]["function"]
        numbers = [int(number) for number in re.findall(r"\d+", said)]
        if not numbers:
            n = sum(message["role"] == "user" for message in asked["messages"])
            return {"role": "assistant", "content": f"This is question {n}."}
        arguments = json.dumps(dict(zip(tool["parameters"]["properties"], numbers, strict=True)))
        call = {"id": "call-1", "type": "function", "function": {"name": tool["name"], "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if last["role"] == "tool" and last["tool_call_id"] == "call-1":
        [number] = re.findall(r"\d+", said)
        return {"role": "assistant", "content": f"The tool says: {number}. That is all."}
    raise Refused(f"nothing is said after a message of {last['role']}")


def text(content) -> str:
    """Content is a string, or a list of parts."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def whole(message: dict) -> dict:
    choice = {"index": 0, "message": message, "finish_reason": reason(message)}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c-1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice], "usage": usage}


def pieces(message: dict):
    """Yields what a stream of the message consists of: an announcement, its words or halves of its call, and why it ends."""

    def piece(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c-1", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice]}

    yield piece({"role": "assistant", "content": ""})
    for call in message.get("tool_calls", []):
        arguments = call["function"]["arguments"]
        middle = len(arguments) // 2
        begun = call | {"index": 0, "function": call["function"] | {"arguments": arguments[:middle]}}
        yield piece({"tool_calls": [begun]})
        yield piece({"tool_calls": [{"index": 0, "function": {"arguments": arguments[middle:]}}]})
    for word in re.findall(r"\S+\s*", message["content"] or ""):
        yield piece({"content": word})
    yield piece({}, reason(message))


def reason(message: dict) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            if self.path != "/v1/chat/completions":
                raise Refused(f"nothing is at {self.path}")
            message = reply(asked)
        except (Refused, KeyError, ValueError) as error:
            self.answer(400, "application/json", json.dumps({"error": {"message": repr(error)}}))
            return
        if asked.get("stream"):
            lines = [json.dumps(piece) for piece in pieces(message)] + ["[DONE]"]
            self.answer(200, "text/event-stream", *(f"data: {line}\n\n" for line in lines))
        else:
            self.answer(200, "application/json", json.dumps(whole(message)))

    def answer(self, status: int, kind: str, *parts: str):
        """Each part is on its way before the next is written; the end of the connection ends the body."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for part in parts:
            self.wfile.write(part.encode())
            self.wfile.flush()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    print(server.server_address[1], flush=True)
    server.serve_forever()
