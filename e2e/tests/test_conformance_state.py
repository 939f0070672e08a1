"""What depends on what is there: conflicts, what is gone, repeated calls, pages while others write, quotas. Every answer is checked."""

import random
import string
import subprocess
import threading
from contextlib import contextmanager

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from conformance.client import COMPUTE, NO_IMAGE, PERMISSIONS, client, gone, provider, refused, runtime, settled, token
from conformance.model import CLIENT_TOKEN, OPERATIONS, operation
from conformance.rules import World, new_name
from conformance.walk import valid_inputs
from harness import AGENTS, ROLE, binary, environment, running_server

@pytest.fixture(scope="module")
def server():
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def control(server):
    return client(server)


@pytest.fixture(scope="module")
def artifact(server):
    return server.artifact(AGENTS / "probe")


# --- in progress -------------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_what_is_being_made_is_not_changed(control, artifact, tmp_path):
    (hold := tmp_path / "hold").touch()
    slow = {"environmentVariables": {"PROBE_HOLD": str(hold)}}
    members = {"agentRuntimeId": runtime(control, artifact, wait=False, **slow), "agentRuntimeArtifact": artifact, "roleArn": ROLE}
    named = {"agentRuntimeId": members["agentRuntimeId"]}
    for status in ("CREATING", "UPDATING"):
        assert control.get_agent_runtime(**named)["status"] == status
        refused(control.update_agent_runtime, "ConflictException", **members)
        refused(control.delete_agent_runtime, "ConflictException", **named)
        refused(control.create_agent_runtime, "ConflictException", agentRuntimeArtifact=artifact, roleArn=ROLE,
                agentRuntimeName=control.get_agent_runtime(**named)["agentRuntimeName"])
        hold.unlink()
        assert settled(control.get_agent_runtime, **named)["status"] == "READY"
        if status == "CREATING":
            hold.touch()
            control.update_agent_runtime(**members, **slow)
    control.delete_agent_runtime(**named)
    gone(control, control.get_agent_runtime, **named)


# --- not there ---------------------------------------------------------------------------------------------------------


def test_what_is_gone_or_never_was_is_not_found_by_any_operation(control, artifact):
    id, provider_id = runtime(control, NO_IMAGE), provider(control)
    got = control.get_agent_runtime(agentRuntimeId=id)
    world = World(artifact, got, control.get_capacity_provider(capacityProviderId=provider_id))
    control.delete_agent_runtime(agentRuntimeId=id)
    gone(control, control.get_agent_runtime, agentRuntimeId=id)
    control.delete_capacity_provider(capacityProviderId=provider_id)
    gone(control, control.get_capacity_provider, capacityProviderId=provider_id)
    assert id not in [item["agentRuntimeId"] for item in every_page(control, "list_agent_runtimes", {}, 100)]
    naming = {"agentRuntimeId", "resourceArn", "capacityProviderId"}
    for name in OPERATIONS:
        if naming & set(operation(name).input_shape.members):
            members = valid_inputs(name, world, "least")[0]
            call = getattr(control, xform_name(name))
            if name == "ListAgentRuntimeVersionsByCapacityProvider":  # its model has no such error
                assert call(**members)["agentRuntimes"] == []
            else:
                refused(call, "ResourceNotFoundException", **members)

    here = {"agentRuntimeId": runtime(control, NO_IMAGE)}
    arn = control.get_agent_runtime(**here)["agentRuntimeArn"]
    nothing = [
        (control.get_agent_runtime, here | {"agentRuntimeVersion": "99999"}),
        (control.delete_agent_runtime, here | {"agentRuntimeVersion": "99999"}),
        (control.get_agent_runtime_endpoint, here | {"endpointName": "none"}),
        (control.update_agent_runtime_endpoint, here | {"endpointName": "none"}),
        (control.delete_agent_runtime_endpoint, here | {"endpointName": "none"}),
        (control.create_agent_runtime_endpoint, here | {"name": "one", "agentRuntimeVersion": "99999"}),
        (control.list_tags_for_resource, {"resourceArn": arn + "/runtime-endpoint/none"}),
        (control.get_resource_policy, {"resourceArn": arn + "/runtime-endpoint/none"}),
        (control.get_resource_policy, {"resourceArn": arn.replace(":runtime/", ":memory/")}),
    ]
    for call, members in nothing:
        refused(call, "ResourceNotFoundException", **members)
    control.delete_agent_runtime(**here)


