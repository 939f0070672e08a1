"""The control plane: what it returns, what it refuses, and how versions move."""

import uuid

import pytest
from botocore.exceptions import ClientError

from harness import ACCOUNT, AGENTS, REGION, ROLE, new_session


@pytest.fixture(scope="module")
def artifact(server):
    return server.artifact(AGENTS / "probe")


def check_code(call, code, words=""):
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response
    assert error["Error"]["Code"] == code, error
    assert words in error["Error"]["Message"], error
    return error


def name() -> str:
    return f"probe_{uuid.uuid4().hex[:8]}"


def test_what_was_created_is_returned(server, artifact):
    created = server.control.create_agent_runtime(
        agentRuntimeName=(called := name()), agentRuntimeArtifact=artifact, roleArn=ROLE, description="for a test",
        networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"COLOUR": "green"},
        lifecycleConfiguration={"idleRuntimeSessionTimeout": 60, "maxLifetime": 3600},
        protocolConfiguration={"serverProtocol": "HTTP"},
    )
    got = server.settled(created["agentRuntimeId"])
    assert got["agentRuntimeName"] == called and got["description"] == "for a test"
    assert got["agentRuntimeArtifact"] == artifact and got["roleArn"] == ROLE
    assert got["environmentVariables"] == {"COLOUR": "green"}
    assert got["lifecycleConfiguration"] == {"idleRuntimeSessionTimeout": 60, "maxLifetime": 3600}
    assert got["protocolConfiguration"] == {"serverProtocol": "HTTP"}
    assert got["networkConfiguration"] == {"networkMode": "PUBLIC"}
    assert got["agentRuntimeVersion"] == "1" and got["createdAt"] <= got["lastUpdatedAt"]
    listed = server.control.get_paginator("list_agent_runtimes").paginate(PaginationConfig={"PageSize": 1})
    assert called in [item["agentRuntimeName"] for page in listed for item in page["agentRuntimes"]]


def test_an_update_makes_a_new_version_and_default_moves_to_it(server, artifact):
    agent = server.deploy(AGENTS / "probe", environmentVariables={"COLOUR": "green"})
    pinned = new_session()
    assert agent.ask({"do": "facts"}, pinned)["environment"]["COLOUR"] == "green"
    updated = server.control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=artifact, roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"COLOUR": "blue"},
    )
    assert updated["agentRuntimeVersion"] == "2" and updated["status"] == "UPDATING"
    assert server.settled(agent.id)["status"] == "READY"
    assert agent.ask({"do": "facts"}, new_session())["environment"]["COLOUR"] == "blue"
    # A running session keeps the version it was started with.
    assert agent.ask({"do": "facts"}, pinned)["environment"]["COLOUR"] == "green"
    versions = server.control.list_agent_runtime_versions(agentRuntimeId=agent.id)["agentRuntimes"]
    assert sorted(item["agentRuntimeVersion"] for item in versions) == ["1", "2"]
    first = server.control.get_agent_runtime(agentRuntimeId=agent.id, agentRuntimeVersion="1")
    assert first["environmentVariables"] == {"COLOUR": "green"}


def test_an_update_that_fails_leaves_default_where_it_was(server):
    agent = server.deploy(AGENTS / "probe")
    broken = server.artifact(AGENTS / "exits_at_import")
    server.control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=broken, roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"},
    )
    failed = server.settled(agent.id)
    assert failed["status"] == "UPDATE_FAILED" and "exit code 3" in failed["failureReason"]
    assert agent.ask({"do": "facts"}, new_session())["pid"]


def test_an_omitted_member_is_reset_by_an_update(server, artifact):
    agent = server.deploy(AGENTS / "probe", description="first", environmentVariables={"COLOUR": "green"})
    server.control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=artifact, roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"},
    )
    got = server.settled(agent.id)
    assert "description" not in got and not got.get("environmentVariables")


def test_the_same_client_token_creates_once(server, artifact):
    token = str(uuid.uuid4())
    members = dict(agentRuntimeName=name(), agentRuntimeArtifact=artifact, roleArn=ROLE, clientToken=token)
    first = server.control.create_agent_runtime(**members)
    again = server.control.create_agent_runtime(**members)
    assert first["agentRuntimeArn"] == again["agentRuntimeArn"]
    other = members | {"description": "something else"}
    check_code(lambda: server.control.create_agent_runtime(**other), "ValidationException")
    server.settled(first["agentRuntimeId"])


def test_a_name_that_is_taken_is_a_conflict(server, artifact):
    members = dict(agentRuntimeName=name(), agentRuntimeArtifact=artifact, roleArn=ROLE)
    created = server.control.create_agent_runtime(**members)
    check_code(lambda: server.control.create_agent_runtime(**members), "ConflictException")
    server.settled(created["agentRuntimeId"])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"agentRuntimeName": "has-a-hyphen"}, "agentRuntimeName"),
        ({"agentRuntimeName": "1st"}, "agentRuntimeName"),
        ({"roleArn": "arn:aws:s3:::bucket"}, "roleArn"),
        ({"lifecycleConfiguration": {"maxLifetime": 1_209_601}}, "maxLifetime"),
        (
            {"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 600, "maxLifetime": 300}},
            "idleRuntimeSessionTimeout must be less than or equal to maxLifetime",
        ),
        ({"protocolConfiguration": {"serverProtocol": "SMTP"}}, "serverProtocol"),
        ({"environmentVariables": {f"N{n}": "x" * 100 for n in range(50)}}, "environmentVariables"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_the_member_s_name(server, artifact, members, words):
    given = dict(agentRuntimeName=name(), agentRuntimeArtifact=artifact, roleArn=ROLE) | members
    check_code(lambda: server.control.create_agent_runtime(**given), "ValidationException", words)


def test_an_artifact_that_was_never_uploaded_is_refused(server, artifact):
    missing = {"codeConfiguration": artifact["codeConfiguration"] | {"code": {"s3": {"bucket": "innkeep", "prefix": "0" * 64}}}}
    made = dict(agentRuntimeName=name(), agentRuntimeArtifact=missing, roleArn=ROLE)
    try:
        created = server.control.create_agent_runtime(**made)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationException"
    else:
        assert server.settled(created["agentRuntimeId"])["status"] == "CREATE_FAILED"


def test_identifiers_have_the_shape_of_the_api(server, artifact):
    created = server.control.create_agent_runtime(agentRuntimeName=(called := name()), agentRuntimeArtifact=artifact, roleArn=ROLE)
    identifier = created["agentRuntimeId"]
    stem, _, suffix = identifier.rpartition("-")
    assert stem == called and len(suffix) == 10 and suffix.isalnum()
    assert created["agentRuntimeArn"] == f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/{identifier}"
    server.settled(identifier)
