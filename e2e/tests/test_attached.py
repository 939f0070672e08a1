"""Splits, and what is attached to resources: tags, policies; and capacity providers."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from harness import ACCOUNT, AGENTS, REGION, ROLE, new_session, wait_for


@pytest.fixture
def agent(server):
    """An agent with two versions, which know their colour; its endpoint `prod` serves the first."""
    agent = server.deploy(AGENTS / "probe", environmentVariables={"COLOUR": "green"})
    control = server.control
    control.create_agent_runtime_endpoint(
        agentRuntimeId=agent.id, name="prod", description="for all", tags={"team": "a"},
    )
    control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=server.artifact(AGENTS / "probe"), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"COLOUR": "blue"},
    )
    assert server.settled(agent.id)["status"] == "READY"
    assert at_rest(server, agent)["liveVersion"] == "1"
    return agent


def at_rest(server, agent, name="prod"):
    def look():
        shown = server.control.get_agent_runtime_endpoint(agentRuntimeId=agent.id, endpointName=name)
        return None if shown["status"].endswith("ING") else shown

    return wait_for(f"endpoint {name}", look)


def colour(agent, session):
    return agent.ask({"do": "facts"}, session, qualifier="prod")["environment"]["COLOUR"]


def check_code(call, code, words=""):
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == code and words in error["Message"], error


def test_a_split_is_sticky(server, agent):
    def split(weights):
        body = json.dumps({"weights": weights}).encode()
        answer = server.request("PUT", f"/innkeep/v1/runtimes/{agent.id}/endpoints/prod/split", body)
        assert answer.status == 200, answer
        return answer.json()

    assert split({"1": 1, "2": 1})["split"] == {"1": 1, "2": 1}
    sessions = {(session := new_session()): colour(agent, session) for _ in range(20)}
    assert set(sessions.values()) == {"green", "blue"}
    assert "split" not in split({"2": 1})
    assert {session: colour(agent, session) for session in sessions} == sessions
    assert colour(agent, new_session()) == "blue"


def test_tags_and_policies_are_kept_as_they_were_sent(server, agent):
    control = server.control
    endpoint = f"{agent.arn}/runtime-endpoint/prod"
    assert control.list_tags_for_resource(resourceArn=endpoint)["tags"] == {"team": "a"}
    for arn in (agent.arn, endpoint):
        control.tag_resource(resourceArn=arn, tags={"a b": "c/d", "x": ""})
        control.untag_resource(resourceArn=arn, tagKeys=["x", "team"])
        assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"a b": "c/d"}
        assert "policy" not in control.get_resource_policy(resourceArn=arn)
        statement = {"Effect": "Allow", "Principal": "*", "Action": "bedrock-agentcore:*", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=3)
        assert control.put_resource_policy(resourceArn=arn, policy=policy)["policy"] == policy
        assert control.get_resource_policy(resourceArn=arn)["policy"] == policy
        wide = policy.replace(arn, "*")
        check_code(lambda: control.put_resource_policy(resourceArn=arn, policy=wide), "ValidationException", arn)
        control.delete_resource_policy(resourceArn=arn)
        check_code(lambda: control.delete_resource_policy(resourceArn=arn), "ResourceNotFoundException")


def test_capacity_providers_are_records(server):
    control = server.control
    called = f"pool_{uuid.uuid4().hex[:8]}"
    compute = {"ec2Configuration": {
        "launchTemplateSource": {"launchParameters": {
            "operatingSystem": "LINUX_ARM64", "instanceRequirements": {"allowedInstanceTypes": ["m8g.large"]},
        }},
        "vpcConfiguration": {"subnets": ["subnet-01234567"], "securityGroups": ["sg-01234567"]},
    }}
    created = control.create_capacity_provider(
        name=called, permissionsConfiguration={"capacityProviderOperatorRoleArn": ROLE}, computeConfiguration=compute,
    )
    id, arn = created["capacityProviderId"], created["capacityProviderArn"]
    assert arn == f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:capacity-provider/{id}"
    control.update_capacity_provider(capacityProviderId=id, description={"optionalValue": "big"})
    got = control.get_capacity_provider(capacityProviderId=id)
    assert (got["status"], got["description"], got["computeConfiguration"]) == ("READY", "big", compute)
    listed = [item for page in control.get_paginator("list_capacity_providers").paginate() for item in page["capacityProviders"]]
    assert abs((listed[-1]["lastUpdatedAt"] - got["lastUpdatedAt"]).total_seconds()) < 1
    assert control.list_agent_runtime_versions_by_capacity_provider(capacityProviderId=id)["agentRuntimes"] == []
    control.delete_capacity_provider(capacityProviderId=id)
    check_code(lambda: control.get_capacity_provider(capacityProviderId=id), "ResourceNotFoundException")
