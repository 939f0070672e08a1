"""The walk over the service model: what it has must be taken and shown again, what breaks its rules refused by name, and nothing
changed by that."""

import pytest
from botocore import xform_name

from conformance import answers, rules, text
from conformance.client import client, everything, gone, provider, runtime, settled, token
from conformance.model import OPERATIONS, at, general, operation, spelt
from conformance.rules import World
from conformance.walk import broken_inputs, every_place, valid_inputs
from conformance.wire import Request, Sender, has_body, request
from harness import AGENTS, ROLE, running_server

SHOWN = 20  # complaints


@pytest.fixture(scope="module")
def server():
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def control(server):
    return client(server)


@pytest.fixture
def sender(server):
    sender = Sender(server)
    yield sender
    sender.close()


@pytest.fixture(scope="module")
def world(server, control):
    """A runtime of two versions, with an endpoint beside DEFAULT, and a capacity provider. Nothing that is refused may change them."""
    members = dict(agentRuntimeArtifact=server.artifact(AGENTS / "probe"), roleArn=ROLE)
    named = {"agentRuntimeId": runtime(control, members["agentRuntimeArtifact"], tags={"k": "v"})}
    control.update_agent_runtime(**named, **members)
    got = settled(control.get_agent_runtime, **named)
    assert got["status"] == "READY", got
    made = control.get_capacity_provider(capacityProviderId=provider(control))
    world = World(members["agentRuntimeArtifact"], got, made)
    control.create_agent_runtime_endpoint(name=world.endpoint, agentRuntimeVersion="1", **named)
    settled(control.get_agent_runtime_endpoint, endpointName=world.endpoint, **named)
    return world


def fail_with(complaints: list[str], of: int):
    if complaints:
        more = f"\n… and {len(complaints) - SHOWN} more" if len(complaints) > SHOWN else ""
        pytest.fail(f"{len(complaints)} of {of} cases:\n" + "\n".join(complaints[:SHOWN]) + more, pytrace=False)


# --- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_rule_of_the_model_is_kept_and_what_breaks_one_changes_nothing(control, sender, world, name):
    before, complaints, broken, n_cases = everything(control), [], set(), 0
    for case in broken_inputs(name, world):
        n_cases += 1
        broken.add(general(case.breaks.named))
        answer = sender.call(case.operation, case.broken)
        complaints += [f"{case}: {what}" for what in answers.check_refused_field(answer, case.breaks.named, case.also)]
    fail_with(complaints, n_cases)
    assert everything(control) == before, f"a refused {name} changed something"
    forgotten = set(every_place(operation(name).input_shape)) - broken
    assert not forgotten, f"no case breaks a rule of {sorted(forgotten)}"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if has_body(operation(name))])
def test_a_body_that_is_no_object_of_json_cannot_be_parsed(sender, world, name):
    good = request(operation(name), valid_inputs(name, world, "plain")[0])
    bodies = [b"{", b"[]", b'"x"', b"7", b"{}{}", b'{"a": \xff}', b"[" * 50_000, b"{'a': 1}", good.body[:-1], good.body + b"x"]
    complaints = [
        f"{name}: {body[:20]!r}: {what}"
        for body in bodies
        for what in answers.check_error(sender.send(Request(good.method, good.target, body)), "ValidationException", "CannotParse")
    ]
    fail_with(complaints, len(bodies))


@pytest.mark.parametrize("name", ["CreateAgentRuntime", "UpdateAgentRuntime", "PutResourcePolicy"])
def test_rules_across_members_are_kept(sender, world, name):
    valid, of_name = valid_inputs(name, world, "least")[0], [rule for rule in rules.TOGETHER if name in rule.operations]
    complaints = [
        f"{rule.members}: {what}"
        for rule in of_name
        for what in answers.check_refused_field(sender.call(operation(name), valid | rule.members), rule.place)
    ]
    fail_with(complaints, len(of_name))


# --- where Innkeep is not what the model says --------------------------------------------------------------------------


