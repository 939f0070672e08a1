"""Who may do what: keys with ready-made policies and with their own, policies of resources, through unmodified boto3."""

import json
import uuid

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from harness import ACCOUNT, AGENTS, REGION, new_session

BODY = b'{"do": "facts"}'


class Caller:
    """A key of its own, and clients that sign with it."""

    def __init__(self, server, *policies):
        self.name = f"caller-{uuid.uuid4().hex[:8]}"
        self.arn = f"arn:aws:iam::{ACCOUNT}:user/{self.name}"
        body = {"name": self.name, "policies": [p if isinstance(p, str) else json.dumps(p) for p in policies]}
        answer = server.request("POST", "/innkeep/v1/keys", json.dumps(body).encode())
        assert answer.status == 201, answer
        made = answer.json()
        self.key = Credentials(made["accessKeyId"], made["secretAccessKey"])
        self.server = server
        self.data = server.client("bedrock-agentcore", self.key)
        self.control = server.client("bedrock-agentcore-control", self.key)


def allow(action, resource="*", **more):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource, **more}]}


def refusal(call):
    """Returns the message of an AccessDeniedException; "" if the call was let through, whatever became of it then."""
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
            return error.response["Error"]["Message"]
    return ""


UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def socket(caller, probe, presigned=False, path="/ws", **headers):
    """Asks for a WebSocket, which no AWS SDK does, and fails as one would; a probe that lets the caller in speaks none."""
    target, headers, sign = probe.path.replace("/invocations", path), UPGRADE | headers, not presigned
    if presigned:
        request = AWSRequest("GET", caller.server.url + target)
        SigV4QueryAuth(caller.key, "bedrock-agentcore", REGION, expires=60).add_auth(request)
        target = request.url.removeprefix(caller.server.url)
    signing = {"key": caller.key} if sign else {}
    answer = caller.server.request("GET", target, headers=headers, sign=sign, **signing)
    error = {"Code": answer.headers["x-amzn-errortype"], "Message": answer.json()["message"]}
    raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": answer.status}}, "Socket")


def calls(caller, probe):
    """Everything that ready-made policies tell apart; nothing that is let through changes `probe`."""
    control, data, arn, runtime = caller.control, caller.data, probe.arn, probe.id
    # Refused, once they are looked at.
    bad = {"agentRuntimeArtifact": {"containerConfiguration": {"containerUri": "x"}}, "roleArn": "none"}
    user, endpoint = {"runtimeUserId": "somebody"}, {"agentRuntimeId": runtime, "endpointName": "none"}
    provider = {"capacityProviderId": "none-0123456789"}
    nowhere = {"subnets": ["none"], "securityGroups": ["none"]}
    machines = {"operatingSystem": "LINUX_ARM64", "instanceRequirements": {"allowedInstanceTypes": ["none"]}}
    compute = {"ec2Configuration": {"launchTemplateSource": {"launchParameters": machines}, "vpcConfiguration": nowhere}}
    permissions = {"capacityProviderOperatorRoleArn": "none"}
    return {
        "invoke": lambda: data.invoke_agent_runtime(agentRuntimeArn=arn, payload=BODY, runtimeSessionId=new_session()),
        "invoke for a user": lambda: data.invoke_agent_runtime(
            agentRuntimeArn=arn, payload=BODY, runtimeSessionId=new_session(), **user,
        ),
        "stop": lambda: data.stop_runtime_session(agentRuntimeArn=arn, runtimeSessionId=new_session()),
        "socket": lambda: socket(caller, probe),
        "socket by a URL": lambda: socket(caller, probe, presigned=True),
        "socket for a user": lambda: socket(caller, probe, **{"X-Amzn-Bedrock-AgentCore-Runtime-User-Id": "somebody"}),
        # Of an agent that speaks no A2A, which is told to those who may ask.
        "card": lambda: data.get_agent_card(agentRuntimeArn=arn, runtimeSessionId=new_session()),
        "command": lambda: data.invoke_agent_runtime_command(
            agentRuntimeArn=arn, runtimeSessionId=new_session(), body={"command": "true"},
        ),
        "terminal": lambda: socket(caller, probe, path="/ws/shells?command=nonexistent"),
        "terminal by a URL": lambda: socket(caller, probe, presigned=True, path="/ws/shells?command=nonexistent"),
        "get": lambda: control.get_agent_runtime(agentRuntimeId=runtime),
        "list": control.list_agent_runtimes,
        "list versions": lambda: control.list_agent_runtime_versions(agentRuntimeId=runtime),
        "get endpoint": lambda: control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="DEFAULT"),
        "list endpoints": lambda: control.list_agent_runtime_endpoints(agentRuntimeId=runtime),
        "list providers": control.list_capacity_providers,
        "get provider": lambda: control.get_capacity_provider(**provider),
        "list versions of a provider": lambda: control.list_agent_runtime_versions_by_capacity_provider(**provider),
        "get policy": lambda: control.get_resource_policy(resourceArn=arn),
        "list tags": lambda: control.list_tags_for_resource(resourceArn=arn),
        "create": lambda: control.create_agent_runtime(agentRuntimeName="no-name", **bad),
        "update": lambda: control.update_agent_runtime(agentRuntimeId=runtime, **bad),
        "delete": lambda: control.delete_agent_runtime(agentRuntimeId="none-0123456789"),
        "create endpoint": lambda: control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name="no-name"),
        "update endpoint": lambda: control.update_agent_runtime_endpoint(**endpoint),
        "delete endpoint": lambda: control.delete_agent_runtime_endpoint(**endpoint),
        "tag": lambda: control.tag_resource(resourceArn=arn, tags={"a*": "b"}),
        "untag": lambda: control.untag_resource(resourceArn=arn, tagKeys=["none"]),
        "put policy": lambda: control.put_resource_policy(resourceArn=arn, policy="{}"),
        "delete policy": lambda: control.delete_resource_policy(resourceArn=f"{arn}/runtime-endpoint/none"),
        "create provider": lambda: control.create_capacity_provider(
            name="none", permissionsConfiguration=permissions, computeConfiguration=compute,
        ),
        "update provider": lambda: control.update_capacity_provider(**provider),
        "delete provider": lambda: control.delete_capacity_provider(**provider),
    }


