"""Bodies of any size: streamed, byte for byte, past the sidecar, and without a write to disk where none is needed."""

import json
import subprocess
import tempfile

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, SESSION_HEADER, io_counters, new_session, wait_for
from machine import resident

MEGABYTE = 1_000_000


def sidecar_of(agent_pid) -> int:
    """The process whose child the agent is."""
    with open(f"/proc/{agent_pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


def upload(probe, session, count):
    with tempfile.TemporaryFile() as file:
        file.truncate(count)
        answer = probe.invoke(raw=file, session=session, contentType="application/octet-stream")
        return json.loads(answer["response"].read())


def download(probe, session, count) -> int:
    answer = probe.invoke({"do": "download", "count": count}, session)
    return sum(len(block) for block in answer["response"].iter_chunks(1 << 20))


@pytest.mark.host
def test_100_megabytes_pass_in_both_directions_and_not_through_the_sidecar(probe):
    session = new_session()
    sidecar = sidecar_of(probe.ask({"do": "facts"}, session)["pid"])
    before = io_counters(sidecar)
    assert upload(probe, session, 100 * MEGABYTE) == {"bytes": 100 * MEGABYTE, "length": str(100 * MEGABYTE)}
    assert download(probe, session, 100 * MEGABYTE) == 100 * MEGABYTE
    after = io_counters(sidecar)
    moved = after["rchar"] + after["wchar"] - before["rchar"] - before["wchar"]
    # Pings and their answers are a few hundred bytes each.
    assert moved < 100_000, f"the sidecar moved {moved} bytes"


def test_a_body_over_100_megabytes_is_refused(probe):
    with pytest.raises(ClientError) as caught:
        upload(probe, new_session(), 100 * MEGABYTE + 1)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_an_empty_body_is_passed_on(probe):
    answer = probe.invoke(raw=b"", session=new_session(), contentType="application/octet-stream")
    assert json.loads(answer["response"].read())["bytes"] == 0


def test_the_server_s_memory_does_not_follow_the_body(probe):
    session = new_session()
    upload(probe, session, MEGABYTE)
    before = resident(probe.server.pid)
    upload(probe, session, 100 * MEGABYTE)
    download(probe, session, 100 * MEGABYTE)
    assert (resident(probe.server.pid) - before) * (1 << 20) < 30 * MEGABYTE


def test_1000_warm_invokes_write_nothing_to_disk(own_server):
    agent = own_server.deploy(AGENTS / "probe")
    session = new_session()
    for _ in range(10):
        agent.ask({"do": "answer", "text": "{}"}, session)
    # What the start of the session wrote is on its way to the disk for a moment longer.
    last = [-1]

    def is_quiet():
        last.append(io_counters(own_server.pid)["write_bytes"])
        return len(last) > 100 and len(set(last[-100:])) == 1

    wait_for("the server's writes to settle", is_quiet)
    before = io_counters(own_server.pid)["write_bytes"]
    for _ in range(1000):
        agent.ask({"do": "answer", "text": "{}"}, session)
    assert io_counters(own_server.pid)["write_bytes"] == before


@pytest.mark.parametrize("count", [3, 2 * MEGABYTE])
def test_curl_with_expect_100_continue_is_answered(probe, tmp_path, count):
    body = tmp_path / "body"
    body.write_bytes(b"x" * count)
    headers = probe.server.signed(
        "POST", probe.path, body.read_bytes(),
        {"Content-Type": "application/octet-stream", SESSION_HEADER: new_session()},
    )
    options = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
    ran = subprocess.run(
        ["curl", "-sS", "-v", "--max-time", "30", "--expect100-timeout", "20", "-H", "Expect: 100-continue", *options,
         "--data-binary", f"@{body}", probe.server.url + probe.path],
        capture_output=True, text=True, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["bytes"] == count
    assert "HTTP/1.1 100 Continue" in ran.stderr


def test_curl_that_is_refused_never_sends_its_body(probe, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * MEGABYTE)
    ran = subprocess.run(
        ["curl", "-sS", "-v", "--max-time", "30", "--expect100-timeout", "20", "-H", "Expect: 100-continue",
         "-H", "Content-Type: application/octet-stream", "--data-binary", f"@{body}", probe.server.url + probe.path],
        capture_output=True, text=True, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "HTTP/1.1 403" in ran.stderr and "100 Continue" not in ran.stderr


def test_a_chunked_body_is_accepted(probe, tmp_path):
    """A signature covers the body's bytes, not how they are framed; the agent gets a length, for it may know no chunks."""
    body = tmp_path / "body"
    body.write_bytes(b"x" * 100_000)
    headers = probe.server.signed(
        "POST", probe.path, body.read_bytes(),
        {"Content-Type": "application/octet-stream", SESSION_HEADER: new_session()},
    )
    headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    options = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
    ran = subprocess.run(
        ["curl", "-sS", "--max-time", "30", "-H", "Transfer-Encoding: chunked", *options,
         "--data-binary", f"@{body}", probe.server.url + probe.path],
        capture_output=True, text=True, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"bytes": 100_000, "length": "100000"}
