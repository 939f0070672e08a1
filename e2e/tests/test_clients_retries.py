"""boto3 as it comes: three attempts, and after the read time-out it sends the request again. Agents see what that means."""

import json
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from harness import AGENTS, REGION, new_session, running_server


class Client:
    """A data-plane client in its default retry configuration that keeps the status of every answer it saw."""

    def __init__(self, server, **config):
        self.statuses = []
        self.boto = boto3.client(
            "bedrock-agentcore", endpoint_url=server.url, region_name=REGION, config=Config(**config),
            aws_access_key_id=server.key.access_key, aws_secret_access_key=server.key.secret_key,
        )
        self.boto.meta.events.register("response-received", self._saw)

    def _saw(self, response_dict, **_):
        self.statuses.append(response_dict["status_code"] if response_dict else "no answer")

    def invoke(self, agent, payload, session):
        return self.boto.invoke_agent_runtime(
            agentRuntimeArn=agent.arn, runtimeSessionId=session, payload=json.dumps(payload).encode()
        )


@pytest.fixture(scope="module")
def counter(server):
    return server.deploy(AGENTS / "counts_deliveries")


def test_an_agent_slower_than_the_read_timeout_is_invoked_again(server, counter, tmp_path):
    client, gate, session = Client(server, read_timeout=3), tmp_path / "gate", new_session()
    # Its start, which may take as long, is no part of this; a command delivers nothing to the agent.
    command = {"agentRuntimeArn": counter.arn, "runtimeSessionId": session, "body": {"command": "true"}}
    assert list(server.data.invoke_agent_runtime_command(**command)["stream"])
    answer = client.invoke(counter, {"until": str(gate)}, session)
    delivered = json.loads(answer["response"].read())
    gate.touch()
    # The second delivery was answered while the first was still being worked on: two requests, for one call.
    assert client.statuses == ["no answer", 200]
    assert delivered["number"] == 2 and len(set(delivered["deliveries"])) == 2


def test_a_failure_of_the_agent_is_not_retried(server, counter):
    client, session = Client(server), new_session()
    with pytest.raises(client.boto.exceptions.RuntimeClientError, match="500"):
        client.invoke(counter, {"fail": 500}, session)
    assert client.statuses == [424]
    assert json.loads(client.invoke(counter, {}, session)["response"].read())["number"] == 2


def test_too_many_starts_are_retried(tmp_path):
    (tmp_path / "innkeep.toml").write_text("max_starts_per_second = 1\n")
    with running_server("--config", str(tmp_path / "innkeep.toml")) as server:
        agent = server.deploy(AGENTS / "probe")
        # More than are let in while they come in, also where that takes seconds.
        clients = [Client(server) for _ in range(10)]
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda client: outcome(client, agent), clients))
        for client in clients:
            client.boto.close()
        throttled = [client.statuses for client in clients if 429 in client.statuses]
        assert throttled and all(len(statuses) > 1 for statuses in throttled), [c.statuses for c in clients]


def outcome(client, agent):
    """Invokes; that even the last attempt may be refused does not matter here."""
    try:
        client.invoke(agent, {"do": "facts"}, new_session())
    except client.boto.exceptions.ThrottlingException:
        assert len(client.statuses) == 3


@pytest.mark.host
def test_a_stop_that_meets_a_start_is_retried(server, tmp_path):
    agent, gate = deploy_slow_starter(server, tmp_path)
    client, session = Client(server), new_session()
    client.boto.meta.events.register("response-received", lambda **_: gate.touch())
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(agent.ask, {}, session)
        agent.wait_for_state(session, "Provisioning")
        try:
            client.boto.stop_runtime_session(agentRuntimeArn=agent.arn, runtimeSessionId=session)
        except client.boto.exceptions.RetryableConflictException:
            assert len(client.statuses) == 3  # a slow machine
        gate.touch()
        starting.exception()  # an answer, or the end that the stop brought
    assert client.statuses[0] == 409 and len(client.statuses) > 1


@pytest.mark.host
def test_a_shutdown_that_meets_a_start_is_retried(tmp_path):
    with running_server() as server:
        agent, _ = deploy_slow_starter(server, tmp_path)
        client, session = Client(server), new_session()
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(client.invoke, agent, {}, session)
            agent.wait_for_state(session, "Provisioning")
            server.stop()
            assert isinstance(starting.exception(), EndpointConnectionError)
    assert client.statuses == [503, "no answer", "no answer"]


def deploy_slow_starter(server, tmp_path):
    """An agent that starts only while the file is there, which it is not any more when this returns."""
    gate = tmp_path / "start"
    gate.touch()
    agent = server.deploy(AGENTS / "counts_deliveries", environmentVariables={"START_AFTER": str(gate)})
    gate.unlink()
    return agent, gate
