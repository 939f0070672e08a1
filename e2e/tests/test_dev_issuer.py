"""The dev issuer: agents that take tokens, tried offline with one command; on loopback only, and nowhere unless asked for."""

import base64
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from harness import EXAMPLES, SESSION_HEADER, binary, environment, innkeep, new_session, running_server, wait_for
from test_dev import check_nothing_is_left, dev

PATH = "/innkeep/dev-issuer"
DOCUMENTS = [f"{PATH}/.well-known/openid-configuration", f"{PATH}/jwks.json"]


def token(data_dir, *arguments) -> str:
    ran = innkeep("token", *arguments, data_dir=data_dir)
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    assert ran.stdout.count("\n") == 1, "the token and nothing else"
    return ran.stdout.strip()


def decoded(part) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_by_another(good: str) -> str:
    """The same token, signed with a key of the caller's own."""
    head, claims, _ = good.split(".")
    signature = ec.generate_private_key(ec.SECP256R1()).sign(f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(signature)
    return f"{head}.{claims}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def call(agent, token):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", SESSION_HEADER: new_session()}
    return requests.post(agent.server.url + agent.path, b'{"prompt": "2+2"}', headers=headers, timeout=60)


@pytest.fixture(scope="module")
def issuing_server():
    with running_server("--dev-issuer") as server:
        yield server


@pytest.fixture(scope="module")
def agent(issuing_server):
    """It asks for all that can be asked for."""
    rules = {
        "discoveryUrl": issuing_server.url + DOCUMENTS[0],
        "allowedAudience": ["x"],
        "allowedClients": ["c"],
        "allowedScopes": ["b"],
        "customClaims": [{
            "inboundTokenClaimName": "team",
            "inboundTokenClaimValueType": "STRING",
            "authorizingClaimMatchValue": {"claimMatchOperator": "EQUALS", "claimMatchValue": {"matchValueString": "red"}},
        }],
    }
    return issuing_server.deploy(EXAMPLES / "hello", authorizerConfiguration={"customJWTAuthorizer": rules})


GOOD = ["--sub", "alice", "--aud", "x", "--client-id", "c", "--scope", "a b", "--claim", "team=red"]


def test_a_token_that_claims_all_that_is_asked_for_is_let_in(issuing_server, agent):
    answer = call(agent, token(issuing_server.data_dir, *GOOD))
    assert answer.status_code == 200 and "4" in answer.text, answer.text


@pytest.mark.parametrize("more, reason", [
    (["--aud", "y", *GOOD[4:]], "'aud'"),
    ([*GOOD[:4], "--client-id", "d", *GOOD[6:]], "'client_id'"),
    ([*GOOD[:6], "--scope", "a", *GOOD[8:]], "scope"),
    ([*GOOD[:8], "--claim", "team=blue"], "'team'"),
    (GOOD[:8], "'team'"),
    ([*GOOD, "--claim", "exp=1700000000"], "expired"),
    ([*GOOD, "--claim", "exp=null"], "'exp'"),
    ([*GOOD, "--claim", "iss=https://idp.example.com"], ""),
], ids=["audience", "client", "scope", "claim", "no claim", "expired", "no end", "another issuer"])
def test_a_token_that_claims_otherwise_is_refused(issuing_server, agent, more, reason):
    answer = call(agent, token(issuing_server.data_dir, *more))
    assert (answer.status_code, reason in answer.text) == (401, True), answer.text


def test_a_token_of_another_key_is_refused(issuing_server, agent):
    answer = call(agent, signed_by_another(token(issuing_server.data_dir, *GOOD)))
    assert answer.status_code == 401, answer.text


def test_the_issuer_is_read_by_everybody_and_its_key_by_its_owner(issuing_server):
    url = issuing_server.url
    discovery, keys = (requests.get(url + path, timeout=10).json() for path in DOCUMENTS)
    assert discovery["issuer"] == url + PATH and discovery["jwks_uri"] == url + DOCUMENTS[1]
    made = token(issuing_server.data_dir, *GOOD)
    head = json.loads(decoded(made.split(".")[0]))
    assert [key["kid"] for key in keys["keys"]] == [head["kid"]] and "d" not in keys["keys"][0]
    others = [("POST", DOCUMENTS[1]), ("PUT", DOCUMENTS[0]), ("GET", PATH), ("GET", f"{PATH}/token"), ("POST", f"{PATH}/token")]
    for method, path in others:
        assert requests.request(method, url + path, timeout=10).status_code == 404, (method, path)
    file = issuing_server.data_dir / "dev-issuer.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["key"] not in issuing_server.stderr


def test_it_says_of_itself_what_it_is(issuing_server):
    assert "FOR DEVELOPMENT" in issuing_server.stderr
    status = innkeep("status", data_dir=issuing_server.data_dir)
    assert "can be anybody" in status.stderr, status.stderr
    status = json.loads(innkeep("status", "--json", data_dir=issuing_server.data_dir).stdout)
    assert status["devIssuer"] == issuing_server.url + PATH
    doctor = innkeep("doctor", data_dir=issuing_server.data_dir)
    assert "dev issuer" in doctor.stdout, doctor.stdout


