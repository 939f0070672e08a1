"""What operators see of requests: headers that agents did not get, rates, and limits that were crossed."""

import json

import pytest
from bedrock_agentcore.runtime.models import RESTRICTED_HEADERS
from botocore.exceptions import ClientError

from harness import AGENTS, ROLE, SESSION_HEADER, new_session, running_server


def kept(agent):
    answer = agent.server.request("GET", f"/innkeep/v1/runtimes/{agent.id}/requests")
    assert answer.status == 200, answer
    return answer.json()["requests"]


def test_the_names_of_headers_that_an_agent_did_not_get_are_seen(server):
    custom = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team"
    agent = server.deploy(AGENTS / "probe", requestHeaderConfiguration={"requestHeaderAllowlist": ["X-Tenant"]})
    assert kept(agent) == []
    session = new_session()
    sent = {"X-Tenant": "acme", "X-Forgotten": "hunter2", custom: "blue", "baggage": "session.id=1", SESSION_HEADER: session}
    answer = server.request("POST", agent.path, b'{"do": "facts"}', sent)
    got = dict(answer.json()["headers"])
    assert got["x-tenant"] == "acme" and got["baggage"] == "session.id=1" and "traceparent" in got
    [seen] = kept(agent)
    assert (seen["requestId"], seen["sessionId"], seen["status"]) == (answer.headers["x-amzn-requestid"], session, 200)
    assert {"x-forgotten", custom.lower(), "authorization"} <= set(seen["droppedHeaders"])
    assert not set(seen["droppedHeaders"]) & (set(got) | {"x-tenant"}), "what it got was not dropped"
    assert "hunter2" not in json.dumps(seen) and seen["answeredMs"] > 0
    assert server.request("POST", agent.path, b"{}", {"X-Tenant": "x" * 4097}).status == 400
    assert [request["status"] for request in kept(agent)] == [400, 200]
    assert server.request("POST", agent.path, b"{}", sign=False).status == 403
    assert len(kept(agent)) == 2, "who is not let in leaves nothing"
    assert server.request("GET", "/innkeep/v1/runtimes/nothing-0123456789/requests").status == 404


def test_no_list_has_a_header_that_the_sdk_calls_restricted(server):
    artifact = server.artifact(AGENTS / "probe")
    names = [*RESTRICTED_HEADERS, "X-Amz-Date", "X-Amzn-Trace-Id", SESSION_HEADER, "Authorization"]
    for name in names:
        with pytest.raises(ClientError) as caught:
            server.control.create_agent_runtime(
                agentRuntimeName="restricted", agentRuntimeArtifact=artifact, roleArn=ROLE,
                networkConfiguration={"networkMode": "PUBLIC"},
                requestHeaderConfiguration={"requestHeaderAllowlist": [name]},
            )
        assert caught.value.response["Error"]["Code"] == "ValidationException", name


def figures(server) -> dict:
    text = server.request("GET", "/metrics").body.decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("innkeep_limit_crossings_total{")]
    return {name.split('"')[1]: float(value) for name, value in lines}


def test_rates_are_shared_out_and_every_crossing_is_counted():
    with running_server(max_requests_per_second=1, max_changes_per_second=1, max_lists_per_second=1, max_body_bytes=1000) as server:
        agent = server.deploy(AGENTS / "probe")
        assert set(figures(server)) >= {
            "max_requests_per_second", "max_changes_per_second", "max_gets_per_second", "max_lists_per_second",
            "max_starts_per_second", "max_active_sessions", "max_body_bytes", "sync_request_timeout_secs",
            "stream_timeout_secs", "max_frame_bytes", "max_frames_per_second", "maxLifetime", "memory_mib",
            "body_stall_timeout_secs", "write_stall_timeout_secs", "spool_total_bytes", "max_command_output_bytes",
            "max_shells_per_session", "async_timeout_secs", "async_max_bytes", "memory_floor_mib",
        }
        before = figures(server)
        # Of one session: where each takes a second, as a start may, none comes too early.
        body, named = b'{"do": "remember", "word": "a"}', {SESSION_HEADER: new_session()}
        answers = [server.request("POST", agent.path, body, named) for _ in range(40)]
        refused = [answer for answer in answers if answer.status != 200]
        assert refused and all(answer.status == 429 for answer in refused), answers
        assert refused[0].headers["x-amzn-errortype"] == "ThrottlingException"
        assert 1 <= int(refused[0].headers["Retry-After"]) <= 60
        tag = lambda: server.control.tag_resource(resourceArn=agent.arn, tags={"team": "blue"})
        for call in (server.control.list_agent_runtimes, tag):
            error = refusal(call)
            assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("ThrottlingException", 429)
            assert int(error["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
        after = figures(server)
        assert after["max_requests_per_second"] - before["max_requests_per_second"] == len(refused)
        assert (after["max_lists_per_second"], after["max_changes_per_second"], after["max_gets_per_second"]) == (1, 1, 0)
        assert server.request("POST", agent.path, b"x" * 1001).status == 400
        assert figures(server)["max_body_bytes"] == before["max_body_bytes"] + 1


def refusal(call) -> dict:
    """What boto3 is told in the end of many calls. The exception would keep its connection."""
    with pytest.raises(ClientError) as caught:
        for _ in range(40):
            call()
    return caught.value.response


def test_on_loopback_nobody_is_slowed_down(server, probe):
    assert {server.request("POST", probe.path, b'{"do": "facts"}').status for _ in range(60)} == {200}
