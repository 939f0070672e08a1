"""Sessions that are open only to those who started them, with keys and tokens; and the audit log that says who did what."""

import json
import re
import socket
from urllib.parse import quote, urlsplit

import pytest
from botocore.credentials import Credentials

from commands import Cli
from harness import AGENTS, EXAMPLES, SESSION_HEADER, new_session, running_server, wait_for
from test_jwt import LOOPBACK, call, running_issuer

OWNED = {"session_owner": True}
TAKEN = "The session belongs to another caller. Use a session id of your own"


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    file = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    with running_server(**LOOPBACK, audit_file=file) as server:
        server.probe = server.deploy(AGENTS / "probe", settings=OWNED)
        server.audit_file = file
        yield server


@pytest.fixture
def cli(mine, tmp_path):
    return Cli(mine, tmp_path)


def new_key(cli, name):
    made = cli.json("keys", "create", "--name", name, "--policy", "invoker")
    return Credentials(made["accessKeyId"], made["secretAccessKey"])


def ask(server, key, session, operation="invocations", body=b'{"do": "facts"}'):
    target = server.probe.path.removesuffix("invocations") + operation
    headers = {SESSION_HEADER: session, "Content-Type": "application/json"}
    return server.request("POST", target, body, headers, key=key)


def stop(server, key, session):
    return ask(server, key, session, "stopruntimesession", b"")


def refused(answer):
    assert (answer.status, answer.json()["message"]) == (403, TAKEN), (answer.status, answer.body)


def events(cli, *arguments):
    return [json.loads(line) for line in cli("audit", "--json", *arguments).stdout.splitlines()]


def told(cli, count, *arguments):
    """The events, once there are that many: they are written a moment after the answer."""
    return wait_for(f"{count} audit events", lambda: (found := events(cli, *arguments))[count - 1 :] and found)


def test_a_session_is_its_keys_owners_through_ends_and_restarts(mine, cli):
    alice, bob, session = new_key(cli, "alice"), new_key(cli, "bob"), new_session()
    assert ask(mine, alice, session).status == 200
    refused(ask(mine, bob, session))
    unknown = stop(mine, bob, "a-session-that-nobody-ever-has-started")
    hidden = stop(mine, bob, session)
    assert (hidden.status, unknown.status) == (404, 404)
    assert hidden.json()["message"].replace(session, "S") == re.sub("a-session[a-z-]+", "S", unknown.json()["message"])
    assert stop(mine, alice, session).status == 200
    refused(wait_for("the end", lambda: (answer := ask(mine, bob, session)).status != 409 and answer))
    for start in ("cold", "warm"):
        mine.kill()
        mine.start()
        if start == "warm":
            # Who comes before it is taken over waits for that, as for a start.
            mine.probe.wait_for_state(session, "Idle")
        refused(ask(mine, bob, session))
        answer = ask(mine, alice, session)
        assert (answer.status, answer.headers["x-innkeep-start"]) == (200, start)


def test_a_session_is_its_tokens_subjects(mine):
    with running_issuer() as issuer:
        authorizer = {"customJWTAuthorizer": {"discoveryUrl": issuer.discovery_url, "allowedScopes": ["invoke"]}}
        agent = mine.deploy(EXAMPLES / "hello", settings=OWNED, authorizerConfiguration=authorizer)
        alice, bob, session = issuer.token_of("alice"), issuer.token_of("bob"), new_session()
        assert call(agent, alice, session=session).status == 200
        for stranger in (bob, issuer.token()):
            refused(call(agent, stranger, session=session))
            assert call(agent, stranger, "stopruntimesession", session, body=b"").status == 404
        assert call(agent, issuer.token_of("alice"), session=session).status == 200
        assert call(agent, alice, "stopruntimesession", session, body=b"").status == 200