def test_resources_of_other_accounts_and_regions_are_not_found(control):
    id = runtime(control, NO_IMAGE)
    arn = control.get_agent_runtime(agentRuntimeId=id)["agentRuntimeArn"]
    for foreign in (arn.replace(":000000000000:", ":111111111111:"), arn.replace("us-west-2", "eu-west-1")):
        for call in (control.list_tags_for_resource, control.get_resource_policy):
            refused(call, "ResourceNotFoundException", resourceArn=foreign)
    control.delete_agent_runtime(agentRuntimeId=id)


# --- repeated ----------------------------------------------------------------------------------------------------------


def idempotent(control, artifact):
    """For each operation with a token: a call, and what to change so that it asks for something else."""
    id, provider_id = runtime(control, artifact), provider(control)
    named, endpoint = {"agentRuntimeId": id}, {"agentRuntimeId": id, "endpointName": "one"}
    update = {"agentRuntimeArtifact": artifact, "roleArn": ROLE}
    provider_members = {"name": new_name(), "permissionsConfiguration": PERMISSIONS, "computeConfiguration": COMPUTE}
    described = {"description": "of another call"}
    yield "CreateAgentRuntime", {"agentRuntimeName": new_name()} | update, described
    yield "UpdateAgentRuntime", named | update, described
    settled(control.get_agent_runtime, **named)
    yield "CreateAgentRuntimeEndpoint", named | {"name": "one"}, described
    settled(control.get_agent_runtime_endpoint, **endpoint)
    yield "UpdateAgentRuntimeEndpoint", endpoint | {"agentRuntimeVersion": "1"}, {"agentRuntimeVersion": "2"}
    settled(control.get_agent_runtime_endpoint, **endpoint)
    yield "DeleteAgentRuntimeEndpoint", endpoint, None
    gone(control, control.get_agent_runtime_endpoint, **endpoint)
    yield "DeleteAgentRuntime", named, None
    yield "CreateCapacityProvider", provider_members, described
    yield "UpdateCapacityProvider", {"capacityProviderId": provider_id}, {"description": {"optionalValue": "of another call"}}
    settled(control.get_capacity_provider, capacityProviderId=provider_id)
    yield "DeleteCapacityProvider", {"capacityProviderId": provider_id}, None


def test_a_call_that_is_repeated_with_its_token_is_answered_as_before(control, artifact):
    seen = set()
    for name, members, change in idempotent(control, artifact):
        call, seen = getattr(control, xform_name(name)), seen | {name}
        members = members | {CLIENT_TOKEN: token()}
        first = without_metadata(call(**members))
        assert without_metadata(call(**members)) == first, name
        if change is not None:
            response = refused(call, "ValidationException", **members | change)
            assert response["reason"] == "IdempotentParameterMismatchException", (name, response)
        if get := getter(control, name, first | members):
            try:
                settled(get)
            except control.exceptions.ResourceNotFoundException:
                pass  # deleted
            # What became of it meanwhile does not change the answer.
            assert without_metadata(call(**members)) == first, name
    assert seen == {name for name in OPERATIONS if CLIENT_TOKEN in operation(name).input_shape.members}


