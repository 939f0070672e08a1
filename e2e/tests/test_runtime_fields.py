"""Every member of a runtime: shown as it was given, and what acts on it."""

import json
import random
import socket
import uuid

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, ROLE, new_session

CONTRACTS = AGENTS / "contracts"
MISMATCH = (
    "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. "
    "Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)"
)
AUTHORIZER = {"customJWTAuthorizer": {
    "discoveryUrl": "https://idp.example/.well-known/openid-configuration", "allowedClients": ["client"],
}}
PORTS = {"HTTP": 8080, "MCP": 8000, "A2A": 9000, "AGUI": 8080}
PATHS = {"HTTP": "/invocations", "MCP": "/mcp", "A2A": "/", "AGUI": "/invocations"}


def operator_view(server, agent_id) -> dict:
    runtimes = server.request("GET", "/innkeep/v1/runtimes").json()["runtimes"]
    return next(runtime for runtime in runtimes if runtime["id"] == agent_id)


def test_the_largest_runtime_is_shown_as_it_was_given_and_says_what_is_ignored(server):
    given = dict(
        description="says hello", roleArn=ROLE, platformVersion="V2",
        agentRuntimeArtifact=server.artifact(AGENTS / "probe"),
        networkConfiguration={"networkMode": "VPC", "networkModeConfig": {
            "securityGroups": ["sg-01234567"], "subnets": ["subnet-01234567"]}},
        authorizerConfiguration=AUTHORIZER,
        requestHeaderConfiguration={"requestHeaderAllowlist": ["Authorization", "X-Tenant"]},
        protocolConfiguration={"serverProtocol": "HTTP", "port": 8080, "path": "/run"},
        lifecycleConfiguration={"idleRuntimeSessionTimeout": 60, "maxLifetime": 61},
        hooksConfiguration={"build": {"warmup": {"action": {"httpPost": {"path": "/warm"}}}}},
        environmentVariables={"A": "1", "B": ""},
        filesystemConfigurations=[{"sessionStorage": {"mountPath": "/mnt/data"}}],
        allowedPorts=[{"port": 8000}, {"portRange": {"from": 8001, "to": 8010}}],
        resourceConfigurations=[{"minimumMemoryInMiB": 512}],
    )
    created = server.control.create_agent_runtime(agentRuntimeName=f"fields_{uuid.uuid4().hex[:8]}", tags={"a": "b"}, **given)
    identifier = created["agentRuntimeId"]
    shown = server.settled(identifier)
    assert shown["status"] == "READY", shown
    assert {member: shown[member] for member in given} == given
    assert shown["metadataConfiguration"] == {"requireMMDSV2": True}
    ignored = ["roleArn", "networkConfiguration", "filesystemConfigurations", "allowedPorts", "platformVersion"]
    assert operator_view(server, identifier)["ignored"] == ignored

    # Everything but the platform is reset where an Update leaves it out.
    few = dict(agentRuntimeArtifact=given["agentRuntimeArtifact"], roleArn=ROLE)
    server.control.update_agent_runtime(agentRuntimeId=identifier, metadataConfiguration={"requireMMDSV2": False}, **few)
    shown = server.settled(identifier)
    assert not {"authorizerConfiguration", "requestHeaderConfiguration", "hooksConfiguration", "allowedPorts"} & set(shown)
    assert (shown["platformVersion"], shown["networkConfiguration"]) == ("V2", {"networkMode": "PUBLIC"})
    assert operator_view(server, identifier)["ignored"] == ["roleArn", "platformVersion", "metadataConfiguration"]


@pytest.mark.parametrize("protocol", PORTS)
def test_an_agent_of_any_protocol_is_booted_and_asked_at_its_port_and_path(server, protocol):
    environment = {"SERVES_ON": str(PORTS[protocol])} | ({} if protocol == "MCP" else {"PING": "yes"})
    agent = server.deploy(CONTRACTS, environmentVariables=environment, protocolConfiguration={"serverProtocol": protocol})
    both = "application/json, text/event-stream"  # of MCP's clients, whatever they ask for
    answer = json.loads(agent.invoke({"jsonrpc": "2.0"}, new_session(), accept=both)["response"].read())
    assert (answer["path"], answer["body"]) == (PATHS[protocol], '{"jsonrpc": "2.0"}')