def test_as_json_a_token_comes_with_what_it_claims(issuing_server):
    ran = innkeep("token", "--aud", "x", "--claim", 'groups=["a", "b"]', "--json", data_dir=issuing_server.data_dir)
    told = json.loads(ran.stdout)
    claims = json.loads(decoded(told["token"].split(".")[1]))
    assert claims == told["claims"] | {"iss": issuing_server.url + PATH} and claims["groups"] == ["a", "b"]


def test_serve_has_none_unless_asked():
    with running_server() as server:
        for path in DOCUMENTS:
            assert requests.get(server.url + path, timeout=10).status_code == 404
        assert not (server.data_dir / "dev-issuer.json").exists()
        ran = innkeep("token", data_dir=server.data_dir)
        assert ran.returncode == 3 and ran.stdout == "" and "--dev-issuer" in ran.stderr, ran.stderr
        ran = innkeep("dev", str(EXAMPLES / "hello"), "hi", "--once", "--auth", "jwt", data_dir=server.data_dir)
        assert ran.returncode == 1 and "serve --dev-issuer" in ran.stderr, ran.stderr


def test_without_its_issuer_an_agent_lets_nobody_in_and_with_it_again_the_key_is_the_same():
    with running_server("--dev-issuer") as server:
        rules = {"discoveryUrl": server.url + DOCUMENTS[0], "allowedAudience": ["x"]}
        agent = server.deploy(EXAMPLES / "hello", authorizerConfiguration={"customJWTAuthorizer": rules})
        made = token(server.data_dir, "--aud", "x")
        assert call(agent, made).status_code == 200
        keys = requests.get(server.url + DOCUMENTS[1], timeout=10).json()
        server.stop()

        server.arguments = ()
        server.start()
        assert call(agent, made).status_code == 403
        ran = innkeep("token", "--aud", "x", data_dir=server.data_dir)
        assert ran.returncode == 0 and "its dev issuer off" in ran.stderr, ran.stderr
        server.stop()

        server.arguments = ("--dev-issuer",)
        server.start()
        assert requests.get(server.url + DOCUMENTS[1], timeout=10).json() == keys


@pytest.mark.parametrize("settings", [
    {"INNKEEP_LISTEN": "0.0.0.0:0", "INNKEEP_ALLOW_PLAIN_HTTP": "true"},
    {"INNKEEP_LISTEN": "127.0.0.1:0", "INNKEEP_PUBLIC_URL": "https://agents.example.com"},
])
@pytest.mark.parametrize("command", [["serve", "--dev-issuer"], ["dev", "--auth", "jwt", str(EXAMPLES / "hello")]])
def test_where_others_reach_the_server_there_is_none(tmp_path, command, settings):
    ran = subprocess.run(
        [binary(), *command, "--data-dir", tmp_path / "data"], env=environment(**settings), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=60, check=False,
    )
    assert ran.returncode == 2 and "dev_issuer is for development" in ran.stderr, ran.stderr
    assert not (tmp_path / "data/dev-issuer.json").exists()


def test_one_command_offline(tmp_path):
    folder = tmp_path / "closed"
    shutil.copytree(EXAMPLES / "hello", folder)
    with dev(folder, "What is 2+2?", "--auth", "jwt") as (data_dir, process):
        wait_for("the answer", lambda: "4" in process.out.read_text(), 60)
        wait_for("the last line", lambda: "with aud innkeep-dev; for development" in process.err.read_text(), 30)
        told = process.err.read_text()
        assert "FOR DEVELOPMENT: the dev issuer" in told

        # What is printed to be pasted does it, in a shell that knows nothing.
        clean = environment() | {"PATH": os.environ["PATH"]}
        invoke = re.search(r"^\S.* invoke closed .*$", told, re.MULTILINE)[0]
        curl = re.search(r"^TOKEN=.*\ncurl .*$", told, re.MULTILINE)[0]
        for pasted in (invoke, curl):
            ran = subprocess.run(["sh", "-c", pasted], env=clean, capture_output=True, text=True, timeout=60, check=False)
            assert ran.returncode == 0 and "4" in ran.stdout, (pasted, ran.stdout, ran.stderr)

        other = token(data_dir, "--sub", "alice", "--aud", "other")
        ran = innkeep("invoke", "closed", "2+2", "--token", other, data_dir=data_dir)
        assert ran.returncode == 4 and "'aud'" in ran.stderr, ran.stderr
        ran = innkeep("invoke", "closed", "2+2", data_dir=data_dir)
        assert ran.returncode == 4 and "--token" in ran.stderr, ran.stderr
        process.send_signal(signal.SIGINT)
        process.wait(30)
        check_nothing_is_left(data_dir)

        # Without it, the agent is no longer closed by an issuer that is not there.
        ran = innkeep("dev", str(folder), "What is 3+3?", "--once", data_dir=data_dir)
        assert ran.returncode == 0 and "6" in ran.stdout and "takes signatures again" in ran.stderr, ran.stderr
        check_nothing_is_left(data_dir)


def test_once_is_asked_with_a_token(tmp_path):
    arguments = ["dev", str(EXAMPLES / "hello"), "What is 2+2?", "--once", "--auth", "jwt"]
    for _ in range(2):  # the second time with the key of the first, perhaps at another port
        ran = innkeep(*arguments, data_dir=tmp_path / "data")
        assert ran.returncode == 0 and "4" in ran.stdout, ran.stderr
    check_nothing_is_left(tmp_path / "data")