def getter(control, name: str, members: dict):
    if "CapacityProvider" in name:
        return lambda: control.get_capacity_provider(capacityProviderId=members["capacityProviderId"])
    if "Endpoint" in name:
        endpoint = {"agentRuntimeId": members["agentRuntimeId"], "endpointName": members.get("name", "one")}
        return lambda: control.get_agent_runtime_endpoint(**endpoint)
    return lambda: control.get_agent_runtime(agentRuntimeId=members["agentRuntimeId"])


def without_metadata(answer: dict) -> dict:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_a_token_is_of_one_operation_and_one_resource(control, artifact):
    """Clients make tokens for one call; one that comes again for another resource must not be answered for the first."""
    one, other, same = runtime(control, NO_IMAGE), runtime(control, NO_IMAGE), token()
    control.delete_agent_runtime(agentRuntimeId=one, clientToken=same)
    try:
        control.delete_agent_runtime(agentRuntimeId=other, clientToken=same)
    except ClientError as error:
        assert error.response["reason"] == "IdempotentParameterMismatchException"
        control.delete_agent_runtime(agentRuntimeId=other)
    gone(control, control.get_agent_runtime, agentRuntimeId=other)


def test_calls_at_the_same_time_with_one_token_create_once(control):
    members = {"agentRuntimeName": new_name(), "agentRuntimeArtifact": NO_IMAGE, "roleArn": ROLE, CLIENT_TOKEN: token()}
    start, arns = threading.Barrier(8), []

    def create():
        start.wait()
        arns.append(control.create_agent_runtime(**members)["agentRuntimeArn"])

    with running([create] * 8):
        pass
    assert len(arns) == 8 and len(set(arns)) == 1


@contextmanager
def running(functions):
    """Runs functions beside what the block does; what one of them raises is raised at the end."""
    failures = []

    def guarded(function):
        try:
            function()
        except BaseException as failure:  # asserts, too
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


# --- pages -------------------------------------------------------------------------------------------------------------

LISTS = {
    "list_agent_runtimes": ("agentRuntimes", "agentRuntimeId"),
    "list_agent_runtime_versions": ("agentRuntimes", "agentRuntimeVersion"),
    "list_agent_runtime_endpoints": ("runtimeEndpoints", "name"),
    "list_capacity_providers": ("capacityProviders", "capacityProviderId"),
}


def every_page(control, call: str, named: dict, size: int) -> list[dict]:
    key, _ = LISTS[call]
    items, members = [], named | {"maxResults": size}
    while True:
        page = getattr(control, call)(**members)
        assert len(page[key]) <= size
        items += page[key]
        if "nextToken" not in page:
            return items
        assert len(page[key]) == size, "a page before the last is full"
        members["nextToken"] = page["nextToken"]


@pytest.fixture(scope="module")
def many(control, artifact):
    """Of each list more than three items that stay: what to name for each list."""
    id = runtime(control, artifact)
    named = {"agentRuntimeId": id}
    for _ in range(4):
        control.update_agent_runtime(**named, agentRuntimeArtifact=artifact, roleArn=ROLE)
        settled(control.get_agent_runtime, **named)
    for n in range(4):
        control.create_agent_runtime_endpoint(**named, name=f"stays_{n}")
    for _ in range(4):
        runtime(control, NO_IMAGE)
        provider(control)
    return {"list_agent_runtimes": {}, "list_agent_runtime_versions": named, "list_agent_runtime_endpoints": named,
            "list_capacity_providers": {}}


def writer(control, call: str, named: dict, done: threading.Event):
    """Creates and deletes items of a list until `done`."""

    def write():
        while not done.is_set():
            if call == "list_agent_runtimes":
                control.delete_agent_runtime(agentRuntimeId=runtime(control, NO_IMAGE))
            elif call == "list_agent_runtime_endpoints":
                endpoint = named | {"endpointName": f"{random.choice(string.ascii_letters)}{new_name()}"}
                control.create_agent_runtime_endpoint(**named, name=endpoint["endpointName"])
                settled(control.get_agent_runtime_endpoint, **endpoint)
                control.delete_agent_runtime_endpoint(**endpoint)
                gone(control, control.get_agent_runtime_endpoint, **endpoint)
            elif call == "list_capacity_providers":
                control.delete_capacity_provider(capacityProviderId=provider(control))

    return write


