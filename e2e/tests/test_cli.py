"""The command line, by its words: output on stdout, words for people on stderr, exit codes, `--json`."""

import json
import shutil
import subprocess
import time

import pytest

from harness import AGENTS, EXAMPLES, binary, innkeep, running_server, wait_for


KEY = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/EXAMPLEKEY\n"


@pytest.fixture(scope="module")
def cli():
    """A server with `hello` deployed through the command line; returns a function that runs commands against it."""
    with running_server() as server:

        def run(*arguments, **options):
            return innkeep(*arguments, data_dir=server.data_dir, **options)

        deployed = run("deploy", str(EXAMPLES / "hello"))
        assert deployed.returncode == 0, deployed.stderr
        run.server = server
        yield run


def check(ran, status=0):
    assert ran.returncode == status, (ran.returncode, ran.stdout, ran.stderr)
    return ran


def test_the_answer_is_on_stdout_and_the_session_on_stderr(cli):
    ran = check(cli("invoke", "hello", "What is 2+2?", "-s", "alice"))
    assert "4" in ran.stdout and "session" not in ran.stdout
    assert "session" in ran.stderr and ("cold" in ran.stderr or "warm" in ran.stderr)


def test_a_short_session_name_is_the_same_session_every_time(cli):
    check(cli("invoke", "hello", "What is 2+2?", "-s", "bob"))
    check(cli("invoke", "hello", "And 3+3?", "-s", "bob"))
    listed = json.loads(check(cli("sessions", "ls", "--json")).stdout)
    sessions = [s for s in listed["sessions"] if "bob" in s["sessionId"]]
    assert len(sessions) == 1 and len(sessions[0]["sessionId"]) >= 33


def test_a_raw_payload_comes_from_the_option_or_from_stdin(cli):
    assert "4" in check(cli("invoke", "hello", "-d", '{"prompt": "What is 2+2?"}')).stdout
    assert "6" in check(cli("invoke", "hello", "-d", "-", stdin='{"prompt": "What is 3+3?"}')).stdout


def test_a_session_is_stopped_by_name(cli):
    check(cli("invoke", "hello", "What is 2+2?", "-s", "carol"))
    check(cli("sessions", "stop", "carol", "--runtime", "hello"))

    def live():
        listed = json.loads(check(cli("sessions", "ls", "--json")).stdout)
        return [s for s in listed["sessions"] if "carol" in s["sessionId"]]

    wait_for("the session to end", lambda: not live())


def test_status_names_what_is_deployed(cli):
    assert "hello" in check(cli("status")).stdout
    assert "READY" in check(cli("status", "hello")).stdout
    assert json.loads(check(cli("status", "--json")).stdout)


def test_logs_are_those_of_the_agent(cli):
    with_output = check(cli("deploy", str(AGENTS / "probe"), "--json"))
    assert json.loads(with_output.stdout)
    check(cli("invoke", "probe", "-d", '{"do": "say", "words": "a line for the log"}', "-s", "dora"))
    wait_for("the line", lambda: "a line for the log" in check(cli("logs", "probe", "-s", "dora")).stdout)


def test_env_is_all_that_a_client_needs(cli):
    variables = json.loads(check(cli("env", "--shell", "json")).stdout)
    assert variables["AWS_ENDPOINT_URL_BEDROCK_AGENTCORE"] == cli.server.url
    assert variables["AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL"] == cli.server.url
    assert variables["BEDROCK_AGENTCORE_DP_ENDPOINT"] == cli.server.url
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"]
    assert variables["AWS_ACCESS_KEY_ID"] == cli.server.key.access_key
    assert "export AWS_ACCESS_KEY_ID=" in check(cli("env", "--shell", "bash")).stdout
    assert "AWS_ACCESS_KEY_ID=" in check(cli("env", "--shell", "dotenv")).stdout


def test_what_does_not_exist_is_status_3_with_a_next_step(cli):
    ran = check(cli("invoke", "nobody", "hello"), 3)
    assert "nobody" in ran.stderr and ran.stdout == ""
    error = json.loads(check(cli("invoke", "nobody", "hello", "--json"), 3).stdout)["error"]
    assert error["code"] and error["message"] and error["fix"]


def test_a_usage_error_is_status_2(cli):
    check(cli("invoke"), 2)
    check(cli("no-such-command"), 2)
    check(cli("invoke", "hello", "hi", "--no-such-flag"), 2)


def test_a_key_that_is_refused_is_status_4(cli, tmp_path):
    (tmp_path / "credentials").write_text(KEY)
    ran = innkeep("status", "--url", cli.server.url, data_dir=tmp_path)
    assert ran.returncode == 4, ran.stderr


def test_an_agent_that_fails_is_status_5(cli):
    check(cli("deploy", str(AGENTS / "probe")))
    ran = check(cli("invoke", "probe", "-d", '{"do": "fail", "status": 500}'), 5)
    assert "500" in ran.stderr


def test_an_agent_that_dies_in_mid_stream_is_status_5(cli):
    check(cli("deploy", str(AGENTS / "dies_in_mid_stream")))
    ran = check(cli("invoke", "dies_in_mid_stream", "go"), 5)
    assert "the last words" in ran.stdout


def test_a_time_out_is_status_6(cli, tmp_path):
    check(cli("deploy", str(AGENTS / "probe")))
    held = json.dumps({"do": "hold", "until": str(tmp_path / "never")})
    check(cli("invoke", "probe", "-d", held, "--timeout", "1s"), 6)


def test_no_server_is_status_7(tmp_path):
    (tmp_path / "credentials").write_text(KEY)
    ran = innkeep("status", "--url", "http://127.0.0.1:1", data_dir=tmp_path)
    assert ran.returncode == 7 and "127.0.0.1:1" in ran.stderr


def test_a_deployment_that_fails_shows_the_agent_s_last_words(cli):
    ran = cli("deploy", str(AGENTS / "exits_at_import"))
    assert ran.returncode == 5, (ran.returncode, ran.stderr)
    assert "cannot find the model weights" in ran.stderr and "exit code 3" in ran.stderr


def test_the_missing_ping_is_explained_and_a_setting_accepts_it(cli, tmp_path):
    folder = tmp_path / "tutorial"
    shutil.copytree(AGENTS / "single_threaded", folder)
    ran = cli("deploy", str(folder))
    assert ran.returncode == 5 and "/ping" in ran.stderr and "tcp" in ran.stderr
    check(cli("deploy", str(folder), "--set", "health=tcp"))
    assert "echo" in check(cli("invoke", "tutorial", "hi")).stdout


def test_version_and_help_are_immediate():
    # The shortest of them: what else runs on the machine makes others longer, and this one no shorter.
    def seconds(option):
        started = time.monotonic()
        subprocess.run([binary(), option], check=True, capture_output=True)
        return time.monotonic() - started

    for option in ("--version", "--help"):
        assert min(seconds(option) for _ in range(20)) < 0.05, option
