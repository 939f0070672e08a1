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


def test_the_life_of_a_runtime(server, program):
    session, started = new_session(), time.time()
    uploaded = server.upload(EXAMPLES / "raw-node")
    asked = {
        "url": server.url, "session": session, "role": ROLE, "accessKey": server.key.access_key,
        "secretKey": server.key.secret_key, "bucket": uploaded["bucket"], "prefix": uploaded["prefix"],
        "runtime": uploaded["runtime"], "entryPoint": uploaded["entryPoint"][0],
    }
    ran = subprocess.run([program, json.dumps(asked)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
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
