"""Runtimes that take tokens, with those of a certified OpenID provider: who is let in, for how long, and what everybody else is told."""

import base64
import datetime
import hashlib
import html
import ipaddress
import json
import re
import subprocess
import urllib.parse
from contextlib import contextmanager

import pytest
import requests
from bedrock_agentcore_starter_toolkit.services.runtime import HttpBedrockAgentCoreClient
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import (
    ACCOUNT, EXAMPLES, REGION, ROOT, SESSION_HEADER, Answer, environment, innkeep, new_session, running_server, wait_for,
)
from test_code_zips import KEY as S3_KEY
from test_code_zips import running_store
from test_runtime_fields import free_port

MISMATCH = "Authorization method mismatch."
UNREACHABLE = "the issuer of this agent's tokens cannot be reached"
LOOPBACK = {"jwt_private_issuers": "127.0.0.0/8"}


class Issuer:
    """One provider, as a process of its own."""

    def __init__(self, port=0, **tls):
        if not (ROOT / "e2e/node_modules/oidc-provider").is_dir():
            pytest.skip("the provider is not here: npm ci, in e2e")
        self.process = subprocess.Popen(
            ["node", ROOT / "e2e/clients/issuer.mjs", json.dumps({"port": port, **tls})], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(),
        )
        line = self.process.stdout.readline()
        assert line, "the provider did not start"
        self.issuer = json.loads(line)["issuer"]
        self.port = urllib.parse.urlsplit(self.issuer).port
        self.discovery_url = f"{self.issuer}/.well-known/openid-configuration"

    def rotate(self):
        self.process.stdin.write("rotate\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline()

    def stop(self):
        self.process.kill()
        self.process.wait()

    def token(self, client="program", algorithm="RS256", scope="invoke", **more) -> str:
        """By the client's own right."""
        form = {"grant_type": "client_credentials", "resource": f"urn:agents:{algorithm}", "scope": scope}
        answer = requests.post(
            f"{self.issuer}/token", form, auth=(client, urllib.parse.quote(f"secret of {client}")), timeout=10, **more
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def token_of(self, user) -> str:
        """As a browser would get it for somebody: by login, consent and code."""
        verifier = "a-verifier-of-more-than-forty-three-characters-0"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        callback = "http://127.0.0.1/callback"
        asked = {
            "client_id": "browser", "response_type": "code", "redirect_uri": callback, "scope": "openid invoke",
            "resource": "urn:agents:RS256", "code_challenge": challenge, "code_challenge_method": "S256",
        }
        browser = requests.Session()
        answer = browser.get(f"{self.issuer}/auth", params=asked, allow_redirects=False, timeout=10)
        for _ in range(12):
            if not answer.is_redirect:
                action = html.unescape(re.search(r'<form[^>]* action="([^"]+)"', answer.text)[1])
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)[1]
                form = {"prompt": prompt, "login": user, "password": "any"}
                answer = browser.post(urllib.parse.urljoin(self.issuer, action), form, allow_redirects=False, timeout=10)
                continue
            location = urllib.parse.urljoin(self.issuer, answer.headers["location"])
            if location.startswith(callback):
                break
            answer = browser.get(location, allow_redirects=False, timeout=10)
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["code"][0]
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": callback, "code_verifier": verifier,
            "resource": "urn:agents:RS256",
        }
        answer = requests.post(
            f"{self.issuer}/token", form, auth=("browser", urllib.parse.quote("secret of browser")), timeout=10
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]


@contextmanager
def running_issuer(**options):
    issuer = Issuer(**options)
    try:
        yield issuer
    finally:
        issuer.stop()


@pytest.fixture(scope="module")
def issuer():
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def jwt_server():
    with running_server(**LOOPBACK) as server:
        yield server