def cases_of(deviations):
    return [pytest.param(name, deviation, id=f"{name}-{spelt(deviation.place)}")
            for deviation in deviations for name in deviation.operations]


@pytest.mark.parametrize(("name", "deviation"), cases_of(rules.REFUSED))
def test_what_innkeep_refuses_and_the_model_does_not(sender, world, name, deviation):
    model, members = operation(name), valid_inputs(name, world, "least")[0] | deviation.members(world)
    assert answers.check_value(model.input_shape, members) == [], "the model refuses it too: this deviation is not needed"
    complaints = answers.check_refused_field(sender.call(model, members), deviation.place)
    assert not complaints, f"this deviation is not needed any more, or is told badly: {complaints}"


@pytest.mark.parametrize(("name", "deviation"), cases_of(rules.TAKEN))
def test_what_innkeep_takes_and_the_model_does_not(control, sender, scratch, name, deviation):
    model, members = operation(name), valid_inputs(name, scratch, "least")[0] | deviation.members(scratch)
    assert refused_by_the_model(model.input_shape, members, deviation.place), "the model takes it too: this deviation is not needed"
    answer = sender.call(model, members)
    assert answers.check_success(model, answer) == [], "this deviation is not needed any more"
    named = {"agentRuntimeId": answer.json()["agentRuntimeId"]}
    got = settled(control.get_agent_runtime, **named)
    assert at(got, deviation.place) == at(members, deviation.place)
    if name == "CreateAgentRuntime":
        control.delete_agent_runtime(**named)


def refused_by_the_model(shape, members, place) -> bool:
    """By a pattern or an enum: what alone Innkeep widens."""
    for step in place:
        shape = shape.members[step]
    value = at(members, place)
    return value not in shape.enum if shape.enum else not text.fits(shape.metadata["pattern"], value)


# --- what is taken -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scratch(world, server, control):
    """A world of its own for what changes."""
    id = runtime(control, world.artifact)
    control.create_agent_runtime_endpoint(agentRuntimeId=id, name=world.endpoint)
    settled(control.get_agent_runtime_endpoint, agentRuntimeId=id, endpointName=world.endpoint)
    return World(world.artifact, control.get_agent_runtime(agentRuntimeId=id), world.provider)


SIZES = ("least", "plain", "most")
# Members that are always shown, with what holds where nothing was asked for.
DEFAULTS = {"networkConfiguration", "protocolConfiguration", "lifecycleConfiguration", "environmentVariables", "metadataConfiguration",
            "platformVersion"}


def differences(sent, got, place="") -> list[str]:
    """What was sent and is not shown again; what is shown beside it is no difference."""
    if isinstance(sent, dict) and isinstance(got, dict):
        return [what for name, item in sent.items() for what in differences(item, got.get(name), f"{place}.{name}")]
    if isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        return [what for n, item in enumerate(sent) for what in differences(item, got[n], f"{place}[{n}]")]
    return [] if sent == got else [f"{place} was sent as {str(sent)[:100]} and is shown as {str(got)[:100]}"]


def check_shown(name: str, sent: dict, got: dict, but=frozenset()) -> list[str]:
    """Everything of an input that an output has too is shown as it was sent, and nothing that was not sent."""
    shown = operation(name).output_shape.members
    found = differences({member: value for member, value in sent.items() if member in shown}, got)
    return found + [f"{member} is shown as {got[member]} and was not sent" for member in sorted(set(got) & but - set(sent) - DEFAULTS)]


OPTIONAL = frozenset(operation("UpdateAgentRuntime").input_shape.members) - {"agentRuntimeId"}


