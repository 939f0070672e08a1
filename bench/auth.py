"""Who may call: what it costs a warm request that its signature or token is verified and its caller's policies are asked."""

import json
import shutil
import time
import urllib.parse

from botocore.credentials import Credentials

from bodies import exchange
from contenders import AGENT, BODY, JSON, SESSION_HEADER, address, new_session, running_direct, scratch_directory, wrk
from harness import Server
from issuer import CLIENT, running_issuer
from servers import running_server
from table import Table, median

SIZES = {"1 KB": 1_000, "1 MB": 1_000_000, "100 MB": 100_000_000}
STATEMENTS = 100
TOKENS = 11_000
"""More than the server remembers of one issuer's (10,000), asked with in turn: it has forgotten each when it comes again."""
SETTINGS = 'jwt_private_issuers = ["127.0.0.0/8"]\n'
NOTE = f"""Callers: one session of the static agent for each kind of caller, on one server; "direct" is the same agent by hand, asked with
the same bytes. SigV4: `wrk` replays one signed request (1 KB, 1 MB) or a loop in Python sends it (100 MB); the signature covers the body, so
Innkeep hashes it. JWT: an RS256 token of an issuer whose keys are cached, the same for each request; "new tokens": {TOKENS:,}
in turn, more than it remembers to have verified. Policies: {STATEMENTS} statements with a condition on the invoking key, of which the last
allows, against the ready-made policy `invoker`; the difference is what both have the server do."""


def measure(table: Table, quick: bool):
    blocks, seconds, uploads = (2, 1, 2) if quick else (9, 2, 9)
    with running_direct() as direct, running_issuer() as issuer, running_server(settings=SETTINGS) as server:
        callers = Callers(server, direct, issuer)
        for size in ("1 KB", "1 MB"):
            add_sizes(table, size, take_turns(callers, SIZES[size], ("direct", "SigV4", "JWT"), blocks, seconds), "µs")
        add_sizes(table, "100 MB", send_in_turns(callers, SIZES["100 MB"], uploads), "ms")
        add_warm(table, take_turns(callers, None, ("SigV4", "JWT", "new tokens", "policies"), blocks, seconds))


