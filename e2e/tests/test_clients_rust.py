"""The AWS SDK for Rust (rust-sdk/), the strictest about timestamps."""

import json
import subprocess
import time

import pytest

from harness import EXAMPLES, ROLE, ROOT, new_session

TARGET = ROOT / "target" / "rust-sdk"


@pytest.fixture(scope="module")
def program():
    """The client, built; `cargo xtask test` did so before, as cold it takes minutes."""
    manifest = ROOT / "e2e" / "rust-sdk" / "Cargo.toml"
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", TARGET]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return TARGET / "debug" / "innkeep-rust-sdk-client"


@pytest.fixture
def run(server, program):
    """Has the client do something and returns what it printed."""
    uploaded = server.upload(EXAMPLES / "raw-node")
    asked = {
        "url": server.url, "role": ROLE, "accessKey": server.key.access_key, "secretKey": server.key.secret_key,
        "bucket": uploaded["bucket"], "prefix": uploaded["prefix"], "runtime": uploaded["runtime"],
        "entryPoint": uploaded["entryPoint"][0],
    }

    def run(what, session=""):
        arguments = json.dumps(asked | {"do": what, "session": session})
        ran = subprocess.run([program, arguments], capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


def test_the_life_of_a_runtime(run):
    session, started = new_session(), time.time()
    printed = run("life", session)
    assert printed["status"] == "READY"
    for time_of in ("createdAt", "lastUpdatedAt"):
        assert started - 60 < printed[time_of] < time.time() + 60
    assert printed["plain"] == {"result": 'You said "grüß dich".', "turn": 1}
    assert printed["streamed"]["contentType"].startswith("text/event-stream")
    words = [json.loads(line[6:])["word"] for line in printed["streamed"]["text"].split("\n\n") if line]
    assert " ".join(words) == 'You said "one two"; before that, "grüß dich".'
    assert len(printed["madeUpSession"]) >= 33 and printed["madeUpSession"] != session
    assert "rust_sdk" in printed["names"]
    [[name, version, created_at]] = printed["endpoints"]
    assert (name, version) == ("DEFAULT", "1") and started - 60 < created_at < time.time() + 60
    assert (printed["stopped"], printed["deleted"]) == (session, "DELETING")
    assert printed["refused"] == "ResourceNotFoundException"


def test_every_operation_of_the_control_plane(run):
    started = time.time()
    printed = run("control_plane")
    runtime, versions, endpoints, provider = (printed[what] for what in ("runtime", "versions", "endpoints", "capacityProvider"))
    for about_now in (*runtime["times"], *versions["times"], *endpoints["times"], *provider["times"], *provider["listed"]):
        assert started - 60 < about_now < time.time() + 60, printed
    assert (runtime["description"], runtime["lifecycle"], runtime["environment"]) == ("first", [600, 3600], "green")
    assert versions["updated"] == ["2", "UPDATING"] and versions["first"] == "first"
    assert sorted(versions["listed"]) == [["1", "first", "READY"], ["2", "second", "READY"]]
    assert endpoints["created"] == ["1", "prod"] and endpoints["live"] == ["1", "2", "2"]
    assert (endpoints["description"], sorted(endpoints["listed"])) == ("for people", ["DEFAULT", "prod"])
    assert printed["tags"] == [{"stage": "test", "team": "two"}, 0]
    assert printed["policy"] == [True, True, None]
    assert (provider["status"], provider["described"], provider["runtimes"]) == ("READY", "described", 0)
    assert len(provider["listed"]) >= 1
    assert endpoints["deleted"] == provider["deleted"] == "DELETING"
    assert printed["refused"] == {"invalid": ["FieldValidationFailed", ["maxResults"]], "conflict": True, "missing": True}
