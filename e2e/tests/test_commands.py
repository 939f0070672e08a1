"""Commands beside agents, with boto3 and with `innkeep exec`, in every kind of sandbox."""

import hashlib
import http.client
import json
import os
import threading
import urllib.parse
import uuid

import pytest
from botocore.exceptions import ClientError, EventStreamError

from harness import AGENTS, SESSION_HEADER, innkeep, new_session, processes, running_server, wait_for
from hostile import SETTINGS, server_as


@pytest.fixture(scope="module", params=["process", "root", "rootless", "root zygote"])
def agent(request):
    """An agent in a sandbox without walls, and in containers of root, of an ordinary user, and forked."""
    who, _, zygote = request.param.partition(" ")
    if who == "process":
        with running_server(isolation="process") as server:
            yield server.deploy(AGENTS / "probe", environmentVariables={"PROBE_WORD": "ahoy"})
        return
    settings = SETTINGS | ({"zygote": True} if zygote else {})
    with server_as(who) as server:
        yield server.deploy(AGENTS / "probe", settings=settings, environmentVariables={"PROBE_WORD": "ahoy"})


def run(agent, command, session=None, **body) -> dict:
    """InvokeAgentRuntimeCommand; the stream is not read yet."""
    members = {} if session is None else {"runtimeSessionId": session}
    return agent.server.data.invoke_agent_runtime_command(
        agentRuntimeArn=agent.arn, body={"command": command, **body}, accept="application/vnd.amazon.eventstream", **members
    )


def finish(answer) -> tuple[str, str, dict]:
    """Both outputs and how it ended; the frames must come in the order of the contract."""
    chunks = [event["chunk"] for event in answer["stream"]]
    assert [*chunks[0]] == ["contentStart"] and [*chunks[-1]] == ["contentStop"], chunks
    deltas = [chunk["contentDelta"] for chunk in chunks[1:-1]]
    said = lambda output: "".join(delta.get(output, "") for delta in deltas)
    return said("stdout"), said("stderr"), chunks[-1]["contentStop"]


def output(agent, command, session=None, **body) -> str:
    stdout, stderr, stop = finish(run(agent, command, session, **body))
    assert stop == {"exitCode": 0, "status": "COMPLETED"}, (stop, stdout, stderr)
    return stdout


def test_a_command_says_what_it_says_and_how_it_ended(agent):
    session = new_session()
    answer = run(agent, "echo out; echo err >&2; exit 7", session)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200 and answer["runtimeSessionId"] == session
    assert answer["contentType"] == "application/vnd.amazon.eventstream"
    assert finish(answer) == ("out\n", "err\n", {"exitCode": 7, "status": "COMPLETED"})
    # By name, with text of every width, and with nothing to read.
    assert output(agent, "echo grüß 😀 > /dev/stdout; cat", session) == "grüß 😀\n"
    assert finish(run(agent, "kill -TERM $$", session))[2] == {"exitCode": 143, "status": "COMPLETED"}
    assert finish(run(agent, "no-such-program-x", session))[2]["exitCode"] == 127


def test_a_command_has_what_the_agent_has(agent):
    """T100: environment, directory, files; no more descriptors, no powers."""
    session = new_session()
    facts = agent.ask({"do": "facts"}, session)
    assert output(agent, "pwd", session).strip() == facts["cwd"]
    environment = dict(line.split("=", 1) for line in output(agent, "env -0", session).rstrip("\0").split("\0"))
    assert environment["PROBE_WORD"] == "ahoy"
    of_shells, of_python = {"_", "SHLVL", "PWD", "OLDPWD"}, {"LC_CTYPE"}
    same = lambda variables: {name: value for name, value in variables.items() if name not in of_shells | of_python}
    assert same(environment) == same(facts["environment"])
    # Files, one way and the other; nothing else of a command is kept.
    output(agent, "X=1; cd /; echo kept > \"$HOME/kept\"", session)
    assert output(agent, 'echo "$X$(cat "$HOME/kept")"', session) == "kept\n"
    assert output(agent, "ls /proc/self/fd | wc -l", session) == "4\n", "three, and the listing itself"
    assert output(agent, "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status", session).endswith("NoNewPrivs:\t1\n")