def deploy(server, issuer, **rules):
    """A runtime that takes the issuer's tokens for one client, unless the rules say otherwise."""
    rules = rules or {"allowedClients": ["program"]}
    authorizer = {"customJWTAuthorizer": {"discoveryUrl": issuer.discovery_url} | rules}
    return server.deploy(EXAMPLES / "hello", authorizerConfiguration=authorizer)


@pytest.fixture(scope="module")
def agent(jwt_server, issuer):
    return deploy(jwt_server, issuer)


def call(agent, token=None, operation="invocations", session=None, body=b'{"prompt": "2+2"}', **headers) -> Answer:
    """With a token, or with nothing at all."""
    headers |= {"Content-Type": "application/json", SESSION_HEADER: session or new_session()}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    url = agent.server.url + agent.path.removesuffix("invocations") + operation
    answer = requests.post(url, body, headers=headers, timeout=60)
    return Answer(answer.status_code, answer.headers, answer.content)


def refused(answer, status, message):
    assert (answer.status, message in answer.json()["message"]) == (status, True), (answer.status, answer.body)
    return answer


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_program_invokes_and_stops_with_its_own_token(agent, issuer, algorithm):
    token, session = issuer.token(algorithm=algorithm), new_session()
    for start in ("cold", "warm"):
        answer = call(agent, token, session=session)
        assert (answer.status, answer.headers["x-innkeep-start"]) == (200, start), answer.body
    stopped = call(agent, token, "stopruntimesession", session, body=b"")
    assert (stopped.status, stopped.json()) == (200, {})
    # Ended, or ending still.
    assert call(agent, token, "stopruntimesession", session, body=b"").status in (404, 409)


def test_a_user_invokes_with_the_token_that_a_browser_got(jwt_server, issuer):
    agent = deploy(jwt_server, issuer, allowedClients=["browser"], allowedAudience=["agents"], allowedScopes=["invoke"])
    assert call(agent, issuer.token_of("alice")).status == 200
    refused(call(agent, issuer.token()), 401, "Claim 'client_id' value mismatch with configuration.")


def test_every_rule_must_hold(jwt_server, issuer):
    claim = lambda name, kind, operator, value: {
        "inboundTokenClaimName": name, "inboundTokenClaimValueType": kind,
        "authorizingClaimMatchValue": {"claimMatchOperator": operator, "claimMatchValue": value},
    }
    team = claim("team", "STRING", "EQUALS", {"matchValueString": "blue"})
    groups = claim("groups", "STRING_ARRAY", "CONTAINS_ANY", {"matchValueStringList": ["admins", "owners"]})
    token = issuer.token()
    assert call(deploy(jwt_server, issuer, allowedAudience=["agents"], customClaims=[team, groups]), token).status == 200
    red = claim("team", "STRING", "EQUALS", {"matchValueString": "red"})
    for rules, name in [
        ({"allowedAudience": ["other"]}, "aud"),
        ({"allowedScopes": ["read"]}, "scope"),
        ({"allowedAudience": ["agents"], "customClaims": [red]}, "team"),
    ]:
        agent = deploy(jwt_server, issuer, **rules)
        refused(call(agent, token), 401, f"Claim '{name}' value mismatch with configuration.")


def test_who_shows_no_token_finds_the_issuer_by_the_answer(agent, issuer):
    answer = refused(call(agent), 401, "A bearer token is required")
    metadata = f"{agent.server.url}{agent.path}/.well-known/oauth-protected-resource?qualifier=DEFAULT"
    assert answer.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{metadata}"'
    assert answer.headers["x-amzn-errortype"] == "UnauthorizedException"
    told = requests.get(metadata, timeout=10)
    assert (told.status_code, told.headers["content-type"]) == (200, "application/json")
    resource = f"{agent.server.url}{agent.path}?qualifier=DEFAULT"
    assert told.json() == {"authorization_servers": [issuer.issuer], "resource": resource}
    found = requests.get(f"{told.json()['authorization_servers'][0]}/.well-known/openid-configuration", timeout=10)
    assert found.json()["issuer"] == issuer.issuer