@pytest.mark.parametrize("size", SIZES)
def test_a_runtime_is_created_with_every_member(control, world, size):
    created = []
    for members in valid_inputs("CreateAgentRuntime", world, size):
        answer = control.create_agent_runtime(**members)
        assert answer["status"] == "CREATING" and answer["agentRuntimeVersion"] == "1"
        created.append((answer, members))
    complaints = []
    for answer, members in created:
        got = settled(control.get_agent_runtime, agentRuntimeId=answer["agentRuntimeId"])
        complaints += check_made(members, got, "CREATE_FAILED") + check_shown("GetAgentRuntime", members, got, OPTIONAL)
        tags = control.list_tags_for_resource(resourceArn=answer["agentRuntimeArn"])["tags"]
        complaints += differences(members.get("tags", {}), tags, "tags")
        control.delete_agent_runtime(agentRuntimeId=answer["agentRuntimeId"], clientToken=token())
    for answer, _ in created:
        gone(control, control.get_agent_runtime, agentRuntimeId=answer["agentRuntimeId"])
    fail_with(complaints, len(created))


def check_made(members: dict, got: dict, failed: str) -> list[str]:
    """Code becomes READY; the registry that the examples name does not exist."""
    if "containerConfiguration" in members["agentRuntimeArtifact"]:
        return [] if got["status"] == failed and got["failureReason"] else [f"{got['status']} without an image"]
    return [] if got["status"] == "READY" else [f"{got['status']}: {got.get('failureReason')}"]


@pytest.mark.parametrize(("change", "words"), rules.UNMAKEABLE)
def test_what_cannot_be_made_is_taken_and_fails_with_the_reason(control, world, change, words):
    id = runtime(control, change(world)["agentRuntimeArtifact"])
    got = control.get_agent_runtime(agentRuntimeId=id)
    assert got["status"] == "CREATE_FAILED" and words in got["failureReason"], got
    assert control.get_agent_runtime_endpoint(agentRuntimeId=id, endpointName="DEFAULT")["status"] == "CREATE_FAILED"
    control.delete_agent_runtime(agentRuntimeId=id)


@pytest.mark.parametrize("size", SIZES)
def test_a_runtime_is_updated_with_every_member_and_what_is_left_out_is_reset(control, scratch, size):
    complaints, inputs, named = [], valid_inputs("UpdateAgentRuntime", scratch, size), {"agentRuntimeId": scratch.runtime["agentRuntimeId"]}
    for members in inputs:
        answer = control.update_agent_runtime(**members)
        assert answer["status"] == "UPDATING"
        got = settled(control.get_agent_runtime, **named)
        assert got["agentRuntimeVersion"] == answer["agentRuntimeVersion"]
        complaints += check_made(members, got, "UPDATE_FAILED") + check_shown("GetAgentRuntime", members, got, OPTIONAL)
    fail_with(complaints, len(inputs))


def test_a_member_that_the_model_does_not_have_is_passed_over(control, sender, scratch):
    for name in ("CreateAgentRuntime", "UpdateAgentRuntimeEndpoint", "TagResource", "CreateCapacityProvider"):
        members = valid_inputs(name, scratch, "least")[0] | {"ofANewerModel": {"x": [1]}}
        answer = sender.call(operation(name), members)
        assert answers.check_success(operation(name), answer) == []


@pytest.mark.parametrize("size", SIZES)
def test_an_endpoint_is_created_and_updated_with_every_member(control, scratch, size):
    [members] = valid_inputs("CreateAgentRuntimeEndpoint", scratch, size)
    created = control.create_agent_runtime_endpoint(**members)
    named = {"agentRuntimeId": members["agentRuntimeId"], "endpointName": members["name"]}
    got = settled(control.get_agent_runtime_endpoint, **named)
    newest = control.get_agent_runtime(agentRuntimeId=members["agentRuntimeId"])["agentRuntimeVersion"]
    assert got["status"] == "READY" and got["liveVersion"] == members.get("agentRuntimeVersion", newest), got
    assert check_shown("GetAgentRuntimeEndpoint", members, got, frozenset({"description"})) == []
    assert control.list_tags_for_resource(resourceArn=created["agentRuntimeEndpointArn"])["tags"] == members.get("tags", {})

    [members] = valid_inputs("UpdateAgentRuntimeEndpoint", scratch, size)
    control.update_agent_runtime_endpoint(**members | named)
    got = settled(control.get_agent_runtime_endpoint, **named)
    assert got["status"] == "READY" and got["liveVersion"] == members.get("agentRuntimeVersion", got["liveVersion"]), got
    assert check_shown("GetAgentRuntimeEndpoint", members | named, got) == []
    deleted = control.delete_agent_runtime_endpoint(**named)
    assert deleted["status"] == "DELETING"
    gone(control, control.get_agent_runtime_endpoint, **named)


