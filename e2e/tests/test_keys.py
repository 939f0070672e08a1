"""Access keys: made, changed, rotated and removed while the server runs; temporary ones; and who is refused from when on."""

import json
from configparser import ConfigParser

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from commands import Cli
from harness import AGENTS, new_session, running_server, wait_for

KEYS = "/innkeep/v1/keys"
UNKNOWN = (403, "UnrecognizedClientException")
EXPIRED = (403, "ExpiredTokenException")
DENIED = (403, "AccessDeniedException")


@pytest.fixture(scope="module")
def mine():
    with running_server() as server:
        server.probe = server.deploy(AGENTS / "probe")
        yield server


@pytest.fixture
def cli(mine, tmp_path):
    return Cli(mine, tmp_path)


def outcome(server, key):
    """Invokes with boto3 and this key; returns nothing if it may, else status and code."""
    client = server.client("bedrock-agentcore", key)
    try:
        answer = client.invoke_agent_runtime(
            agentRuntimeArn=server.probe.arn, payload=b'{"do": "facts"}', runtimeSessionId=new_session(),
        )
        assert json.loads(answer["response"].read())
        return None
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    finally:
        client.close()


def operate(server, key, target="/innkeep/v1/sessions"):
    return server.request("GET", target, key=key).status


def create(cli, name, *arguments):
    made = cli.json("keys", "create", "--name", name, *arguments)
    return made, Credentials(made["accessKeyId"], made["secretAccessKey"])


def temporary(cli, whose, *arguments):
    made = cli.json("keys", "temporary", whose, *arguments)
    return made, Credentials(made["accessKeyId"], made["secretAccessKey"], made["sessionToken"])


def listed(cli):
    return {key["accessKeyId"]: key for key in cli.json("keys", "ls")["keys"]}


def profile(text, name):
    profiles = ConfigParser()
    profiles.read_string(text)
    return profiles[name]


def test_a_key_is_printed_once_as_credentials_files_have_it(mine, cli):
    """T85."""
    ran = cli("keys", "create", "--name", "ann", "--policy", "invoker", "--description", "for the docs")
    made = profile(ran.stdout, "ann")
    key = Credentials(made["aws_access_key_id"], made["aws_secret_access_key"])
    assert made["region"] == "us-west-2" and "not shown again" in ran.stderr
    assert outcome(mine, key) is None
    shown = listed(cli)[key.access_key]
    assert (shown["name"], shown["policies"], shown["operator"]) == ("ann", ["invoker"], False)
    assert (shown["state"], shown["description"]) == ("Active", "for the docs") and shown["lastUsedAt"]
    for answer in (mine.request("GET", KEYS), mine.request("GET", f"{KEYS}/{key.access_key}")):
        assert key.secret_key not in answer.body.decode()
    table = cli("keys", "ls").stdout
    assert "for the docs" in table and key.secret_key not in table


def test_a_key_without_operator_rights_does_not_operate(mine, cli):
    """T84."""
    _, key = create(cli, "bob", "--policy", "admin")
    assert [operate(mine, key, target) for target in (KEYS, "/innkeep/v1/sessions")] == [403, 403]
    assert mine.request("POST", KEYS, b'{"name": "bob", "operator": true}', key=key).status == 403
    assert mine.request("POST", f"{KEYS}/temporary", b'{"name": "root"}', key=key).status == 403
    _, key = create(cli, "olga", "--operator")
    assert operate(mine, key, KEYS) == 200
    assert listed(cli)[key.access_key]["policies"] == ["admin"]


def test_a_disabled_key_is_unknown_until_it_is_enabled(mine, cli):
    """T81."""
    _, key = create(cli, "carl", "--policy", "invoker")
    assert outcome(mine, key) is None
    cli("keys", "disable", "carl")
    assert outcome(mine, key) == UNKNOWN
    assert listed(cli)[key.access_key]["state"] == "Inactive"
    cli("keys", "enable", key.access_key)
    assert outcome(mine, key) is None
    cli("keys", "rm", "carl", "--yes")
    assert outcome(mine, key) == UNKNOWN
    assert cli.json("keys", "rm", "carl", "--yes", status=3)["error"]["code"] == "not_found"