INVOKE = {"invoke", "stop", "socket", "socket by a URL", "card"}
LOOK = {
    "get", "list", "list versions", "get endpoint", "list endpoints", "get policy", "list tags", "list providers", "get provider",
    "list versions of a provider",
}
DEPLOY = {"create", "update", "delete", "create endpoint", "update endpoint", "delete endpoint", "tag", "untag"}
ADMIN = {
    "put policy", "delete policy", "create provider", "update provider", "delete provider", "invoke for a user", "socket for a user",
    "command", "terminal", "terminal by a URL",
}

SOCKET = "InvokeAgentRuntimeWithWebSocketStream"
# The data plane: what each way in takes.
DOORS = {
    "invoke": ["InvokeAgentRuntime"],
    "invoke for a user": ["InvokeAgentRuntime", "InvokeAgentRuntimeForUser"],
    "stop": ["StopRuntimeSession"],
    "socket": [SOCKET],
    "socket by a URL": [SOCKET],
    "socket for a user": [SOCKET, f"{SOCKET}ForUser"],
    "card": ["GetAgentCard"],
    "command": ["InvokeAgentRuntimeCommand"],
    "terminal": ["InvokeAgentRuntimeCommandShell"],
    "terminal by a URL": ["InvokeAgentRuntimeCommandShell"],
}


@pytest.mark.parametrize("policy, may", [
    ("admin", INVOKE | LOOK | DEPLOY | ADMIN), ("deployer", INVOKE | LOOK | DEPLOY), ("invoker", INVOKE), ("read-only", LOOK),
])
def test_ready_made_policies_do_what_they_say(probe, policy, may):
    caller = Caller(probe.server, policy)
    refused = {name: refusal(call) for name, call in calls(caller, probe).items()}
    assert {name for name, message in refused.items() if not message} == may, refused
    for message in filter(None, refused.values()):
        assert message.startswith(f"User: {caller.arn} is not authorized to perform: bedrock-agentcore:"), message
    assert caller.server.request("GET", "/innkeep/v1/sessions", key=caller.key).status == 403, "the operator API is not theirs"


@pytest.mark.parametrize("door", [door for door in DOORS if not door.endswith("by a URL")])
def test_a_door_opens_with_its_own_actions_and_with_no_others(probe, door):
    actions = [f"bedrock-agentcore:{action}" for action in DOORS[door]]
    caller = Caller(probe.server, allow(actions, f"{probe.arn}*"))
    for name, call in calls(caller, probe).items():
        is_open = name in DOORS and set(DOORS[name]) <= set(DOORS[door])
        assert (not refusal(call)) == is_open, name

    document = allow("*")
    document["Statement"].append({"Effect": "Deny", "Action": actions[-1], "Resource": "*"})
    denied = Caller(probe.server, document)
    for name, call in calls(denied, probe).items():
        if name in DOORS:
            message = refusal(call)
            is_shut = DOORS[door][-1] in DOORS[name]
            assert ("with an explicit deny in an identity-based policy" in message) == bool(message) == is_shut, (name, message)


