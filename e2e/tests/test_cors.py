"""CORS by setting: what pages of which origins are told, and that nobody is let in by it."""

import http.client
import urllib.parse

import pytest

from harness import AGENTS, innkeep, running_server

PAGE = "https://app.example.com"


def ask(server, method, path, **headers):
    """One request as it is, for what `http.client` and boto3 would not send."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def preflight(server, path, origin=PAGE, method="POST"):
    return ask(
        server, "OPTIONS", path, Origin=origin, Access_Control_Request_Method=method,
        Access_Control_Request_Headers="authorization,content-type",
    )


@pytest.fixture(scope="module")
def listing():
    with running_server(cors_origins=f"{PAGE}, http://localhost:3000") as server:
        yield server


@pytest.fixture(scope="module")
def agent(listing):
    return listing.deploy(AGENTS / "probe")


def test_a_preflight_needs_no_authentication_and_tells_nothing_of_agents(listing, agent):
    for path in (agent.path, "/agents/nowhere/invocations", "/runtimes/nothing/stopruntimesession"):
        status, headers, body = preflight(listing, path)
        assert (status, body) == (204, b""), path
        assert headers["access-control-allow-origin"] == PAGE
        assert headers["access-control-allow-headers"] == "authorization,content-type"
        assert "POST" in headers["access-control-allow-methods"] and int(headers["access-control-max-age"]) > 0
    status, headers, _ = preflight(listing, agent.path, "https://evil.example.com")
    assert status == 403 and "access-control-allow-origin" not in headers


def test_pages_get_to_agents_and_to_nothing_else(listing):
    for path in ("/innkeep/v1/sessions", "/metrics", "/runtimes/", "/healthz"):
        status, headers, _ = preflight(listing, path, method="GET")
        assert status != 204 and "access-control-allow-origin" not in headers, path
        _, headers, _ = ask(listing, "GET", path, Origin=PAGE)
        assert "access-control-allow-origin" not in headers, path


def test_answers_are_labelled_for_those_who_are_listed(listing, agent):
    def answered(origin, **signing):
        answer = listing.request("POST", agent.path, b"{}", {"Origin": origin}, **signing)
        return answer.status, answer.headers["Access-Control-Allow-Origin"], answer.headers["Access-Control-Allow-Credentials"]

    assert answered(PAGE) == (200, PAGE, "true")
    assert answered("http://localhost:3000") == (200, "http://localhost:3000", "true")
    assert answered("https://evil.example.com") == (200, None, None)
    assert answered(PAGE, sign=False) == (403, PAGE, "true"), "nobody is let in by where his page is from"


def test_any_page_may_call_but_never_with_what_the_browser_has():
    with running_server(cors_origins="*") as server:
        agent = server.deploy(AGENTS / "probe")
        answer = server.request("POST", agent.path, b"{}", {"Origin": "https://anywhere.example.com"})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
        assert answer.headers["Access-Control-Allow-Credentials"] is None
        assert "Session-Id" in answer.headers["Access-Control-Expose-Headers"]
        assert preflight(server, agent.path, "https://anywhere.example.com")[0] == 204


def test_without_the_setting_there_is_none(server, probe):
    answer = server.request("POST", probe.path, b"{}", {"Origin": PAGE})
    assert answer.status == 200 and not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert preflight(server, probe.path)[0] == 404


def test_what_is_no_origin_is_refused_by_name(tmp_path):
    (tmp_path / "innkeep.toml").write_text('cors_origins = ["app.example.com"]\n')
    ran = innkeep("serve", "--print-config", data_dir=tmp_path)
    assert ran.returncode != 0 and "cors_origins" in ran.stderr and "https://app.example.com" in ran.stderr, ran.stderr
