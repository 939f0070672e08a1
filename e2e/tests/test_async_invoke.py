"""Invocations whose callers do not wait: with boto3 and curl's means, over crashes, within bounds, and for their callers alone."""

import http.client
import json
import re
from urllib.parse import urlsplit

import pytest
from botocore.credentials import Credentials

from harness import AGENTS, innkeep, new_session, running_server, wait_for
from test_policies import Caller, allow

EVENTS = ['data: {"n": 1}\n\n', 'data: {"n": 2}\n\n', 'data: {"n": 3}\n\n']
STREAM = {"Accept": "text/event-stream"}


def begin(agent, payload, key=None, session=None) -> str:
    """Invokes without waiting; returns where the invocation is found."""
    headers = {
        "Content-Type": "application/json", "Prefer": "respond-async",
        "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": session or new_session(),
    }
    accepted = agent.server.request("POST", agent.path, json.dumps(payload).encode(), headers, key=key)
    assert accepted.status == 202, accepted
    assert accepted.headers["Preference-Applied"] == "respond-async"
    assert accepted.headers["Location"] == "/innkeep/v1/invocations/" + accepted.json()["invocationId"]
    return accepted.headers["Location"]


def look(server, location, headers=None, key=None, method="GET"):
    return server.request(method, location, headers=headers, key=key)


def state(answer) -> str:
    return answer.headers["x-innkeep-invocation-state"]


def ended(server, location, key=None):
    def done():
        answer = look(server, location, key=key)
        return answer if state(answer) != "running" else None

    return wait_for("the end of the invocation", done)


def temporary(server, caller, policy) -> Credentials:
    """A temporary key of the caller's, for no more than `policy`."""
    body = {"name": caller.name, "sessionPolicy": json.dumps(policy)}
    made = server.request("POST", "/innkeep/v1/keys/temporary", json.dumps(body).encode()).json()
    return Credentials(made["accessKeyId"], made["secretAccessKey"], made["sessionToken"])


def figure(server, name) -> float:
    token = (server.data_dir / "operator-token").read_text().strip()
    text = server.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}, sign=False).body.decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M).group(1))


def held(tmp_path, name="gate", chunks=EVENTS):
    """A stream that goes on after its first chunk when the file is there."""
    gate = tmp_path / name
    return gate, {"do": "stream", "chunks": list(chunks), "gates": [str(gate)]}


def test_boto3_need_not_wait(probe, tmp_path):
    gate = tmp_path / "gate"
    client = probe.server.client("bedrock-agentcore")
    client.meta.events.register(
        "before-sign.bedrock-agentcore.InvokeAgentRuntime",
        lambda request, **_: request.headers.add_header("Prefer", "respond-async"),
    )
    session = new_session()
    accepted = client.invoke_agent_runtime(
        agentRuntimeArn=probe.arn, runtimeSessionId=session, payload=json.dumps({"do": "hold", "until": str(gate)}).encode()
    )
    assert accepted["statusCode"] == 202 and accepted["runtimeSessionId"] == session
    body = json.loads(accepted["response"].read())
    location = "/innkeep/v1/invocations/" + body["invocationId"]
    running = look(probe.server, location)
    assert running.status == 202 and running.json()["state"] == "running" and running.headers["Retry-After"] == "1"
    probe.wait_for_state(session, "Active")
    probe.open(gate, session)
    done = ended(probe.server, location)
    assert done.status == 200 and state(done) == "done" and done.json()["pid"]
    assert done.headers["Content-Type"] == "application/json"
    assert done.headers["x-amzn-bedrock-agentcore-runtime-session-id"] == session
    probe.wait_for_state(session, "Idle")


