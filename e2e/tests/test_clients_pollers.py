"""The loops in which AWS's own Python packages wait for runtimes and endpoints, run as they are."""

import json
import uuid

import boto3
import pytest
from bedrock_agentcore._utils.config import WaitConfig
from bedrock_agentcore.runtime.agent_core_runtime_client import AgentCoreRuntimeClient
from botocore.exceptions import ClientError

from harness import AGENTS, REGION, ROLE

# No shorter pause is to be had.
SOON = WaitConfig(max_wait=60, poll_interval=1)


@pytest.fixture
def environment_of_clients(server, monkeypatch):
    """What `innkeep env` prints: the packages take their endpoints and their key from it."""
    for name in ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL", "BEDROCK_AGENTCORE_DP_ENDPOINT",
                 "BEDROCK_AGENTCORE_CP_ENDPOINT"):
        monkeypatch.setenv(name, server.url)
    for name, value in {"AWS_ACCESS_KEY_ID": server.key.access_key, "AWS_SECRET_ACCESS_KEY": server.key.secret_key,
                        "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    # The toolkit reads them when it is imported, which another test of this process may have done.
    for plane in ("DP", "CP"):
        monkeypatch.setattr(f"bedrock_agentcore_starter_toolkit.utils.endpoints.{plane}_ENDPOINT_OVERRIDE", server.url)


@pytest.fixture
def sdk(environment_of_clients):
    client = AgentCoreRuntimeClient(session=boto3.Session(region_name=REGION))
    yield client
    client.cp_client.close()
    client.dp_client.close()


def members(server, agent="probe", **more) -> dict:
    return {"agentRuntimeArtifact": server.artifact(AGENTS / agent), "roleArn": ROLE,
            "networkConfiguration": {"networkMode": "PUBLIC"}} | more


def new_name() -> str:
    return f"poller_{uuid.uuid4().hex[:8]}"


def test_the_sdk_creates_updates_and_deletes_and_waits(server, sdk):
    created = sdk.create_agent_runtime_and_wait(SOON, agentRuntimeName=new_name(), **members(server))
    assert (created["status"], created["agentRuntimeVersion"]) == ("READY", "1")
    named = {"agentRuntimeId": created["agentRuntimeId"]}
    updated = sdk.update_agent_runtime_and_wait(SOON, **named, **members(server, description="second"))
    assert (updated["status"], updated["agentRuntimeVersion"], updated["description"]) == ("READY", "2", "second")

    endpoint = sdk.create_agent_runtime_endpoint_and_wait(SOON, **named, name="prod", agentRuntimeVersion="1")
    assert (endpoint["status"], endpoint["liveVersion"]) == ("READY", "1")
    endpoint = sdk.update_agent_runtime_endpoint_and_wait(SOON, **named, endpointName="prod", agentRuntimeVersion="2")
    assert (endpoint["status"], endpoint["liveVersion"], endpoint["targetVersion"]) == ("READY", "2", "2")
    status = sdk.get_aggregated_status(named["agentRuntimeId"], "prod")
    assert (status["runtime"]["status"], status["endpoint"]["status"]) == ("READY", "READY")

    answer = sdk.invoke_agent_runtime(agentRuntimeArn=created["agentRuntimeArn"], qualifier="prod", payload=b"{}")
    assert json.loads(answer["response"].read())["pid"]

    sdk.delete_agent_runtime_and_wait(SOON, **named)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        sdk.cp_client.get_agent_runtime(**named)


def test_the_sdk_raises_why_an_agent_failed(server, sdk):
    name = new_name()
    with pytest.raises(RuntimeError, match="Reached CREATE_FAILED: .*exit code 3"):
        sdk.create_agent_runtime_and_wait(SOON, agentRuntimeName=name, **members(server, "exits_at_import"))
    [failed] = [item for item in sdk.cp_client.list_agent_runtimes()["agentRuntimes"] if item["agentRuntimeName"] == name]
    named = {"agentRuntimeId": failed["agentRuntimeId"]}
    # A runtime that failed is mended by an update; one that is broken by an update says so, and serves on.
    assert sdk.update_agent_runtime_and_wait(SOON, **named, **members(server))["status"] == "READY"
    with pytest.raises(RuntimeError, match="Reached UPDATE_FAILED: .*exit code 3"):
        sdk.update_agent_runtime_and_wait(SOON, **named, **members(server, "exits_at_import"))
    assert sdk.cp_client.get_agent_runtime_endpoint(**named, endpointName="DEFAULT")["liveVersion"] == "2"
    sdk.delete_agent_runtime_and_wait(SOON, **named)


def test_the_sdk_tears_down_an_endpoint_and_its_runtime(server, sdk, monkeypatch):
    monkeypatch.setattr("bedrock_agentcore._utils.polling.WaitConfig", lambda: SOON)  # it lets nobody choose
    created = sdk.create_agent_runtime_and_wait(SOON, agentRuntimeName=new_name(), **members(server))
    named = {"agentRuntimeId": created["agentRuntimeId"]}
    sdk.create_agent_runtime_endpoint_and_wait(SOON, **named, name="prod")
    sdk.teardown_endpoint_and_runtime(created["agentRuntimeId"], "prod")
    status = sdk.get_aggregated_status(created["agentRuntimeId"], "prod")
    assert all("ResourceNotFoundException" in status[part]["error"] for part in ("runtime", "endpoint"))
    sdk.teardown_endpoint_and_runtime(created["agentRuntimeId"], "prod")  # again: nothing is there, and nothing wrong


def test_the_starter_toolkit_creates_updates_and_waits_for_the_endpoint(server, environment_of_clients):
    from bedrock_agentcore_starter_toolkit.services.runtime import BedrockAgentCoreClient

    toolkit = BedrockAgentCoreClient(REGION)
    artifact = server.artifact(AGENTS / "probe")["codeConfiguration"]
    of_code = {
        "execution_role_arn": ROLE, "code_s3_bucket": artifact["code"]["s3"]["bucket"], "code_s3_key": artifact["code"]["s3"]["prefix"],
        "runtime_type": artifact["runtime"], "entrypoint_array": artifact["entryPoint"],
        "network_config": {"networkMode": "PUBLIC"},
    }
    name = new_name()
    created = toolkit.create_or_update_agent(None, name, **of_code)
    endpoint = toolkit.wait_for_agent_endpoint_ready(created["id"])
    assert endpoint == f"{created['arn']}/runtime-endpoint/DEFAULT"
    # The same name again is a conflict, which it turns into an update.
    again = toolkit.create_or_update_agent(None, name, **of_code, auto_update_on_conflict=True)
    assert again == created
    assert toolkit.wait_for_agent_endpoint_ready(created["id"]) == endpoint
    assert toolkit.get_agent_runtime_endpoint(created["id"])["liveVersion"] == "2"
    assert toolkit.find_agent_by_name(name)["agentRuntimeId"] == created["id"]
    toolkit.client.delete_agent_runtime(agentRuntimeId=created["id"])


def test_the_starter_toolkit_tells_of_a_failed_agent(server, environment_of_clients):
    from bedrock_agentcore_starter_toolkit.services.runtime import BedrockAgentCoreClient

    toolkit = BedrockAgentCoreClient(REGION)
    created = toolkit.client.create_agent_runtime(agentRuntimeName=new_name(), **members(server, "exits_at_import"))
    with pytest.raises(Exception, match="Agent endpoint create failed: .*exit code 3"):
        toolkit.wait_for_agent_endpoint_ready(created["agentRuntimeId"], max_wait=60)
    toolkit.client.delete_agent_runtime(agentRuntimeId=created["agentRuntimeId"])
