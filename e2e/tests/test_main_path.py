"""The main job: deploy with unmodified boto3, invoke, talk in sessions, stop, delete."""

import json

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, ACCOUNT, EXAMPLES, REGION, SESSION_HEADER, new_session, processes, wait_for


def test_an_agent_is_deployed_invoked_stopped_and_deleted(server):
    created = server.create(EXAMPLES / "hello")
    assert created["status"] == "CREATING" and created["agentRuntimeVersion"] == "1"
    assert created["agentRuntimeArn"] == (
        f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/{created['agentRuntimeId']}"
    )
    assert server.settled(created["agentRuntimeId"])["status"] == "READY"

    session = new_session()
    answer = server.data.invoke_agent_runtime(
        agentRuntimeArn=created["agentRuntimeArn"], runtimeSessionId=session,
        payload=json.dumps({"prompt": "What is 2+2?"}).encode(),
    )
    assert answer["statusCode"] == 200 and answer["runtimeSessionId"] == session
    assert "4" in answer["response"].read().decode()

    server.data.stop_runtime_session(agentRuntimeArn=created["agentRuntimeArn"], runtimeSessionId=session)
    deleted = server.control.delete_agent_runtime(agentRuntimeId=created["agentRuntimeId"])
    assert deleted["status"] == "DELETING"

    def is_gone():
        try:
            server.control.get_agent_runtime(agentRuntimeId=created["agentRuntimeId"])
        except ClientError as error:
            return error.response["Error"]["Code"] == "ResourceNotFoundException"

    wait_for("the deleted runtime to be gone", is_gone)
    with pytest.raises(server.data.exceptions.ResourceNotFoundException):
        server.data.invoke_agent_runtime(agentRuntimeArn=created["agentRuntimeArn"], payload=b"{}")


@pytest.mark.host
def test_two_sessions_keep_separate_memory(probe):
    alice, bob = new_session(), new_session()
    first = probe.ask({"do": "remember", "word": "apple"}, alice)
    other = probe.ask({"do": "remember", "word": "banana"}, bob)
    again = probe.ask({"do": "remember", "word": "cherry"}, alice)
    assert first["memory"] == ["apple"] and other["memory"] == ["banana"]
    assert again["memory"] == ["apple", "cherry"]
    assert first["pid"] == again["pid"] != other["pid"]


@pytest.mark.host
def test_a_stopped_session_begins_afresh_in_a_new_process(probe):
    session = new_session()
    before = probe.ask({"do": "remember", "word": "apple"}, session)
    assert probe.stop(session)["runtimeSessionId"] == session
    after = probe.ask({"do": "remember", "word": "banana"}, session)
    assert after["memory"] == ["banana"] and after["pid"] != before["pid"]


def test_a_stop_of_an_unknown_session_is_not_found(probe):
    with pytest.raises(probe.server.data.exceptions.ResourceNotFoundException):
        probe.stop(new_session())


def test_a_session_id_is_made_up_where_the_caller_gives_none(probe):
    server = probe.server
    answer = server.request("POST", probe.path, b'{"do": "facts"}', {"Content-Type": "application/json"})
    session = answer.headers[SESSION_HEADER]
    assert answer.status == 200 and len(session) >= 33
    assert dict(answer.json()["headers"])[SESSION_HEADER.lower()] == session
    assert probe.ask({"do": "facts"}, session)["pid"] == answer.json()["pid"]


def test_the_agent_gets_the_environment_of_the_contract(probe):
    environment = probe.ask({"do": "facts"}, new_session())["environment"]
    assert environment["DOCKER_CONTAINER"] == "1"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == REGION
    assert environment["PROBE_WORD"] == "ahoy"
    assert not [name for name in environment if "SECRET" in name or "ACCESS_KEY" in name]


def test_the_agent_gets_context_headers_and_never_the_caller_s_signature_or_user(probe):
    session = new_session()
    answer = probe.ask(
        {"do": "facts"}, session, runtimeUserId="alice", traceId="Root=1-67891233-abcdef012345678912345678",
        baggage="team=blue",
    )
    headers = [(name, value) for name, value in answer["headers"]]
    names = [name for name, _ in headers]
    assert names.count(SESSION_HEADER.lower()) == 1 and (SESSION_HEADER.lower(), session) in headers
    assert names.count("x-amzn-bedrock-agentcore-runtime-request-id") == 1
    assert ("content-type", "application/json") in headers and ("baggage", "team=blue") in headers
    assert "authorization" not in names and "x-amz-date" not in names
    assert "x-amzn-bedrock-agentcore-runtime-user-id" not in names


def test_an_agent_s_output_is_kept_per_session(probe):
    session, other = new_session(), new_session()
    probe.ask({"do": "say", "words": "hello from the agent"}, session)
    probe.ask({"do": "say", "words": "hello from the other one"}, other)

    def lines():
        answer = probe.server.request("GET", f"/innkeep/v1/logs?runtime={probe.id}&session={session}")
        entries = [json.loads(line) for line in answer.body.splitlines()]
        return [entry["message"] for entry in entries]

    wait_for("the line to be kept", lambda: "hello from the agent" in lines())
    assert "hello from the other one" not in lines()


@pytest.mark.host
def test_the_server_leaves_nothing_behind_when_it_ends(own_server):
    agent = own_server.deploy(AGENTS / "probe")
    pids = [agent.ask({"do": "facts"}, new_session())["pid"] for _ in range(3)]
    assert set(pids) <= set(processes(str(own_server.data_dir)))
    own_server.stop()
    assert own_server.process.returncode == 0