def test_who_loses_the_stream_gets_the_rest_by_the_last_id(probe, tmp_path):
    (gate, asked), session = held(tmp_path), new_session()
    location = begin(probe, asked, session=session)
    connection = http.client.HTTPConnection(urlsplit(probe.server.url).netloc, timeout=30)
    connection.request("GET", location, headers=probe.server.signed("GET", location, headers=STREAM))
    stream = connection.getresponse()
    assert stream.status == 200 and stream.headers["Content-Type"].startswith("text/event-stream")
    lines = [stream.readline() for _ in range(3)]
    assert lines[0] == b'data: {"n": 1}\n' and lines[1].startswith(b"id: ") and lines[2] == b"\n"
    last = lines[1].split()[1].decode()
    connection.close()
    probe.open(gate, session)
    rest = look(probe.server, location, {**STREAM, "Last-Event-ID": last})
    assert re.sub(rb"id: \d+\n", b"", rest.body).decode() == "".join(EVENTS[1:])
    whole = ended(probe.server, location)
    assert whole.body.decode() == "".join(EVENTS), "without ids, as the agent said it"
    last = re.findall(rb"id: (\d+)", rest.body)[-1].decode()
    assert look(probe.server, location, {**STREAM, "Last-Event-ID": last}).status == 204
    assert look(probe.server, location, {**STREAM, "Last-Event-ID": "3"}).status == 400


def test_over_a_crash_answers_are_kept_and_what_was_interrupted_is_told(own_server, tmp_path):
    agent = own_server.deploy(AGENTS / "probe")
    done = begin(agent, {"do": "answer", "text": "four"})
    ended(own_server, done)
    gate, asked = held(tmp_path)
    streaming = begin(agent, asked)
    holding = begin(agent, {"do": "hold", "until": str(gate)})
    wait_for("its first event", lambda: look(own_server, streaming).json()["bytes"] > 0)
    own_server.kill()
    own_server.start()
    try:
        assert look(own_server, done).body == b"four"
        for location in (streaming, holding):
            interrupted = look(own_server, location)
            assert interrupted.status == 500 and state(interrupted) == "failed"
            assert "The server ended before the agent had answered" in interrupted.json()["message"]
            assert interrupted.headers["x-innkeep-error-source"] == "innkeep"
        # What it had said by then can still be had; that it is not all shows in a cut connection.
        connection = http.client.HTTPConnection(urlsplit(own_server.url).netloc, timeout=30)
        connection.request("GET", streaming, headers=own_server.signed("GET", streaming, headers=STREAM))
        with pytest.raises(http.client.IncompleteRead) as cut:
            connection.getresponse().read()
        assert cut.value.partial.startswith(b'data: {"n": 1}\n')
        connection.close()
    finally:
        gate.touch()
    listed = own_server.request("GET", "/innkeep/v1/invocations?state=failed").json()["invocations"]
    assert {"/innkeep/v1/invocations/" + one["invocationId"] for one in listed} == {streaming, holding}


def test_a_server_that_is_told_to_end_says_so(own_server, tmp_path):
    agent = own_server.deploy(AGENTS / "probe")
    location = begin(agent, {"do": "hold", "until": str(tmp_path / "never")})
    wait_for("the session", lambda: own_server.sessions())
    own_server.stop()
    own_server.start()
    told = look(own_server, location)
    assert told.status == 500 and "The server ended" in told.json()["message"]


def test_a_cancelled_one_ends_and_its_session_does_not(probe, tmp_path):
    gate, asked = held(tmp_path)
    session = new_session()
    location = begin(probe, asked, session=session)
    wait_for("its first event", lambda: look(probe.server, location).json()["bytes"] > 0)
    assert look(probe.server, location, method="DELETE").status == 204
    gone = look(probe.server, location)
    assert gone.status == 409 and state(gone) == "cancelled" and gone.json()["message"] == "The invocation was cancelled"
    probe.open(gate, session)
    probe.wait_for_state(session, "Idle")
    assert look(probe.server, location, method="DELETE").status == 204
    assert look(probe.server, location).status == 404


def test_it_is_for_its_caller_and_operators(server, probe):
    mine, other = Caller(server, allow("bedrock-agentcore:*")), Caller(server, "admin")
    location = begin(probe, {"do": "answer", "text": "mine"}, key=mine.key)
    assert ended(server, location, mine.key).body == b"mine"
    absent = re.sub("[0-9a-f]{32}$", "0" * 32, location)
    for method in ("GET", "DELETE"):
        stranger, missing = (look(server, at, key=other.key, method=method) for at in (location, absent))
        assert stranger.status == missing.status == 404
        assert stranger.body.replace(location[-32:].encode(), absent[-32:].encode()) == missing.body
    assert server.request("GET", location, sign=False).status == 403
    token = (server.data_dir / "operator-token").read_text().strip()
    for headers, sign in (({}, True), ({"Authorization": f"Bearer {token}"}, False)):
        assert server.request("GET", location, headers=headers, sign=sign).body == b"mine", headers
    wrong = server.request("GET", location, headers={"Authorization": "Bearer " + "0" * 64}, sign=False)
    assert wrong.status == 403
    assert server.request("GET", "/innkeep/v1/invocations", key=other.key).status == 403
    # The audit log has the strangers.
    audit = "/innkeep/v1/audit?action=GetInvocation&outcome=denied&maxResults=1000"
    told = lambda: {event.get("principal") for event in server.request("GET", audit).json()["events"]}
    wait_for("the audit log to have the stranger", lambda: other.arn in told())