def test_tokens_of_others_and_tokens_that_were_changed_are_refused(agent, issuer):
    refused(call(agent, issuer.token("other")), 401, "Claim 'client_id' value mismatch")
    head, claims, signature = issuer.token().split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"client_id": "program", "exp": 4102444800}
    changed = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    refused(call(agent, f"{head}.{changed}.{signature}"), 401, "The token's signature does not match")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert call(agent, f"{none}.{claims}.").status in (401, 403)
    refused(call(agent, "no-token"), 403, "OAuth authorization failed: Failed to parse token")
    with running_issuer() as another:
        refused(call(agent, another.token()), 401, "")


def test_each_way_in_refuses_who_comes_by_the_other(agent, jwt_server, issuer):
    with pytest.raises(ClientError) as error:
        agent.invoke({"prompt": "2+2"})
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert error.value.response["Error"]["Message"].startswith(MISMATCH)
    signed = jwt_server.deploy(EXAMPLES / "hello")
    refused(call(signed, issuer.token()), 403, MISMATCH)
    metadata = f"{jwt_server.url}{signed.path}/.well-known/oauth-protected-resource"
    assert requests.get(metadata, timeout=10).status_code == 404


def test_a_body_passes_whole_under_a_token(agent, issuer):
    token, large = issuer.token(), json.dumps({"prompt": "x" * (5 << 20)}).encode()
    assert call(agent, token, body=large).status == 200
    assert call(agent, token, body=iter([b'{"prompt": ', b'"2+2"}'])).status == 200


def test_the_command_line_takes_a_token(agent, issuer, tmp_path):
    data_dir = agent.server.data_dir
    ran = innkeep("invoke", agent.id, "What is 2+2?", "--token", issuer.token(), data_dir=data_dir)
    assert (ran.returncode, "4" in ran.stdout) == (0, True), ran.stderr
    (tmp_path / "token").write_text(issuer.token("other") + "\n")
    ran = innkeep("invoke", agent.arn, "Hi", "--token", f"@{tmp_path / 'token'}", data_dir=data_dir)
    assert ran.returncode == 4 and "Claim 'client_id' value mismatch" in ran.stderr, ran.stderr
    ran = innkeep("invoke", agent.id, "Hi", data_dir=data_dir)
    assert ran.returncode == 4 and MISMATCH in ran.stderr and "--token" in ran.stderr, ran.stderr
    ran = innkeep("invoke", agent.id, "Hi", "--token", "secret.secret.secret", "--curl", data_dir=data_dir)
    assert ran.returncode == 0 and "$TOKEN" in ran.stdout and "secret" not in ran.stdout, ran.stdout


def test_the_starter_toolkit_invokes_with_a_token(agent, issuer):
    client = HttpBedrockAgentCoreClient(REGION)
    client.dp_endpoint = agent.server.url  # a variable gives it, which is read when the module is
    answer = client.invoke_endpoint(agent.arn, {"prompt": "2+2"}, new_session(), issuer.token(), user_id="alice")
    assert "4" in json.dumps(answer)
    with pytest.raises(ValueError, match="401 Unauthorized"):
        client.invoke_endpoint(agent.arn, {"prompt": "2+2"}, new_session(), None)


def test_keys_are_renewed_and_an_outage_does_not_open_anything(jwt_server):
    # A port that the kernel gives to nobody else meanwhile.
    with running_issuer(port=free_port()) as issuer:
        agent, late = deploy(jwt_server, issuer), deploy(jwt_server, issuer)
        old = issuer.token()
        assert call(agent, old).status == 200
        issuer.rotate()
        assert call(agent, issuer.token()).status == 200, "a key that is new is asked for"
        refused(call(agent, old), 401, "The token is signed with a key that its issuer does not publish")
        good, port = issuer.token(), issuer.port
        issuer.stop()
        assert call(agent, good).status == 200, "in an outage, known keys are good for a time"
        assert call(late, good).status == 200, "of the issuer, and not of the runtime"
    unknown = Issuer(port=port)
    try:
        # Others live at its address now. Asked once in this minute already, the server does not ask for their keys.
        refused(call(agent, unknown.token()), 401, "")
    finally:
        unknown.stop()