@pytest.mark.parametrize("call", LISTS)
def test_pages_show_all_that_stays_once_while_others_write(control, many, call):
    _, identity = LISTS[call]
    ids = lambda size: [item[identity] for item in every_page(control, call, many[call], size)]
    stay, done, missed = set(ids(100)), threading.Event(), []
    assert len(stay) >= 4
    with running([writer(control, call, many[call], done)] * 2):
        try:
            for size in [1, 2, 3] * 4:
                seen = ids(size)
                missed += stay - set(seen)
                assert len(seen) == len(set(seen)), f"twice on pages of {size}: {seen}"
        finally:
            done.set()
    assert not missed, f"not on any page: {missed}"


@pytest.mark.parametrize("call", LISTS)
def test_only_what_a_page_of_the_same_list_gave_opens_the_next(control, many, call):
    page = getattr(control, call)
    good = page(**many[call], maxResults=1)["nextToken"]
    assert page(**many[call], maxResults=1, nextToken=good)
    bad = {good + "x", "x" + good, good[:-1], good.swapcase(), "x", "0", "." * 2048}
    bad |= {good[:n] + ("A" if good[n] != "A" else "B") + good[n + 1 :] for n in range(0, len(good), 7)}
    bad |= {getattr(control, other)(**many[other], maxResults=1)["nextToken"] for other in LISTS if other != call}
    if many[call]:
        elsewhere = runtime(control, NO_IMAGE)
        refused(page, "ValidationException", agentRuntimeId=elsewhere, maxResults=1, nextToken=good)
    for nextToken in bad - {good}:
        response = refused(page, "ValidationException", **many[call], maxResults=1, nextToken=nextToken)
        assert [field["name"] for field in response["fieldList"]] == ["nextToken"], response


def test_a_token_of_another_server_is_refused(control, many):
    foreign = control.list_agent_runtimes(maxResults=1)["nextToken"]
    with running_server() as other:
        elsewhere = client(other)
        for _ in range(2):
            runtime(elsewhere, NO_IMAGE)
        refused(elsewhere.list_agent_runtimes, "ValidationException", maxResults=1, nextToken=foreign)


# --- quotas ------------------------------------------------------------------------------------------------------------


def test_quotas_are_kept_and_told_apart_from_errors_of_the_input():
    known = subprocess.run([binary(), "serve", "--print-config"], capture_output=True, text=True, env=environment(), check=False).stdout
    if "max_runtimes" not in known:
        pytest.skip("this server has no settings for quotas")
    with running_server(max_runtimes=2, max_versions=2, max_endpoints=2) as server:
        control, artifact = client(server), server.artifact(AGENTS / "probe")
        named = {"agentRuntimeId": runtime(control, artifact)}
        other = runtime(control, artifact)
        update = named | {"agentRuntimeArtifact": artifact, "roleArn": ROLE}
        refused(control.create_agent_runtime, "ServiceQuotaExceededException", agentRuntimeName=new_name(), agentRuntimeArtifact=artifact,
                roleArn=ROLE)
        control.update_agent_runtime(**update)
        settled(control.get_agent_runtime, **named)
        refused(control.update_agent_runtime, "ServiceQuotaExceededException", **update)
        # DEFAULT is one of the two.
        control.create_agent_runtime_endpoint(**named, name="one")
        refused(control.create_agent_runtime_endpoint, "ServiceQuotaExceededException", **named, name="two")
        # What is deleted makes room.
        control.delete_agent_runtime(agentRuntimeId=other)
        gone(control, control.get_agent_runtime, agentRuntimeId=other)
        runtime(control, artifact)
