"""Where the time of a session's start goes: one measurement, shown to the caller, to operators, on the command line, in metrics."""

import json
import re

import pytest

from harness import innkeep, new_session, running_server

PHASES = ["queue", "launch", "agent", "ping", "first-byte"]

# Milliseconds until it binds its port, until it answers its health check, and until it begins an answer.
IMPORTS, WAKES, THINKS = 300, 100, 150

AGENT = f"""
import http.server, time
time.sleep({IMPORTS / 1000})
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep({WAKES / 1000})
        self.reply(b'{{"status": "Healthy"}}')
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep({THINKS / 1000})
        self.reply(b'"done"')
    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Server-Timing", "start;desc=forged")
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def server():
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def slow(server, tmp_path_factory):
    """An agent that takes its time, of which it says nothing itself."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "main.py").write_text(AGENT)
    return server.deploy(folder)


def timing(answer) -> list[str]:
    value = answer["ResponseMetadata"]["HTTPHeaders"].get("server-timing", "")
    return value.split(", ") if value else []


def test_the_request_that_waited_is_told_where_the_time_went_and_operators_see_the_same(server, slow):
    session = new_session()
    way, *phases = timing(slow.invoke({}, session))
    assert way == "start;desc=cold"
    took = dict(phase.split(";dur=") for phase in phases)
    assert list(took) == PHASES
    took = {phase: float(ms) for phase, ms in took.items()}
    # The agent may be at it before the server has read that it is launched.
    assert took["launch"] + took["agent"] >= IMPORTS and took["first-byte"] >= THINKS
    # Relative: on a busy machine everything takes longer.
    assert max(took["queue"], took["launch"], took["ping"]) < took["agent"], took

    view = slow.view(session)
    shown = view["start"]
    names = ["queueMs", "launchMs", "agentMs", "pingMs", "firstByteMs"]
    assert shown.pop("way") == "cold" and [round(shown[name] - ms, 1) for name, ms in zip(names, took.values())] == [0] * 5
    # They are all of the time, up to what the record of the session takes.
    # (It waits in the queue before there is a session, too.)
    assert took["launch"] + took["agent"] + took["ping"] <= view["readyMs"] + 2
    assert view["readyMs"] - 50 <= sum(took.values())

    again = slow.invoke({}, session)
    assert timing(again) == [] and again["ResponseMetadata"]["HTTPHeaders"]["x-innkeep-start"] == "warm"
    assert slow.view(session)["start"] == shown | {"way": "cold"}


def test_the_command_line_shows_it(server, slow):
    def run(*arguments):
        ran = innkeep(*arguments, data_dir=server.data_dir)
        assert ran.returncode == 0, ran.stderr
        return ran

    footer = run("invoke", slow.id, "x", "-s", "shown").stderr
    phases = r"(?:queue \d+, )?launch (\d+), agent (\d+), (?:ping \d+, )?first byte (\d+)"
    told = re.search(rf"cold \d+ ms \({phases}\) total ", footer)
    assert told, footer
    launch, agent, first_byte = map(int, told.groups())
    assert launch + agent + 1 >= IMPORTS and first_byte >= THINKS, footer  # each is rounded
    assert re.search(r"warm \d+ ms total ", run("invoke", slow.id, "x", "-s", "shown").stderr)
    inspected = run("sessions", "inspect", "shown").stdout
    assert re.search(r"^start +.*launch \d+, agent \d+, .*first byte \d+ ms$", inspected, re.MULTILINE), inspected

    answer = json.loads(run("invoke", slow.id, "x", "--json").stdout)
    assert answer["startWay"] == "cold" and list(answer["startMs"]) == sorted(PHASES)
    answer = json.loads(run("invoke", slow.id, "x", "-s", "shown", "--json").stdout)
    assert answer["startWay"] is None and answer["startMs"] is None


def test_metrics_count_every_phase_by_the_way_that_the_sandbox_came_about(server, slow):
    def count():
        token = (server.data_dir / "operator-token").read_text().strip()
        text = server.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}, sign=False).body.decode()
        series = r'^innkeep_session_start_phase_seconds_count\{tier="[a-z]+",way="(\w+)",phase="([a-z-]+)"\} (\d+)$'
        return {(way, phase): int(n) for way, phase, n in re.findall(series, text, re.MULTILINE)}

    before = count()
    slow.invoke({}, new_session())
    after = count()
    assert [phase for (way, phase) in after if way == "cold"] == PHASES
    assert {series: n - before[series] for series, n in after.items()} == {
        (way, phase): int(way == "cold") for (way, phase) in after
    }