def test_an_agent_is_booted_and_asked_at_the_port_and_path_that_its_runtime_names(server):
    protocol = {"serverProtocol": "HTTP", "port": 8123, "path": "/run/it"}
    agent = server.deploy(CONTRACTS, environmentVariables={"SERVES_ON": "8123", "PING": "yes"}, protocolConfiguration=protocol)
    session = new_session()
    for n in range(2):
        answer = agent.ask({"n": n}, session)
        assert (answer["path"], json.loads(answer["body"])) == ("/run/it", {"n": n})
    # Nobody listens where the protocol's agents do otherwise.
    lost = server.create(
        CONTRACTS, settings={"start_timeout_secs": 5}, environmentVariables={"SERVES_ON": "8080", "PING": "yes"},
        protocolConfiguration=protocol,
    )
    assert server.settled(lost["agentRuntimeId"])["status"] == "CREATE_FAILED"


# --- the warm-up request -------------------------------------------------------------------------------------------------


def warmed_up(server, kind: str, port: int | None = None, **environment) -> dict:
    action = {"httpPost": {"path": "/warm"} | ({"port": port} if port else {})}
    created = server.create(
        CONTRACTS, hooksConfiguration={"build": {"warmup": {"action": action}}},
        environmentVariables={"SERVES_ON": "8080", "PING": "yes", "WARM_UP": kind} | environment,
    )
    return server.settled(created["agentRuntimeId"])


def test_an_agent_that_warms_up_is_ready(server):
    assert warmed_up(server, "good")["status"] == "READY"


def test_an_agent_may_warm_up_on_a_port_of_its_own(server):
    port = free_port()
    assert warmed_up(server, "good", port, WARM_UP_PORT=str(port))["status"] == "READY"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (
            "bad",
            "The agent was ready, but the warm-up request POST /warm to port 8080 was answered with status 500 Internal Server Error; "
            "it must be answered with 200 to 299",
        ),
        ("exits", "The agent ended with exit code 3 before it answered the warm-up request POST /warm to port 8080"),
    ],
)
def test_an_agent_that_does_not_warm_up_fails_with_the_reason_and_its_log_for_operators(server, kind, reason):
    failed = warmed_up(server, kind)
    assert (failed["status"], failed["failureReason"]) == ("CREATE_FAILED", reason)
    told = server.request("GET", f"/innkeep/v1/runtimes/{failed['agentRuntimeId']}/failure").json()
    assert told["failureReason"] == reason and "warming up" in told["logTail"]


def test_an_agent_that_listens_nowhere_to_be_warmed_up_fails(server):
    failed = warmed_up(server, "good", free_port())
    assert failed["status"] == "CREATE_FAILED" and "failed: agent does not accept connections" in failed["failureReason"]


def free_port() -> int:
    """One that an agent may use; with the process driver it is the host's."""
    for port in random.sample(range(10_000, 12_000), 100):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


# --- callers ---------------------------------------------------------------------------------------------------------------


def test_a_runtime_with_an_authorizer_refuses_whoever_signs(server):
    agent = server.deploy(AGENTS / "probe")
    session = new_session()
    agent.ask({"do": "facts"}, session)
    server.control.update_agent_runtime(
        agentRuntimeId=agent.id, agentRuntimeArtifact=server.artifact(AGENTS / "probe"), roleArn=ROLE,
        authorizerConfiguration=AUTHORIZER,
    )
    assert server.settled(agent.id)["status"] == "READY"
    for call in (
        lambda: agent.invoke({"do": "facts"}, new_session()), lambda: agent.invoke({"do": "facts"}, session), lambda: agent.stop(session),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"] == {"Code": "AccessDeniedException", "Message": MISMATCH}


def test_headers_that_are_listed_reach_the_agent(server):
    custom = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team"
    agent = server.deploy(
        AGENTS / "probe", requestHeaderConfiguration={"requestHeaderAllowlist": ["X-Tenant", custom]},
    )
    sent = {"X-Tenant": "acme", custom: "blue", "X-Other": "no", "Content-Type": "application/json"}
    answer = server.request("POST", agent.path, b'{"do": "facts"}', sent)
    headers = dict(answer.json()["headers"])
    assert (headers["x-tenant"], headers[custom.lower()]) == ("acme", "blue") and "x-other" not in headers
    long = server.request("POST", agent.path, b"{}", sent | {"X-Tenant": "x" * 4097})
    assert long.status == 400 and long.json()["fieldList"][0]["name"] == "x-tenant"