class Callers:
    """To the same program: by hand, with a signature of two principals, and with a token."""

    def __init__(self, server: Server, direct: str, issuer):
        self.server, self.direct, self.issuer = server, direct, issuer
        rules = {"discoveryUrl": f"{issuer.url}/.well-known/openid-configuration", "allowedClients": [CLIENT]}
        with scratch_directory() as folder:
            shutil.copy2(AGENT, folder / "agent")
            (folder / "innkeep.toml").write_text('[agent]\negress = "none"\nentrypoint = "agent"\n')
            self.signed_for = server.deploy(folder)
            self.token_for = server.deploy(folder, authorizerConfiguration={"customJWTAuthorizer": rules})
        self.keys = {"SigV4": key(server, "plain", "invoker"), "policies": key(server, "detailed", *many_statements(self.signed_for.arn))}
        self.session = new_session()
        self.token = issuer.token()

    def url(self, caller: str) -> str:
        return self.direct if caller == "direct" else self.server.url

    def requests(self, caller: str, body: bytes) -> list[bytes]:
        """Returns whole requests, to be sent in turn."""
        if caller == "new tokens":
            return [self.request(caller, body, self.issuer.token()) for _ in range(TOKENS)]
        return [self.request(caller, body, self.token)]

    def request(self, caller: str, body: bytes, token: str) -> bytes:
        agent = self.signed_for if caller in ("direct", *self.keys) else self.token_for
        fields = JSON | {SESSION_HEADER: self.session}
        if agent is self.signed_for:
            fields = self.server.signed("POST", agent.path, body, fields, key=self.keys.get(caller))
        else:
            fields |= {"Authorization": f"Bearer {token}"}
        fields |= {"Host": urllib.parse.urlsplit(self.server.url).netloc, "Content-Length": str(len(body))}
        target = "/invocations" if caller == "direct" else agent.path
        return "\r\n".join([f"POST {target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items()), "", ""]).encode() + body


def key(server: Server, name: str, *policies: str) -> Credentials:
    """One of a principal with these policies and no other right."""
    answer = server.request("POST", "/innkeep/v1/keys", json.dumps({"name": name, "policies": policies}).encode())
    assert answer.status == 201, answer
    made = answer.json()
    return Credentials(made["accessKeyId"], made["secretAccessKey"])


def many_statements(arn: str) -> list[str]:
    """Statements about the same operation that all have to be looked at: of other runtimes and networks, and the last, of this one. In
    two documents, because one would be too long."""
    others = [
        {
            "Effect": "Allow", "Action": "bedrock-agentcore:Invoke*", "Resource": f"{arn.rsplit('-', 1)[0][:-2]}*{number}",
            "Condition": {"IpAddress": {"aws:SourceIp": f"10.0.{number}.0/24"}},
        }
        for number in range(STATEMENTS - 1)
    ]
    this = {"Effect": "Allow", "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": f"{arn}*"}
    halves = others[: STATEMENTS // 2], [*others[STATEMENTS // 2 :], this]
    return [json.dumps({"Version": "2012-10-17", "Statement": half}, separators=(",", ":")) for half in halves]


def take_turns(callers: Callers, size: int | None, names: tuple, blocks: int, seconds: int) -> dict[str, list[dict]]:
    """What `wrk` says of each caller, on one connection; with a body of so many bytes, or that of the other groups."""
    body = BODY if size is None else b"x" * size
    requests = {name: callers.requests(name, body) for name in names}
    for name in names:
        wrk(callers.url(name), requests[name], 1, 1)  # starts the session, and warms up
    runs = {name: [] for name in names}
    for turn in range(blocks):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            run = wrk(callers.url(name), requests[name], 1, seconds)
            runs[name].append(run)
            # Whoever has several goes on with the next.
            sent = int(run["rate"] * seconds) % len(requests[name])
            requests[name] = requests[name][sent:] + requests[name][:sent]
    return runs


def send_in_turns(callers: Callers, size: int, times: int) -> dict[str, list[dict]]:
    """As `take_turns`, of a body that is too large to be replayed; ms."""
    names = ("direct", "SigV4", "JWT")
    body = bytes(size)
    heads = {name: callers.request(name, body, callers.token)[: -size] for name in names}
    runs = {name: [] for name in names}
    for turn in range(-1, times):
        for name in names:
            started = time.perf_counter()
            exchange(address(callers.url(name)), heads[name], body)
            if turn >= 0:  # else it was to warm up
                runs[name].append({"p50": (time.perf_counter() - started) * 1000})
    return runs


def add_sizes(table: Table, size: str, runs: dict[str, list[dict]], unit: str):
    rounds = list(zip(*([run["p50"] for run in runs[name]] for name in ("direct", "SigV4", "JWT"))))
    added = {name: median(each[index] - each[0] for each in rounds) for index, name in ((1, "SigV4"), (2, "JWT"))}
    signature = median(signed - token for _, signed, token in rounds)
    direct = median(each[0] for each in rounds)
    for index, name in ((1, "SigV4"), (2, "JWT")):
        table.add(
            f"invoke with {size}, {name}: p50", f"{direct:,.0f} {unit}", "", f"{median(each[index] for each in rounds):,.0f} {unit}",
            f"{added[name]:+,.0f} {unit} to direct" + (f"; {signature:+,.0f} {unit} to JWT" if name == "SigV4" else ""),
        )


def add_warm(table: Table, runs: dict[str, list[dict]]):
    p50 = {name: [run["p50"] for run in taken] for name, taken in runs.items()}
    targets = {"JWT": 1.0}
    for name, times in p50.items():
        ratio = median(ours / signed for ours, signed in zip(times, p50["SigV4"]))
        more = median(ours - signed for ours, signed in zip(times, p50["SigV4"]))
        what = {"new tokens": "JWT, new tokens", "policies": f"SigV4, {STATEMENTS} statements"}.get(name, name)
        target, met = "", None
        if name in targets:
            target, met = "≤ 1.00 of SigV4", ratio <= targets[name]
        elif name == "policies":
            target, met = "adds ≤ 20 µs", more <= 20
        table.add(
            f"warm invoke, {what}: p50", innkeep=f"{median(times):.0f} µs",
            compared="" if name == "SigV4" else f"{ratio:.2f} of SigV4, {more:+.1f} µs", target=target, met=met,
        )