def test_what_is_large_arrives_whole(agent):
    session = new_session()
    script = "import sys; sys.stdout.write('\\x01äö\\n' * 700_000)"
    text = output(agent, f"python3 -c \"{script}\"", session)
    assert hashlib.sha256(text.encode()).digest() == hashlib.sha256(("\x01äö\n" * 700_000).encode()).digest()
    longest = "echo '" + "é" * ((65_536 - 7) // 2) + "'"
    assert len(output(agent, longest, session)) == (65_536 - 7) // 2 + 1


def test_a_timeout_kills_the_whole_tree(agent):
    """T101: children, orphans and sessions of their own."""
    session, mark = new_session(), str(uuid.uuid4().int % 10**9)
    script = f"(setsid sleep 7{mark} &) ; setsid setsid sleep 8{mark} & sleep 9{mark} & echo up; wait"
    stdout, _, stop = finish(run(agent, script, session, timeout=5))
    assert (stdout, stop) == ("up\n", {"exitCode": -1, "status": "TIMED_OUT"})
    assert not processes(mark)
    assert agent.ask({"do": "remember", "word": "alive"}, session)["memory"] == ["alive"]


def test_nothing_that_a_command_leaves_goes_on(agent):
    """T101: not in the background either."""
    session, mark = new_session(), str(uuid.uuid4().int % 10**9)
    assert output(agent, f"nohup setsid sleep 7{mark} > /dev/null 2>&1 & echo left", session) == "left\n"
    assert not processes(mark)


def test_a_client_that_goes_away_kills_its_command(agent):
    """T101: whoever asked has to be there."""
    session, mark = new_session(), str(uuid.uuid4().int % 10**9)
    answer = run(agent, f"echo up; sleep 7{mark}", session)
    events = iter(answer["stream"])
    assert "contentStart" in next(events)["chunk"] and next(events)["chunk"]["contentDelta"]["stdout"] == "up\n"
    # The shell becomes its last program, and is nothing for a moment.
    wait_for("the command to run", lambda: processes(f"7{mark}"))
    answer["stream"].close()
    wait_for("the command to end", lambda: not processes(f"7{mark}"))
    agent.wait_for_state(session, "Idle")


def test_commands_run_beside_requests_and_keep_the_session_active(agent, tmp_path):
    session = new_session()
    answer = run(agent, "echo up; while [ ! -e \"$HOME/go\" ]; do sleep 0.02; done; echo done", session)
    events = iter(answer["stream"])
    next(events), next(events)
    assert agent.view(session)["state"] == "Active" and agent.view(session)["openRequests"] == 1
    assert agent.ask({"do": "remember", "word": "meanwhile"}, session)["memory"] == ["meanwhile"]
    output(agent, "touch \"$HOME/go\"", session)
    rest = [event["chunk"] for event in events]
    assert rest == [{"contentDelta": {"stdout": "done\n"}}, {"contentStop": {"exitCode": 0, "status": "COMPLETED"}}]
    agent.wait_for_state(session, "Idle")


def test_the_end_of_the_session_is_told_in_the_stream(agent):
    session = new_session()
    answer = run(agent, "echo up; sleep 999", session)
    events = iter(answer["stream"])
    next(events), next(events)
    agent.stop(session)
    with pytest.raises(EventStreamError) as told:
        next(events)
    assert told.value.response["Error"]["Code"] == "runtimeClientError"
    assert "The session ended before the command did" in told.value.response["Error"]["Message"]
    # And it may begin anew with a command.
    assert output(agent, "echo again", session) == "again\n"


def test_many_commands_at_once(agent):
    session, said = new_session(), {}

    def one(n):
        said[n] = output(agent, f"sleep 0.1; echo {n}", session)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {n: f"{n}\n" for n in range(20)}


def test_innkeep_exec_prints_what_it_prints_and_exits_as_it_exits(agent):
    if agent.server.user is not None:
        pytest.skip("the command line of another user is not ours to run")
    exec_ = lambda *words: innkeep("exec", *words, data_dir=agent.server.data_dir)
    ran = exec_(agent.id, "-s", "exec", "--", "echo out; echo err >&2; exit 9")
    assert (ran.returncode, ran.stdout, ran.stderr) == (9, "out\n", "err\n")
    ran = exec_(agent.id, "-s", "exec", "--", "printf", "%s|", "a b", "$HOME", "it's")
    assert (ran.returncode, ran.stdout) == (0, "a b|$HOME|it's|")
    ran = exec_(agent.id, "-s", "exec", "--timeout", "1s", "--", "sleep", "999")
    assert ran.returncode == 6 and "its time was over" in ran.stderr
    ran = exec_(agent.id, "-s", "exec", "--json", "--", "echo out; echo err >&2; exit 9")
    told = json.loads(ran.stdout)
    assert ran.returncode == 9 and (told["stdout"], told["stderr"], told["exitCode"]) == ("out\n", "err\n", 9)
    assert exec_("no-such-runtime", "--", "ls").returncode == 3
    assert exec_(agent.id).returncode == 2


# --- once is enough ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    with running_server(isolation="process") as server:
        yield server.deploy(AGENTS / "probe")


def test_what_is_no_command_is_refused(plain):
    session = new_session()
    for body, words in [
        ({"command": "x" * 65_537}, "less than or equal to 65536"),
        ({"command": "ls", "timeout": 0}, "greater than or equal to 1"),
        ({"command": "ls", "timeout": 3601}, "less than or equal to 3600"),
    ]:
        with pytest.raises(plain.server.data.exceptions.ValidationException, match=words):
            plain.server.data.invoke_agent_runtime_command(agentRuntimeArn=plain.arn, runtimeSessionId=session, body=body)
    for body in (b"", b"[]", b"{}", b'{"command": ""}', b'{"command": 7}', b'{"command": "a\\u0000b"}', b"\xff"):
        answer = plain.server.request(
            "POST", plain.path.replace("/invocations", "/commands"), body, {SESSION_HEADER: session}
        )
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "ValidationException"), (body, answer)
    assert plain.view(session) is None, "nothing was started"
    with pytest.raises(ClientError) as unknown:
        plain.server.data.invoke_agent_runtime_command(
            agentRuntimeArn=plain.arn.replace("probe", "nobody"), body={"command": "ls"}
        )
    assert unknown.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_connection_that_is_cut_kills_the_command(plain):
    session, mark = new_session(), str(uuid.uuid4().int % 10**9)
    target, body = plain.path.replace("/invocations", "/commands"), json.dumps({"command": f"sleep 7{mark}"}).encode()
    headers = plain.server.signed("POST", target, body, {SESSION_HEADER: session})
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(plain.server.url).netloc, timeout=30)
    connection.request("POST", target, body=body, headers=headers)
    assert connection.getresponse().status == 200
    wait_for("the command to run", lambda: processes(f"7{mark}"))
    connection.sock.close()
    connection.close()
    wait_for("the command to end", lambda: not processes(f"7{mark}"))


