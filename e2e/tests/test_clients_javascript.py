"""The AWS SDK for JavaScript v3, set up by the variables that `innkeep env` prints (clients/javascript.mjs)."""

import json
import subprocess
import time

from harness import EXAMPLES, ROLE, ROOT, environment, innkeep, new_session


def test_the_life_of_a_runtime(server):
    session, started = new_session(), time.time()
    definition = {
        "agentRuntimeName": "javascript", "agentRuntimeArtifact": server.artifact(EXAMPLES / "raw-node"),
        "roleArn": ROLE, "networkConfiguration": {"networkMode": "PUBLIC"},
    }
    variables = json.loads(innkeep("env", "--shell", "json", data_dir=server.data_dir).stdout)
    ran = subprocess.run(
        ["node", ROOT / "e2e/clients/javascript.mjs", json.dumps({"definition": definition, "session": session})],
        env=environment(**variables), capture_output=True, text=True, timeout=120, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
    assert printed["status"] == "READY"
    assert started - 60 < printed["createdAt"] < time.time() + 60
    assert printed["plain"] == {"result": 'You said "grüß dich".', "turn": 1}
    assert printed["streamed"]["contentType"].startswith("text/event-stream")
    words = [json.loads(line[6:])["word"] for line in printed["streamed"]["text"].split("\n\n") if line]
    assert " ".join(words) == 'You said "one two"; before that, "grüß dich".'
    [started_event, *deltas, stopped_event] = printed["events"]
    assert started_event == {"contentStart": {}}
    assert stopped_event == {"contentStop": {"exitCode": 3, "status": "COMPLETED"}}
    said = [("".join(delta["contentDelta"].get(output, "") for delta in deltas)) for output in ("stdout", "stderr")]
    assert said == ["grüß\n", "err\n"]
    assert printed["refused"] == {"name": "RuntimeClientError", "status": 424, "attempts": 1}
    assert "javascript" in printed["names"]
    assert printed["endpoints"] == [["DEFAULT", "1", True]]
    assert (printed["stopped"], printed["deleted"]) == (session, "DELETING")