def test_an_issuer_that_is_down_from_the_start_lets_nobody_in(jwt_server):
    with running_issuer() as issuer:
        token, agent = issuer.token(), deploy(jwt_server, issuer)
    refused(call(agent, token), 403, UNREACHABLE)
    refused(call(agent), 401, "A bearer token is required")
    refused(call(agent, "no-token"), 403, "Failed to parse token")


def test_private_addresses_are_not_asked_unless_settings_name_them(issuer):
    with running_server() as server:
        agent = deploy(server, issuer)
        refused(call(agent, issuer.token()), 403, UNREACHABLE)
        wait_for("the log to say what to do", lambda: "jwt_private_issuers" in server.stderr)


@pytest.fixture(scope="module")
def certificate():
    """Of a private CA for an issuer on loopback: the CA's PEM, and key and certificate of the issuer."""
    pem = serialization.Encoding.PEM
    now = datetime.datetime.now(datetime.timezone.utc)

    def certify(name, key, signer, by, *extensions):
        named = lambda name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(by)).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = certify("a CA", ca_key, ca_key, "a CA", (x509.BasicConstraints(ca=True, path_length=None), True))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own = certify("an issuer", key, ca_key, "a CA", (address, False))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ca.public_bytes(pem).decode(), secret.decode(), own.public_bytes(pem).decode()


def test_an_issuer_with_a_private_ca_is_believed_where_settings_name_it(certificate, tmp_path):
    ca, key, cert = certificate
    (tmp_path / "ca.pem").write_text(ca)
    with running_issuer(key=key, cert=cert) as issuer:
        token = issuer.token(verify=str(tmp_path / "ca.pem"))
        with running_server(**LOOPBACK) as server:
            refused(call(deploy(server, issuer), token), 403, UNREACHABLE)
            wait_for("the log to say what to do", lambda: "jwt_ca_file" in server.stderr)
        with running_server(**LOOPBACK, jwt_ca_file=tmp_path / "ca.pem") as server:
            assert call(deploy(server, issuer), token).status == 200


def test_a_runtime_names_the_private_ca_of_its_own_issuer(certificate, tmp_path):
    ca, key, cert = certificate
    (tmp_path / "ca.pem").write_text(ca)
    with running_issuer(key=key, cert=cert) as issuer, running_store() as store:
        store.s3.create_bucket(Bucket="certificates")
        store.put(ca.encode(), "ca.pem", "certificates")
        store.put(b"no certificate", "none.pem", "certificates")
        token = issuer.token(verify=str(tmp_path / "ca.pem"))
        by = lambda **place: {"allowedClients": ["program"], "certificateConfigurations": [place]}
        secret = f"arn:aws:secretsmanager:us-west-2:{ACCOUNT}:secret:ca"
        with running_server(**LOOPBACK, s3_endpoint=store.url, **S3_KEY) as server:
            assert call(deploy(server, issuer, **by(s3={"uri": "s3://certificates/ca.pem"})), token).status == 200
            refused(call(deploy(server, issuer), token), 403, UNREACHABLE)
            # What nobody could be let in with is not deployed.
            for place, why in [
                ({"s3": {"uri": "s3://certificates/none.pem"}}, "has no certificate"),
                ({"s3": {"uri": "s3://certificates/absent.pem"}}, "absent.pem"),
                ({"secretsManager": {"secretArn": secret}}, "there is no secrets manager here"),
            ]:
                with pytest.raises(Exception, match=why):
                    deploy(server, issuer, **by(**place))