def test_a_server_that_is_killed_takes_its_commands_with_it(own_server):
    """T101: and not the session."""
    agent = own_server.deploy(AGENTS / "probe")
    session, mark = new_session(), str(uuid.uuid4().int % 10**9)
    agent.ask({"do": "remember", "word": "before"}, session)
    answer = run(agent, f"echo up; (setsid sleep 7{mark} &); sleep 8{mark}", session)
    events = iter(answer["stream"])
    next(events), next(events)
    wait_for("both", lambda: len(processes(mark)) >= 2)
    own_server.kill()
    wait_for("the commands to end", lambda: not processes(mark))
    own_server.start()
    again = type(agent)(own_server, agent.arn, agent.id)
    assert again.ask({"do": "remember", "word": "after"}, session)["memory"] == ["before", "after"], "the session lives"
    assert output(again, "echo again", session) == "again\n"


def test_policies_know_commands_and_the_audit_log_does_too():
    """T104: an action of its own, and nothing of what was run."""
    with running_server(isolation="process", audit_invocations="true") as server:
        agent = server.deploy(AGENTS / "probe")
        secret = f"echo hidden-{uuid.uuid4()}"
        assert output(agent, secret, new_session())
        audit = lambda: innkeep("audit", "--json", data_dir=server.data_dir).stdout
        wait_for("the audit log to have the command", lambda: "InvokeAgentRuntimeCommand" in audit())
        assert "hidden-" not in audit()
        assert "hidden-" not in server.stderr
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "bedrock-agentcore:InvokeAgentRuntimeCommand",
                           "Resource": agent.arn}],
        }
        server.control.put_resource_policy(resourceArn=agent.arn, policy=json.dumps(policy))
        with pytest.raises(server.data.exceptions.AccessDeniedException):
            run(agent, "ls", new_session())
        assert agent.ask({"do": "remember", "word": "x"}, new_session())["memory"] == ["x"]
