"""An unmodified boto3 client whose every answer is checked against the model, before boto3 makes of it what it will."""

import uuid
from collections import Counter

import pytest
from botocore.exceptions import ClientError

from conformance import answers
from conformance.model import SERVICE_NAME, operation
from conformance.rules import new_name
from harness import ROLE, Answer, wait_for

# Answers that the model does not have for an operation. They are what AWS answers there too, as its other operations do.
UNMODELLED = {
    ("DeleteAgentRuntime", "ValidationException"), ("DeleteAgentRuntimeEndpoint", "ValidationException"),
    ("ListAgentRuntimeEndpoints", "ResourceNotFoundException"),
}
UNSETTLED = ("CREATING", "UPDATING", "DELETING")


def client(server):
    """`answered` of it counts the answers that were no errors, by operation."""
    made, answered = server.client(SERVICE_NAME), Counter()

    def check(response_dict=None, event_name="", **_):
        if response_dict is None:
            return  # no answer at all, which boto3 reports
        model = operation(event_name.rpartition(".")[2])
        complaints = complaints_of(model, Answer(response_dict["status_code"], response_dict["headers"], response_dict["body"]))
        assert not complaints, (model.name, complaints)
        answered[model.name] += response_dict["status_code"] < 300

    made.meta.events.register(f"response-received.{SERVICE_NAME}", check)
    made.answered = answered
    return made


def complaints_of(model, answer: Answer) -> list[str]:
    """Any answer that the model has."""
    code = answer.headers.get("x-amzn-ErrorType")
    if code is None:
        return answers.check_success(model, answer)
    if code not in [shape.name for shape in model.error_shapes] and (model.name, code) not in UNMODELLED:
        return [f"{code}, which the model does not have for it: {answer.body[:500]!r}"]
    return answers.check_error(answer, code, answer.json().get("reason"))


def token() -> str:
    return str(uuid.uuid4())


def settled(get, **named) -> dict:
    """Waits until what `get` returns is no longer being changed."""

    def look():
        found = get(**named)
        return found if found["status"] not in UNSETTLED else None

    return wait_for(f"{named} to settle", look, 60)


def gone(control, get, **named):
    """Waits until `get` no longer finds it."""

    def look():
        try:
            get(**named)
        except control.exceptions.ResourceNotFoundException:
            return True
        return False

    wait_for(f"{named} to be gone", look, 60)


def everything(control) -> dict:
    """All that the lists show, for a comparison with later; times and all."""

    def every(name, key, **named):
        pages = control.get_paginator(name).paginate(**named)
        return [item for page in pages for item in page[key]]

    runtimes = every("list_agent_runtimes", "agentRuntimes")
    ids = [runtime["agentRuntimeId"] for runtime in runtimes]
    return {
        "runtimes": runtimes,
        "versions": {id: every("list_agent_runtime_versions", "agentRuntimes", agentRuntimeId=id) for id in ids},
        "endpoints": {id: every("list_agent_runtime_endpoints", "runtimeEndpoints", agentRuntimeId=id) for id in ids},
        "tags": {arn: control.list_tags_for_resource(resourceArn=arn)["tags"] for arn in (r["agentRuntimeArn"] for r in runtimes)},
        "policies": {r["agentRuntimeArn"]: control.get_resource_policy(resourceArn=r["agentRuntimeArn"]).get("policy") for r in runtimes},
        "capacity providers": every("list_capacity_providers", "capacityProviders"),
    }


# --- what tests make ---------------------------------------------------------------------------------------------------

COMPUTE = {
    "ec2Configuration": {
        "launchTemplateSource": {
            "launchParameters": {
                "operatingSystem": "LINUX_X86_64", "instanceRequirements": {"allowedInstanceTypes": ["m8i.large"]},
            }
        },
        "vpcConfiguration": {"subnets": ["subnet-00000000"], "securityGroups": ["sg-00000000"]},
    }
}
PERMISSIONS = {"capacityProviderOperatorRoleArn": ROLE}
# Becomes CREATE_FAILED at once, as nothing listens there.
NO_IMAGE = {"containerConfiguration": {"containerUri": "127.0.0.1:1/a:b"}}


def runtime(control, artifact, wait=True, **members) -> str:
    made = control.create_agent_runtime(agentRuntimeName=new_name(), agentRuntimeArtifact=artifact, roleArn=ROLE, **members)
    if wait:
        settled(control.get_agent_runtime, agentRuntimeId=made["agentRuntimeId"])
    return made["agentRuntimeId"]


def provider(control) -> str:
    made = control.create_capacity_provider(name=new_name(), permissionsConfiguration=PERMISSIONS, computeConfiguration=COMPUTE)
    settled(control.get_capacity_provider, capacityProviderId=made["capacityProviderId"])
    return made["capacityProviderId"]


def refused(call, code: str, **members) -> dict:
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["Error"]["Code"] == code, caught.value.response
    return caught.value.response