def test_the_log_says_who_did_what(mine, cli):
    carol, session = new_key(cli, "carol"), new_session()
    assert ask(mine, carol, session).status == 200
    denied = mine.request("GET", f"/runtimes/{mine.probe.id}/", key=carol)
    assert denied.status == 403
    assert mine.request("GET", "/innkeep/v1/sessions", key=carol).status == 403
    assert ask(mine, Credentials(carol.access_key, "wrong"), session).status == 403
    assert stop(mine, carol, session).status == 200
    arn = "arn:aws:iam::000000000000:user/carol"
    found = told(cli, 5, "--principal", carol.access_key)
    assert [(e.get("principal"), e["action"], e["outcome"]) for e in found] == [
        (arn, "StartRuntimeSession", "allowed"),
        (arn, "GetAgentRuntime", "denied"),
        (None, "ListSessions", "denied"),
        (None, "InvokeAgentRuntime", "denied"),
        (arn, "StopRuntimeSession", "allowed"),
    ]
    assert found[0]["sessionId"] == session and mine.probe.arn in found[0]["resource"] and found[0]["source"] == "127.0.0.1"
    assert found[1]["requestId"] == denied.headers["x-amzn-requestid"] and mine.probe.arn == found[1]["resource"]
    assert len(events(cli, "--principal", arn)) == 3
    made = told(cli, 1, "--action", "CreateKey")
    assert carol.access_key in [event["resource"] for event in made]
    created = told(cli, 1, "--action", "CreateAgentRuntime", "--outcome", "allowed")
    assert mine.probe.arn in [event["resource"] for event in created]
    assert events(cli, "--principal", "nobody") == []
    assert "denied" in cli("audit", "--outcome", "denied").stdout


def test_who_hangs_up_after_a_change_is_in_the_log(mine, cli):
    """On the control plane and the operator API: of every change that is made there is a line, whoever waits for the answer."""
    control, runtime, arn = mine.client("bedrock-agentcore-control"), mine.probe.id, mine.probe.arn
    changes = [
        ("TagResource", "POST", f"/tags/{quote(arn, safe='')}", b'{"tags": {"left%d": "yes"}}',
         lambda: sum(tag.startswith("left") for tag in control.list_tags_for_resource(resourceArn=arn)["tags"])),
        ("CreateAgentRuntimeEndpoint", "PUT", f"/runtimes/{runtime}/runtime-endpoints/", b'{"name": "left%d"}',
         lambda: len(control.list_agent_runtime_endpoints(agentRuntimeId=runtime, maxResults=100)["runtimeEndpoints"]) - 1),
        ("CreateKey", "POST", "/innkeep/v1/keys", b'{"name": "left%d"}',
         lambda: sum(key["name"].startswith("left") for key in cli.json("keys", "ls")["keys"])),
    ]
    for action, method, target, body, made in changes:
        lines = lambda: len(events(cli, "--action", action, "--outcome", "allowed"))
        before = lines()
        for n in range(8):
            left(mine, method, target, body % n)
        wait_for(f"a line for each {action}", lambda: 0 < made() == lines() - before)


def left(server, method, target, body):
    """Sends a signed request, and is gone when all of it is sent."""
    headers = server.signed(method, target, body, {"Content-Type": "application/json"})
    url = urlsplit(server.url)
    lines = [f"{method} {target} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in ("host", "content-length")]
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def test_pages_lead_on_and_what_is_none_is_refused(mine, cli):
    told(cli, 3)
    token, pages = "", []
    while True:
        page = mine.request("GET", f"/innkeep/v1/audit?maxResults=2&nextToken={token}").json()
        if not page["events"]:
            break
        pages += page["events"]
        token = page["nextToken"]
    listed = [{name: value for name, value in event.items() if name != "schema"} for event in events(cli)]
    assert pages[:3] == listed[:3] and "nextToken" not in page
    for query in ("nextToken=7", "nextToken=a00000000000000zz", "maxResults=0", "maxResults=x", "outcome=maybe", "sinceMs=now"):
        assert mine.request("GET", f"/innkeep/v1/audit?{query}").status == 400, query


def test_the_file_has_the_same_lines_and_nothing_secret(mine, cli):
    dave = new_key(cli, "dave")
    told(cli, 1, "--action", "CreateKey")
    ask(mine, dave, new_session(), body=b'{"do": "facts", "note": "my-own-words"}')
    told(cli, 1, "--principal", dave.access_key)
    text = mine.audit_file.read_text()
    assert {"CreateKey", "StartRuntimeSession"} <= {json.loads(line)["action"] for line in text.splitlines()}
    assert dave.secret_key not in text and "my-own-words" not in text
    assert mine.audit_file.stat().st_mode & 0o777 == 0o600


def test_calls_that_were_let_are_told_where_that_is_asked_for(tmp_path):
    with running_server(audit_invocations="true") as server:
        server.probe = server.deploy(AGENTS / "probe")
        session, cli = new_session(), Cli(server, tmp_path)
        for _ in range(3):
            assert ask(server, None, session).status == 200
        told(cli, 3, "--action", "InvokeAgentRuntime", "--outcome", "allowed")
