"""A real browser: pages open sockets by a presigned URL and with a token, and call agents by name from another origin."""

import base64
import json
import shutil
import subprocess
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from harness import EXAMPLES, REGION, ROOT, SESSION_HEADER, environment, innkeep, new_session, running_server

CHROMIUM = shutil.which("chromium")
PLAYWRIGHT = ROOT / "e2e/node_modules/playwright-core"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium"),
    pytest.mark.skipif(not PLAYWRIGHT.exists(), reason="playwright-core is not installed: npm ci, in e2e"),
]


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<!doctype html><title>a page</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page():
    """The origin of pages that may call; `localhost` in place of its address is another origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()


def foreign(page) -> str:
    return page.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def server(page):
    with running_server("--dev-issuer", cors_origins=page) as server:
        yield server


@pytest.fixture(scope="module")
def open_to_tokens(server):
    rules = {"discoveryUrl": f"{server.url}/innkeep/dev-issuer/.well-known/openid-configuration", "allowedClients": ["page"]}
    return {"authorizerConfiguration": {"customJWTAuthorizer": rules}}


@pytest.fixture(scope="module")
def token(server):
    ran = innkeep("token", "--sub", "alice", "--client-id", "page", data_dir=server.data_dir)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def browse(*steps):
    told = json.dumps({"program": CHROMIUM, "steps": steps})
    ran = subprocess.run(
        ["node", ROOT / "e2e/clients/browser.mjs", told], env=environment(), capture_output=True, text=True, timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def socket(agent, suffix="/ws", **query) -> str:
    base = agent.path.removesuffix("/invocations") + suffix
    return agent.server.url.replace("http", "ws", 1) + base + ("?" + urllib.parse.urlencode(query) if query else "")


def presigned(agent, session) -> str:
    """As any AWS SDK would sign it, for a browser that has no key."""
    request = AWSRequest("GET", socket(agent, **{SESSION_HEADER: session}).replace("ws", "http", 1))
    SigV4QueryAuth(agent.server.key, "bedrock-agentcore", REGION, expires=300).add_auth(request)
    return request.url.replace("http", "ws", 1)


def test_a_page_opens_a_presigned_url_and_no_other_page_does(server, page):
    agent, session = server.deploy(EXAMPLES / "ws-echo"), new_session()
    url = presigned(agent, session)
    opened, refused, broken = browse(
        {"origin": page, "does": "socket", "url": url, "word": "grüß dich"},
        {"origin": foreign(page), "does": "socket", "url": url, "word": "grüß dich"},
        {"origin": page, "does": "socket", "url": url.replace(session, new_session()), "word": "grüß dich"},
    )
    assert json.loads(opened["heard"][0])["session"] == session
    assert (opened["heard"][1], opened["code"]) == ("grüß dich", 1000)
    # A browser does not tell its page more.
    for failed in (refused, broken):
        assert (failed["heard"], failed["code"]) == ([], 1006)


def test_a_page_shows_its_token_as_a_subprotocol(server, page, open_to_tokens, token):
    agent = server.deploy(EXAMPLES / "ws-echo", **open_to_tokens)
    name = agent.id.rsplit("-", 1)[0]
    encoded = base64.urlsafe_b64encode(token.encode()).rstrip(b"=").decode()
    protocols = [f"base64UrlBearerAuthorization.{encoded}", "base64UrlBearerAuthorization"]
    by_name = f"{server.url.replace('http', 'ws', 1)}/agents/{name}/ws?session_id=alice"
    step = {"origin": page, "does": "socket", "protocols": protocols, "word": "ahoy"}
    opened, named, without = browse(
        step | {"url": socket(agent)}, step | {"url": by_name}, step | {"url": socket(agent), "protocols": protocols[1:]},
    )
    for answered in (opened, named):
        assert (answered["heard"][1], answered["code"], answered["protocol"]) == ("ahoy", 1000, protocols[1])
    assert json.loads(named["heard"][0])["session"].startswith("alice-")
    assert (without["heard"], without["code"]) == ([], 1006)


def test_a_page_calls_an_agent_by_name_from_another_origin(server, page, open_to_tokens, token):
    agent = server.deploy(EXAMPLES / "hello", **open_to_tokens)
    url = f"{server.url}/agents/{agent.id.rsplit('-', 1)[0]}/invocations"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"prompt": "2+2", "session_id": "alice"})
    step = {"origin": page, "does": "request", "url": url, "init": {"method": "POST", "headers": headers, "body": body}}
    answered, listed, without, refused = browse(
        step,
        step | {"init": step["init"] | {"credentials": "include"}},
        step | {"init": step["init"] | {"headers": {"Content-Type": "application/json"}}},
        step | {"origin": foreign(page)},
    )
    for good in (answered, listed):
        assert good["status"] == 200 and "4" in good["body"], good
        assert good["session"].startswith("alice-"), "a page reads which session it was"
    assert without["status"] == 401 and "bearer token" in without["body"], "a page reads why"
    assert refused == {"blocked": "TypeError"}