def test_a_key_expires(mine, cli):
    """T81."""
    # Time for the next command.
    _, key = create(cli, "dora", "--policy", "invoker", "--expires", "10s")
    made, brief = temporary(cli, "dora", "--duration", "12h")
    assert made["expiresAt"] == listed(cli)[key.access_key]["expiresAt"], "no longer than its maker"
    wait_for("the key to expire", lambda: listed(cli)[key.access_key]["state"] == "Expired")
    assert (outcome(mine, key), outcome(mine, brief)) == (EXPIRED, EXPIRED)
    cli("keys", "change", "dora", "--expires", "never")
    assert outcome(mine, key) is None


def test_a_rotated_key_works_beside_its_successor_for_the_grace_period(mine, cli):
    made, old = create(cli, "eve", "--policy", "invoker")
    rotated = cli.json("keys", "rotate", "eve", "--grace", "2s")
    new = Credentials(rotated["accessKeyId"], rotated["secretAccessKey"])
    assert (rotated["name"], rotated["policies"]) == ("eve", ["invoker"]) and new.access_key != old.access_key
    assert outcome(mine, new) is None
    assert listed(cli)[old.access_key]["replacedBy"] == new.access_key
    wait_for("the grace to be over", lambda: listed(cli)[old.access_key]["state"] == "Expired")
    assert (outcome(mine, old), outcome(mine, new)) == (EXPIRED, None)
    assert "replaced by" in cli.json("keys", "rotate", made["accessKeyId"], status=1)["error"]["message"]
    assert "2 access keys" in cli.json("keys", "rotate", "eve", status=2)["error"]["message"]


def test_a_temporary_key_needs_its_token_and_its_maker(mine, cli):
    """T81."""
    _, maker = create(cli, "fay", "--policy", "admin", "--operator")
    made, key = temporary(cli, "fay", "--session-name", "build-7")
    assert (made["madeBy"], made["name"], made["sessionName"]) == (maker.access_key, "fay", "build-7")
    assert outcome(mine, key) is None and operate(mine, key) == 200
    assert mine.client("bedrock-agentcore-control", key).list_agent_runtimes()["agentRuntimes"]
    _, other = temporary(cli, maker.access_key)
    assert outcome(mine, Credentials(key.access_key, key.secret_key)) == UNKNOWN
    assert outcome(mine, Credentials(key.access_key, key.secret_key, other.token)) == UNKNOWN
    assert outcome(mine, Credentials(key.access_key, key.secret_key, key.token[:-2])) == UNKNOWN
    assert outcome(mine, Credentials(key.access_key, other.secret_key, key.token)) == DENIED
    assert outcome(mine, Credentials(maker.access_key, maker.secret_key, key.token)) == UNKNOWN
    assert key.access_key not in listed(cli)
    assert listed(cli)[maker.access_key]["lastUsedAt"]

    cli("keys", "disable", "fay")
    assert (outcome(mine, key), operate(mine, key)) == (UNKNOWN, 403)
    cli("keys", "enable", "fay")
    assert outcome(mine, key) is None
    cli("keys", "rm", "fay", "--yes")
    assert outcome(mine, key) == UNKNOWN


def test_a_session_policy_takes_operator_rights(mine, cli, tmp_path):
    create(cli, "gus", "--operator")
    document = tmp_path / "policy.json"
    statement = {"Effect": "Allow", "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": "*"}
    document.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    _, key = temporary(cli, "gus", "--policy", document)
    assert outcome(mine, key) is None and operate(mine, key) == 403
    bad = cli.json("keys", "temporary", "gus", "--policy", '{"Statement": 7}', status=1)
    assert "sessionPolicy" in bad["error"]["message"]


