"""Who is let in: nobody without a good signature of the present time over what was really sent."""

import datetime

import boto3
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from harness import SESSION_HEADER, new_session

JSON = {"Content-Type": "application/json"}
BODY = b'{"do": "facts"}'


def check_denied(answer):
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException"), answer
    assert answer.json()["message"]


def test_a_wrong_secret_is_denied(probe):
    wrong = Credentials(probe.server.key.access_key, "not the secret at all, but of fair length")
    check_denied(probe.server.request("POST", probe.path, BODY, JSON, key=wrong))
    with pytest.raises(ClientError) as caught:
        probe.server.client("bedrock-agentcore-control", wrong).list_agent_runtimes()
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_an_unknown_key_is_denied(probe):
    unknown = Credentials("AKIAIOSFODNN7EXAMPLE", probe.server.key.secret_key)
    for path in (probe.path, "/runtimes/", "/innkeep/v1/sessions"):
        answer = probe.server.request("POST", path, BODY, JSON, key=unknown)
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (403, "UnrecognizedClientException"), answer


@pytest.mark.parametrize("minutes", [-6, 6, -60 * 24])
def test_a_stale_or_early_date_is_denied(probe, minutes):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    check_denied(probe.server.request("POST", probe.path, BODY, JSON, at=at))


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_clock_that_is_a_little_off_is_forgiven(probe, minutes):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    assert probe.server.request("POST", probe.path, BODY, JSON, at=at).status == 200


@pytest.mark.parametrize(
    "target",
    ["{path}", "/runtimes/?maxResults=1", "/innkeep/v1/sessions", "/innkeep/v1/artifacts?kind=zip"],
)
def test_nothing_is_open_without_a_signature(probe, target):
    check_denied(probe.server.request("POST", target.format(path=probe.path), BODY, JSON, sign=False))


def test_a_body_that_was_not_signed_is_denied(probe):
    headers = probe.server.signed("POST", probe.path, BODY, JSON)
    check_denied(probe.server.request("POST", probe.path, b'{"do":"other"}!', headers, sign=False))


def test_a_query_that_was_not_signed_is_denied(probe):
    headers = probe.server.signed("POST", probe.path, BODY, JSON)
    check_denied(probe.server.request("POST", f"{probe.path}?qualifier=DEFAULT", BODY, headers, sign=False))


def test_a_header_that_was_changed_after_signing_is_denied(probe):
    headers = probe.server.signed("POST", probe.path, BODY, JSON | {SESSION_HEADER: new_session()})
    check_denied(probe.server.request("POST", probe.path, BODY, headers | {SESSION_HEADER: new_session()}, sign=False))


@pytest.mark.parametrize("plane", ["data", "control", "operator"])
def test_a_refused_upload_gets_its_answer_and_no_reset(probe, plane):
    """The server answers before the body is through; it must drain what follows for a moment, or clients see a reset."""
    method, path = {
        "data": ("POST", probe.path),
        "control": ("PUT", "/runtimes/"),
        "operator": ("POST", "/innkeep/v1/artifacts?kind=zip"),
    }[plane]
    for _ in range(5):
        check_denied(probe.server.request(method, path, b"x" * 8_000_000, JSON, sign=False))


def test_the_health_page_is_open(server):
    assert server.request("GET", "/healthz", sign=False).status == 200


def test_any_region_is_accepted_in_the_scope(probe):
    client = boto3.client(
        "bedrock-agentcore", endpoint_url=probe.server.url, region_name="eu-central-1",
        aws_access_key_id=probe.server.key.access_key, aws_secret_access_key=probe.server.key.secret_key,
    )
    answer = client.invoke_agent_runtime(agentRuntimeArn=probe.arn, payload=BODY, runtimeSessionId=new_session())
    assert answer["statusCode"] == 200
