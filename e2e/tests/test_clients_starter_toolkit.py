"""The starter toolkit's `agentcore invoke`, pointed here by its own two variables."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import ACCOUNT, EXAMPLES, REGION, ROLE, environment, new_session

CONFIG = """
default_agent: echo
agents:
  echo:
    name: echo
    entrypoint: main.py
    aws:
      execution_role: {role}
      account: "{account}"
      region: {region}
    bedrock_agentcore:
      agent_id: {agent.id}
      agent_arn: {agent.arn}
"""


@pytest.fixture(scope="module")
def agent(server):
    return server.deploy(EXAMPLES / "raw-node")


@pytest.fixture
def agentcore(agent, tmp_path):
    """Returns a function that runs `agentcore` in a project that was deployed as `agent`."""
    config = CONFIG.format(agent=agent, role=ROLE, account=ACCOUNT, region=REGION)
    (tmp_path / ".bedrock_agentcore.yaml").write_text(config)
    server = agent.server
    variables = environment(
        BEDROCK_AGENTCORE_DP_ENDPOINT=server.url, BEDROCK_AGENTCORE_CP_ENDPOINT=server.url, HOME=str(tmp_path),
        AWS_ACCESS_KEY_ID=server.key.access_key, AWS_SECRET_ACCESS_KEY=server.key.secret_key, COLUMNS="200",
    )

    def run(*arguments, status=0):
        program = Path(sys.executable).with_name("agentcore")
        ran = subprocess.run(
            [program, *arguments], cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )
        assert ran.returncode == status, (ran.returncode, ran.stdout, ran.stderr)
        return ran.stdout

    return run


def test_invoke_answers_in_the_session_that_it_keeps(agentcore):
    session = new_session()
    printed = agentcore("invoke", "hello there", "--session-id", session)
    assert 'You said \\"hello there\\".' in printed and session in printed
    assert '"turn":2' in agentcore("invoke", "again")  # .bedrock_agentcore.yaml remembers the session


def test_invoke_streams(agentcore):
    printed = agentcore("invoke", '{"prompt": "one two", "stream": true}')
    assert [f'{{"word": "{word}"}}' in printed for word in ("You", "said")] == [True] * 2


def test_stop_session_ends_it(agentcore, agent):
    session = new_session()
    agentcore("invoke", "hello", "--session-id", session)
    agentcore("stop-session", "--session-id", session)
    agent.wait_for_state(session, "Stopped")