def test_a_caller_without_a_policy_may_nothing(probe):
    caller = Caller(probe.server)
    for name, call in calls(caller, probe).items():
        assert "because no identity-based policy allows" in refusal(call), name


def test_a_policy_for_one_runtime_is_for_no_other(server, probe):
    other = server.deploy(AGENTS / "probe")
    one = Caller(server, allow("bedrock-agentcore:InvokeAgentRuntime", f"{probe.arn}*"))
    assert not refusal(calls(one, probe)["invoke"])
    assert f"on resource: {other.arn} because" in refusal(calls(one, other)["invoke"])
    runtime_only = Caller(server, allow("bedrock-agentcore:InvokeAgentRuntime", probe.arn))
    assert f"on resource: {probe.arn}/runtime-endpoint/DEFAULT because" in refusal(calls(runtime_only, probe)["invoke"])


def test_conditions_are_about_the_request(probe):
    local = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}, "Bool": {"aws:SecureTransport": "false"}}
    for condition, may in [
        (local, True),
        ({"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1"]}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
        ({"StringLike": {"aws:username": "caller-*"}}, True),
    ]:
        caller = Caller(probe.server, allow("*", Condition=condition))
        assert (not refusal(calls(caller, probe)["invoke"])) == may, condition
        assert (not refusal(calls(caller, probe)["get"])) == may, condition


def test_a_resource_policy_opens_and_shuts_from_the_next_request_on(server):
    agent = server.deploy(AGENTS / "probe")
    caller, control = Caller(server), server.control
    invoke = calls(caller, agent)["invoke"]
    resources = [agent.arn, f"{agent.arn}/runtime-endpoint/DEFAULT"]

    def put(arn, effect, principal):
        statement = {"Effect": effect, "Principal": principal, "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": arn}
        control.put_resource_policy(resourceArn=arn, policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    for arn in resources:
        assert refusal(invoke), "both must allow"
        put(arn, "Allow", {"AWS": caller.arn})
    assert not refusal(invoke)
    assert refusal(calls(Caller(server), agent)["invoke"]), "it is for one caller alone"
    put(resources[1], "Deny", "*")
    assert "with an explicit deny in a resource-based policy" in refusal(invoke)
    assert refusal(lambda: agent.ask({"do": "facts"}, new_session())), "an explicit deny is for the root key too"
    control.delete_resource_policy(resourceArn=resources[1])
    assert refusal(invoke)
    agent.ask({"do": "facts"}, new_session())


@pytest.mark.parametrize("change, place", [
    ({"Efect": "Allow"}, "policy.Statement[0].Efect"),
    ({"Action": "bedrock-agentcore:InvokeAgentRuntme"}, "policy.Statement[0].Action"),
    ({"NotPrincipal": "*"}, "policy.Statement[0].NotPrincipal"),
    ({"Resource": "*"}, "policy.Statement[0].Resource"),
    ({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}, "policy.Statement[0].Condition.StringEquals.aws:SourceVpc"),
])
def test_a_resource_policy_that_is_not_understood_is_refused_with_its_place(probe, change, place):
    statement = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": probe.arn} | change
    with pytest.raises(ClientError) as caught:
        probe.server.control.put_resource_policy(resourceArn=probe.arn, policy=json.dumps({"Statement": [statement]}))
    error = caught.value.response
    assert error["Error"]["Code"] == "ValidationException"
    assert [field["name"] for field in error["fieldList"]] == [place]
    assert "policy" not in probe.server.control.get_resource_policy(resourceArn=probe.arn)


def test_what_does_not_exist_is_refused_like_what_does(probe):
    caller = Caller(probe.server, "read-only")
    absent = f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/absent-0123456789"
    invoke = lambda arn: caller.data.invoke_agent_runtime(agentRuntimeArn=arn, payload=BODY)  # noqa: E731
    assert refusal(lambda: invoke(absent)) == refusal(lambda: invoke(probe.arn)).replace(probe.arn, absent)
