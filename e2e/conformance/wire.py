"""Inputs as rest-json has them, also such as no SDK would send, and the connection that they go out on."""

import http.client
import json
import urllib.parse
from dataclasses import dataclass

from botocore.model import OperationModel

from conformance.model import location
from harness import Answer


@dataclass
class Request:
    method: str
    target: str
    body: bytes


def request(operation: OperationModel, members: dict) -> Request:
    """Puts members where the model has them. Values need not be of their type; members that the model does not know go into the body."""
    path, query, body = operation.http["requestUri"], [], {}
    known = operation.input_shape.members if operation.input_shape else {}
    for name, value in members.items():
        shape = known.get(name)
        where = location(shape) if shape is not None else "body"
        if where == "uri":
            path = path.replace("{" + shape.serialization["name"] + "}", urllib.parse.quote(str(value), safe=""))
        elif where == "querystring":
            query += [(shape.serialization["name"], text) for text in (value if isinstance(value, list) else [value])]
        else:
            body[name] = value
    assert "{" not in path, f"{operation.name}: no {path}"
    target = path + ("?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote) if query else "")
    return Request(operation.http["method"], target, json.dumps(body).encode() if has_body(operation) else b"")


def has_body(operation: OperationModel) -> bool:
    return operation.input_shape is not None and any(location(m) == "body" for m in operation.input_shape.members.values())


class Sender:
    """Sends signed requests one after the other on one connection."""

    def __init__(self, server):
        self.server = server
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)

    def send(self, request: Request) -> Answer:
        headers = {"Content-Type": "application/json"} if request.body else {}
        headers = self.server.signed(request.method, request.target, request.body, headers)
        self.connection.request(request.method, request.target, body=request.body or None, headers=headers)
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def call(self, operation: OperationModel, members: dict) -> Answer:
        return self.send(request(operation, members))

    def close(self):
        self.connection.close()
