"""AWS CLI v1, set up by the variables that `innkeep env` prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ACCOUNT, EXAMPLES, REGION, ROLE, environment, innkeep, new_session, wait_for


@pytest.fixture(scope="module")
def aws(server):
    """Returns a function that runs `aws` with nothing set but what `innkeep env` says."""
    printed = innkeep("env", "--shell", "json", data_dir=server.data_dir)
    assert printed.returncode == 0, printed.stderr
    variables = environment(**json.loads(printed.stdout))

    def run(*arguments, status=0):
        program = Path(sys.executable).with_name("aws")
        ran = subprocess.run(
            [program, *arguments, "--output", "json"], env=variables, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60, check=False,
        )
        assert ran.returncode == status, (ran.returncode, ran.stdout, ran.stderr)
        return json.loads(ran.stdout) if ran.stdout else ran.stderr

    return run


def control(aws, *arguments, **options):
    return aws("bedrock-agentcore-control", *arguments, **options)


def test_the_life_of_a_runtime(aws, server, tmp_path):
    definition = [
        "--agent-runtime-artifact", json.dumps(server.artifact(EXAMPLES / "hello")), "--role-arn", ROLE,
        "--network-configuration", "networkMode=PUBLIC",
    ]
    created = control(aws, "create-agent-runtime", "--agent-runtime-name", "awscli", *definition)
    runtime, arn = created["agentRuntimeId"], created["agentRuntimeArn"]
    assert arn == f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/{runtime}"
    assert server.settled(runtime)["status"] == "READY"

    session, answer = new_session(), tmp_path / "answer"
    invoked = aws(
        "bedrock-agentcore", "invoke-agent-runtime", "--agent-runtime-arn", arn, "--runtime-session-id", session,
        "--content-type", "application/json", "--payload", '{"prompt": "What is 2+2?"}', str(answer),
    )
    assert (invoked["statusCode"], invoked["runtimeSessionId"]) == (200, session)
    assert json.loads(answer.read_text()) == {"result": "2 + 2 = 4", "turn": 1}
    stopped = aws(
        "bedrock-agentcore", "stop-runtime-session", "--agent-runtime-arn", arn, "--runtime-session-id", session
    )
    assert stopped["runtimeSessionId"] == session

    updated = control(
        aws, "update-agent-runtime", "--agent-runtime-id", runtime, *definition, "--description", "the second"
    )
    assert updated["agentRuntimeVersion"] == "2"
    server.settled(runtime)
    found = control(aws, "get-agent-runtime", "--agent-runtime-id", runtime)
    assert (found["status"], found["description"]) == ("READY", "the second")
    # The CLI pages through the lists by itself.
    versions = control(aws, "list-agent-runtime-versions", "--agent-runtime-id", runtime, "--page-size", "1")
    assert sorted(each["agentRuntimeVersion"] for each in versions["agentRuntimes"]) == ["1", "2"]
    listed = control(aws, "list-agent-runtimes")["agentRuntimes"]
    assert [each["agentRuntimeName"] for each in listed if each["agentRuntimeId"] == runtime] == ["awscli"]

    assert control(aws, "delete-agent-runtime", "--agent-runtime-id", runtime)["status"] == "DELETING"
    wait_for("the runtime to be gone", lambda: runtime not in str(control(aws, "list-agent-runtimes")))
    error = control(aws, "get-agent-runtime", "--agent-runtime-id", runtime, status=255)
    assert "(ResourceNotFoundException)" in error