@pytest.mark.parametrize("size", SIZES)
def test_tags_are_laid_on_and_taken_off(control, scratch, size):
    endpoint = control.get_agent_runtime_endpoint(agentRuntimeId=scratch.runtime["agentRuntimeId"], endpointName=scratch.endpoint)
    [laid_on], [taken_off] = valid_inputs("TagResource", scratch, size), valid_inputs("UntagResource", scratch, size)
    for arn in (scratch.arn, endpoint["agentRuntimeEndpointArn"], scratch.provider["capacityProviderArn"]):
        before = control.list_tags_for_resource(resourceArn=arn)["tags"]
        control.tag_resource(resourceArn=arn, tags=laid_on["tags"])
        assert control.list_tags_for_resource(resourceArn=arn)["tags"] == before | laid_on["tags"]
        control.untag_resource(resourceArn=arn, tagKeys=[*laid_on["tags"], *taken_off["tagKeys"]])
        assert control.list_tags_for_resource(resourceArn=arn)["tags"] == before


@pytest.mark.parametrize("size", SIZES)
def test_a_policy_is_put_shown_replaced_and_deleted(control, scratch, size):
    [members] = valid_inputs("PutResourcePolicy", scratch, size)
    policy, named = members["policy"], {"resourceArn": scratch.arn}
    assert control.put_resource_policy(**members)["policy"] == policy
    assert control.get_resource_policy(**named)["policy"] == policy
    control.put_resource_policy(**named, policy=(other := policy.replace("Walk", "Other").rstrip()))
    assert control.get_resource_policy(**named)["policy"] == other
    control.delete_resource_policy(**named)
    assert "policy" not in control.get_resource_policy(**named)
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.delete_resource_policy(**named)


@pytest.mark.parametrize("size", SIZES)
def test_a_capacity_provider_is_created_with_every_member(control, world, size):
    complaints = []
    for members in (inputs := valid_inputs("CreateCapacityProvider", world, size)):
        named = {"capacityProviderId": control.create_capacity_provider(**members)["capacityProviderId"]}
        got = settled(control.get_capacity_provider, **named)
        complaints += check_shown("GetCapacityProvider", members, got, frozenset({"description"}))
        assert got["status"] == "READY"
        tags = control.list_tags_for_resource(resourceArn=got["capacityProviderArn"])["tags"]
        complaints += differences(members.get("tags", {}), tags, "tags")
        for change in valid_inputs("UpdateCapacityProvider", world, size):
            control.update_capacity_provider(**change | named)
            described = change.get("description", {"optionalValue": got.get("description")}).get("optionalValue")
            assert settled(control.get_capacity_provider, **named).get("description") == described
        assert control.list_agent_runtime_versions_by_capacity_provider(**named)["agentRuntimes"] == []
        control.delete_capacity_provider(**named)
        gone(control, control.get_capacity_provider, **named)
    fail_with(complaints, len(inputs))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.startswith(("Get", "List"))])
def test_what_is_read_is_of_the_model(control, world, name, size):
    for members in valid_inputs(name, world, size):
        members.pop("nextToken", None)
        getattr(control, xform_name(name))(**members)


# --- nothing was forgotten ---------------------------------------------------------------------------------------------


def test_every_operation_was_answered_as_the_model_has_it(control):
    assert set(control.answered) == set(OPERATIONS)
