"""How a runtime may be named: ARN encoded or raw, endpoint ARN, id with account; and what is refused."""

import json
import urllib.parse

import pytest
from botocore.exceptions import ClientError

from harness import ACCOUNT, SESSION_HEADER, new_session

JSON = {"Content-Type": "application/json"}


def post(probe, target, session=None, body=b'{"do": "facts"}'):
    headers = JSON | ({SESSION_HEADER: session} if session else {})
    return probe.server.request("POST", target, body, headers)


def targets(probe) -> dict[str, str]:
    encoded = urllib.parse.quote(probe.arn, safe="")
    endpoint = urllib.parse.quote(f"{probe.arn}/runtime-endpoint/DEFAULT", safe="")
    return {
        "encoded ARN": f"/runtimes/{encoded}/invocations",
        "lower-case escapes": f"/runtimes/{encoded.replace('%3A', '%3a').replace('%2F', '%2f')}/invocations",
        "raw ARN": f"/runtimes/{probe.arn}/invocations",
        "encoded endpoint ARN": f"/runtimes/{endpoint}/invocations",
        "raw endpoint ARN": f"/runtimes/{probe.arn}/runtime-endpoint/DEFAULT/invocations",
        "id and account": f"/runtimes/{probe.id}/invocations?accountId={ACCOUNT}",
        "qualifier": f"/runtimes/{encoded}/invocations?qualifier=DEFAULT",
        "endpoint ARN and the same qualifier": f"/runtimes/{endpoint}/invocations?qualifier=DEFAULT",
    }


def test_every_name_of_a_runtime_reaches_the_same_session(probe):
    session = new_session()
    pids = {}
    for name, target in targets(probe).items():
        answer = post(probe, target, session)
        assert answer.status == 200, (name, answer)
        pids[name] = answer.json()["pid"]
    assert len(set(pids.values())) == 1, pids


def check_refused(probe, target, status, exception, words="", session=None):
    answer = post(probe, target, session)
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (status, exception), answer
    assert words in answer.json()["message"]
    assert answer.headers["x-amzn-requestid"]


def test_an_unknown_qualifier_is_not_found(probe):
    check_refused(
        probe, f"{probe.path}?qualifier=nowhere", 404, "ResourceNotFoundException",
        "No endpoint or agent found with qualifier 'nowhere'",
    )


def test_an_unknown_runtime_is_not_found(probe):
    target = probe.path.replace(probe.id, "nobody-0123456789")
    check_refused(probe, target, 404, "ResourceNotFoundException")


def test_a_foreign_account_or_region_is_not_found(probe):
    check_refused(probe, probe.path.replace(ACCOUNT, "111111111111"), 404, "ResourceNotFoundException")


def test_an_id_without_account_is_refused(probe):
    check_refused(probe, f"/runtimes/{probe.id}/invocations", 400, "ValidationException", "accountId")


def test_an_endpoint_arn_that_contradicts_the_qualifier_is_refused(probe):
    endpoint = urllib.parse.quote(f"{probe.arn}/runtime-endpoint/DEFAULT", safe="")
    check_refused(probe, f"/runtimes/{endpoint}/invocations?qualifier=other", 400, "ValidationException")


@pytest.mark.parametrize(
    ("session", "words"),
    [("short", "greater than or equal to 33"), ("s" * 257, "less than or equal to 256")],
)
def test_a_session_id_of_the_wrong_length_is_refused(probe, session, words):
    words = f"Value at 'runtimeSessionId' failed to satisfy constraint: Member must have length {words}"
    check_refused(probe, probe.path, 400, "ValidationException", words, session)


def test_boto3_gets_typed_exceptions(probe):
    with pytest.raises(probe.server.data.exceptions.ResourceNotFoundException):
        probe.ask({}, new_session(), qualifier="nowhere")
    with pytest.raises(ClientError) as caught:
        probe.server.control.get_agent_runtime(agentRuntimeId="nobody-0123456789")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_an_unknown_path_is_an_error_that_clients_can_read(probe):
    answer = probe.server.request("POST", f"/runtimes/{probe.id}/nonsense", b"{}", JSON)
    assert answer.status == 404 and json.loads(answer.body)["message"]