def test_a_key_for_less_reads_less(server, probe):
    mine = Caller(server, allow("bedrock-agentcore:*"))
    location = begin(probe, {"do": "answer", "text": "mine"}, key=mine.key)
    ended(server, location, mine.key)
    less = temporary(server, mine, allow("bedrock-agentcore:StopRuntimeSession"))
    assert look(server, location, key=less).status == 403
    same = temporary(server, mine, allow("bedrock-agentcore:*"))
    assert look(server, location, key=same).body == b"mine"


def test_answers_are_bounded_together():
    with running_server(async_total_bytes=2000, async_max_bytes=1500) as server:
        agent = server.deploy(AGENTS / "probe")
        # Small requests for large answers: what is on its way to the agent takes room too.
        answer = lambda n: {"do": "download", "count": n}
        first = begin(agent, answer(900))
        assert ended(server, first).status == 200
        refused = ended(server, begin(agent, answer(900)))
        assert refused.status == 429 and state(refused) == "failed" and "leave no room" in refused.json()["message"]
        other = Caller(server, "admin")
        assert ended(server, begin(agent, answer(900), other.key), other.key).status == 200, "half is for others"
        assert look(server, first, method="DELETE").status == 204
        assert ended(server, begin(agent, answer(900))).status == 200
        large = ended(server, begin(agent, answer(1600), other.key), other.key)
        assert large.status == 424, large
        assert figure(server, "innkeep_async_bytes") == 1800
        assert figure(server, 'innkeep_async_refused_total{limit="bytes"}') == 1
        assert figure(server, 'innkeep_async_ended_total{state="done"}') == 3


def test_the_command_need_not_wait(server, probe, tmp_path):
    gate, asked = held(tmp_path, chunks=['data: "one "\n\n', 'data: "two"\n\n'])
    run = lambda *arguments: innkeep(*arguments, data_dir=server.data_dir)
    made = run("invoke", probe.id, "-s", "later", "--async", "-d", json.dumps(asked))
    invocation = made.stdout.strip()
    assert made.returncode == 0 and re.fullmatch("[0-9a-f]{32}", invocation), made
    assert f"innkeep invocations get {invocation} --wait" in made.stderr
    early = run("invocations", "get", invocation)
    assert early.returncode == 6 and "still running" in early.stderr, early
    listed = json.loads(run("invocations", "ls", probe.id, "--state", "running", "--json").stdout)["invocations"]
    assert [one["invocationId"] for one in listed] == [invocation]
    assert invocation in run("invocations", "ls").stdout
    let_on = lambda: run("invoke", probe.id, "-s", "later", "-d", json.dumps({"do": "open", "gate": str(gate)}))
    assert let_on().returncode == 0
    waited = run("invocations", "get", invocation, "--wait")
    assert (waited.returncode, waited.stdout) == (0, "one two\n"), waited
    shown = json.loads(run("invocations", "get", invocation, "--json").stdout)
    assert shown["body"] == ["one ", "two"] and shown["status"] == 200
    assert "forgotten" in run("invocations", "cancel", invocation).stderr
    assert run("invocations", "get", invocation).returncode == 3

    gate, asked = held(tmp_path, "never")
    running = run("invoke", probe.id, "-s", "later", "--async", "-d", json.dumps(asked)).stdout.strip()
    assert "cancelled" in run("invocations", "cancel", running).stderr
    assert let_on().returncode == 0
    failing = run("invoke", probe.id, "--async", "-d", '{"do": "fail", "status": 500}').stdout.strip()
    failed = run("invocations", "get", failing, "--wait")
    assert failed.returncode == 5, failed