def test_the_command_signs_with_a_profile_that_it_wrote(mine, cli):
    create(cli, "hans", "--operator", "--write-profile", "hans")
    path = mine.data_dir / "credentials"
    assert path.stat().st_mode & 0o777 == 0o600
    first = profile(path.read_text(), "hans")["aws_access_key_id"]
    assert first in listed(cli) and profile(path.read_text(), "default")
    cli("keys", "ls", "--profile", "hans")
    # A temporary one takes its place, token and all.
    ran = cli("keys", "temporary", "hans", "--write-profile", "hans")
    assert "aws_secret" not in ran.stdout and "--profile hans" in ran.stderr
    assert profile(path.read_text(), "hans")["aws_session_token"]
    cli("keys", "ls", "--profile", "hans")
    assert "whose rights" in cli.json("keys", "temporary", "--profile", "hans", status=2)["error"]["message"]
    assert cli.json("keys", "temporary")["name"] == "root", "that of the key that signs"
    cli("keys", "rm", first, "--yes")
    refused = cli.json("keys", "ls", "--profile", "hans", status=4)
    assert refused["error"]["code"] == "not_authorised"


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--name", "x"),
        ("create", "--policy", "admin"),
        ("create", "--name", "x", "--policy", "nobody"),
        ("create", "--name", "x", "--policy", "admin", "--expires", "soon"),
        ("create", "--name", "x", "--policy", "admin", "--write-profile", "default"),
        ("change", "root"),
    ],
)
def test_what_the_command_cannot_mean_is_a_usage_error(cli, arguments):
    assert cli.json("keys", *arguments, status=2)["error"]["message"]


def test_a_bad_request_makes_no_key(mine, cli):
    before = listed(cli).keys()
    for body in [
        b"", b"[]", b"{}", b'{"name": ""}', b'{"name": "a b"}', b'{"name": "x", "policies": ["nobody"]}',
        b'{"name": "x", "policies": ["{}"]}', b'{"name": "x", "more": 1}', b'{"name": "x", "expiresInSecs": 0}',
        b'{"name": "x", "description": "a\\nb"}', b'{"name": "x", "policies": "admin"}', b'["x"]',
    ]:
        answer = mine.request("POST", KEYS, body)
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "ValidationException"), (body, answer)
    assert listed(cli).keys() == before
    assert mine.request("GET", f"{KEYS}/AKIANOBODY").status == 404


def test_the_first_key_stays_until_another_may_do_everything():
    """T84."""
    with running_server() as server:
        cli, path = Cli(server, server.data_dir), server.data_dir / "credentials"
        root = server.key.access_key
        for arguments in (("rm", root, "--yes"), ("disable", "root"), ("change", "root", "--policy", "invoker")):
            refused = cli.json("keys", *arguments, status=1)["error"]
            assert "only one left" in refused["message"], refused
        cli("keys", "create", "--name", "work", "--policy", "admin", "--write-profile", "work")
        assert cli("keys", "rm", root, "--yes", status=1), "that one has no operator rights"

        rotated = cli.json("keys", "rotate", "root", "--grace", "0s")
        assert profile(path.read_text(), "default")["aws_access_key_id"] == rotated["accessKeyId"]
        assert profile(path.read_text(), "work"), "profiles stay"
        assert server.request("GET", KEYS).status == 403, "the old one"
        cli("keys", "create", "--name", "second", "--operator")
        cli("keys", "rm", rotated["accessKeyId"], "--yes")
        keys = listed(cli)
        assert {key["name"] for key in keys.values()} == {"root", "second", "work"}
        assert keys[root]["state"] == "Expired"

        # The next server has the same keys, and knows when they were used.
        used = {id: key.get("lastUsedAt") for id, key in keys.items()}
        server.stop()
        server.start()
        after = {id: key.get("lastUsedAt") for id, key in listed(cli).items()}
        assert after.keys() == used.keys() and after[root] == used[root] is not None
