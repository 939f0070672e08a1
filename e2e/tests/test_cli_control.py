"""The control plane from the command line: runtimes, endpoints, versions and rollback."""

import re
import shutil
import uuid

import pytest

from commands import PROBE, Cli
from harness import ACCOUNT, AGENTS, EXAMPLES, REGION, running_server


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    with running_server() as server:
        yield Cli(server, tmp_path_factory.mktemp("nowhere"))


@pytest.fixture
def name():
    return f"probe_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def three(cli):
    """A runtime with three versions: COLOUR green, red with health=tcp, blue without settings of its own."""
    name = "three"
    cli.deploy(PROBE, name, "--env", "COLOUR=green", "--env", "KEPT=1")
    cli.deploy(PROBE, name, "--env", "COLOUR=red", "--set", "health=tcp")
    return cli.deploy(PROBE, name, "--env", "COLOUR=blue", "--env", "KEPT-", "--set", "health-")


# --- runtimes ----------------------------------------------------------------------------------------------------------


def test_runtimes_are_listed_and_shown_by_name_id_and_arn(cli, three):
    assert re.search(rf"three +{three['id']} +3 +READY", cli("runtimes", "ls").stdout)
    listed = {runtime["agentRuntimeName"]: runtime for runtime in cli.json("runtimes", "ls")["runtimes"]}
    assert listed["three"]["agentRuntimeId"] == three["id"]
    for given in ("three", three["id"], three["arn"]):
        got = cli.json("runtimes", "get", given)
        assert (got["agentRuntimeId"], got["agentRuntimeVersion"], got["status"]) == (three["id"], "3", "READY")
        assert got["environmentVariables"] == {"COLOUR": "blue"} and got["settings"] == {}
    shown = cli("runtimes", "get", "three").stdout
    assert re.search(r"environmentVariables\.COLOUR +\*\*\*\*", shown) and "blue" not in shown
    assert re.search(r"environmentVariables\.COLOUR +blue", cli("runtimes", "get", "three", "--show-values").stdout)


def test_what_there_is_not_is_status_3_with_a_next_step(cli, three):
    for arguments, words in [
        (("runtimes", "get", "nobody"), "three"),
        (("runtimes", "rm", "nobody"), "three"),
        (("runtimes", "get", three["id"][:-1] + "_"), "three"),
        (("versions", "get", "99", "--runtime", "three"), "versions ls"),
        (("endpoints", "get", "nowhere", "--runtime", "three"), "endpoints ls"),
        (("rollback", "three", "99"), "versions ls"),
        (("artifacts", "rm", "0123456789ab"), "artifacts ls"),
    ]:
        assert words in cli.json(*arguments, status=3)["error"]["fix"], arguments


def test_a_deleted_runtime_is_gone_when_the_command_returns(cli, name):
    cli.deploy(PROBE, name)
    other = cli.deploy(PROBE, name + "_b")
    assert cli("runtimes", "rm", name, other["arn"]).stdout.split() == [name, name + "_b"]
    cli("runtimes", "get", name, status=3)
    cli("runtimes", "get", other["id"], status=3)


def test_a_deletion_asks_who_is_there_to_be_asked(cli, name):
    deployed = cli.deploy(PROBE, name)
    seen = cli.on_terminal("runtimes", "rm", name, answer="n\n", status=1)
    assert f"delete runtime {name}" in seen and "[y/N]" in seen and "nothing was removed" in seen
    assert cli.status(name)["id"] == deployed["id"]
    cli.on_terminal("runtimes", "rm", name, answer="y\n")
    cli("runtimes", "get", name, status=3)
    cli.deploy(PROBE, name)
    assert "[y/N]" not in cli.on_terminal("runtimes", "rm", name, "--yes")
    cli("runtimes", "get", name, status=3)


def test_the_runtime_that_is_meant_is_the_folder_s_or_the_only_one(tmp_path):
    with running_server() as server:
        cli = Cli(server, tmp_path)
        assert cli.json("versions", "ls", status=3)["error"]["fix"] == "innkeep deploy DIR"
        cli("deploy", EXAMPLES / "hello")
        assert cli.json("versions", "ls")["runtime"] == "hello"
        folder = tmp_path / "my-agent"
        shutil.copytree(PROBE, folder)
        cli("deploy", ".", cwd=folder)
        assert cli.json("versions", "ls", cwd=folder)["runtime"] == "my_agent"
        assert cli.json("endpoints", "ls", cwd=folder)["runtime"] == "my_agent"
        error = cli.json("versions", "ls", status=2)["error"]
        assert "hello" in error["fix"] and "my_agent" in error["fix"] and "--runtime" in error["fix"]
        assert cli.json("versions", "ls", "--runtime", "hello")["runtime"] == "hello"


# --- versions ----------------------------------------------------------------------------------------------------------


def test_versions_are_listed_newest_first_with_who_serves_them(cli, three):
    versions = cli.json("versions", "ls", "--runtime", "three")["versions"]
    assert [version["agentRuntimeVersion"] for version in versions] == ["3", "2", "1"]
    assert [version["servedBy"] for version in versions] == [["DEFAULT"], [], []]
    old = cli.json("versions", "get", "v2", "--runtime", three["arn"])
    assert old["environmentVariables"] == {"COLOUR": "red", "KEPT": "1"} and old["settings"] == {"health": "tcp"}


def test_the_difference_of_versions_names_paths_and_masks_values(cli, three):
    shown = cli("versions", "diff", "1", "2", "--runtime", "three")
    assert shown.stdout.splitlines() == ["~ environmentVariables.COLOUR  **** → ****", "+ settings.health  tcp"]
    assert "--show-values" in shown.stderr
    # As with git: one version is compared with the newest, and none is the newest's own change.
    assert cli.json("versions", "diff", "1", "--runtime", "three", "--show-values")["changes"] == [
        {"change": "changed", "path": "environmentVariables.COLOUR", "before": "green", "after": "blue"},
        {"change": "removed", "path": "environmentVariables.KEPT", "before": "1"},
    ]
    newest = cli.json("versions", "diff", "--runtime", "three")
    assert (newest["from"], newest["to"]) == (2, 3)
    assert [change["path"] for change in newest["changes"]] == [
        "environmentVariables.COLOUR", "environmentVariables.KEPT", "settings.health",
    ]
    same = cli("versions", "diff", "2", "2", "--runtime", "three")
    assert same.stdout == "" and "no difference" in same.stderr


def test_a_version_that_nothing_serves_is_deleted_and_one_that_serves_is_not(cli, name):
    cli.deploy(PROBE, name)
    cli("invoke", name, "-d", '{"do": "facts"}', "-s", "old")
    cli.deploy(PROBE, name)
    assert cli("versions", "rm", "1", "--runtime", name).stdout == "1\n"
    [session] = cli.json("sessions", "ls", name, "--all")["sessions"]
    assert session["stop"]["reason"] == "VersionDeleted"
    cli("versions", "get", "1", "--runtime", name, status=3)
    cli("versions", "rm", "2", "--runtime", name, status=1)
    assert cli.status(name)["latestVersion"] == 2


# --- endpoints ---------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_created_moved_and_deleted(cli, three):
    created = cli.json("endpoints", "create", "prod", "--version", "1", "--description", "for all", "--runtime", "three")
    assert (created["name"], created["liveVersion"], created["status"]) == ("prod", "1", "READY")
    assert created["description"] == "for all"
    assert cli.facts("three", "--endpoint", "prod")["environment"]["COLOUR"] == "green"
    arn = f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/{three['id']}/runtime-endpoint/prod"
    moved = cli.json("endpoints", "move", arn, "v2")
    assert (moved["liveVersion"], moved["description"]) == ("2", "for all")
    assert cli.facts("three", "--endpoint", "prod")["environment"]["COLOUR"] == "red"
    assert re.search(r"prod +2 +2 +- +READY", cli("endpoints", "ls", "--runtime", "three").stdout)
    served = {v["agentRuntimeVersion"]: v["servedBy"] for v in cli.json("versions", "ls", "--runtime", "three")["versions"]}
    assert served == {"3": ["DEFAULT"], "2": ["prod"], "1": []}
    assert "prod v2" in cli("status").stdout
    assert cli("endpoints", "rm", "prod", "--runtime", "three").stdout == "prod\n"
    cli("endpoints", "get", "prod", "--runtime", "three", status=3)


def test_an_endpoint_is_created_with_the_newest_version_that_is_ready(cli, name):
    cli.deploy(PROBE, name)
    cli("deploy", AGENTS / "exits_at_import", "--name", name, status=5)
    assert cli.json("endpoints", "create", name, "canary")["liveVersion"] == "1"
    cli("deploy", AGENTS / "exits_at_import", "--name", f"{name}_x", status=5)
    refused = cli.json("endpoints", "create", f"{name}_x", "canary", status=1)["error"]
    assert f"no version of {name}_x is READY" in refused["message"]


def test_the_runtime_may_be_named_first(cli, three):
    for command in ("versions", "endpoints"):
        assert cli(command, "ls", "three").stdout == cli(command, "ls", "--runtime", "three").stdout
    assert cli.json("versions", "get", "three", "1")["agentRuntimeVersion"] == "1"
    assert cli("versions", "diff", "three", "1", "2").stdout == cli("versions", "diff", "1", "2", "--runtime", "three").stdout
    cli("endpoints", "create", "three", "first", "--version", "1")
    assert cli.json("endpoints", "move", "three", "first", "2")["liveVersion"] == "2"
    assert cli.json("endpoints", "get", "three", "first")["liveVersion"] == "2"
    assert "1=1" in cli("endpoints", "split", "three", "first", "1=1", "2=1").stdout
    cli("endpoints", "rm", "first", "--runtime", "three")
    cli("versions", "ls", "three", "--runtime", "three", status=2)


def test_default_is_not_moved_and_the_message_says_what_to_do(cli, three):
    error = cli.json("endpoints", "move", "DEFAULT", "1", "--runtime", "three", status=2)["error"]
    assert "innkeep rollback three 1" in error["fix"]


def test_a_split_shares_new_sessions_out_and_is_shown(cli, three):
    cli("endpoints", "create", "canary", "--version", "1", "--runtime", "three")
    split = cli("endpoints", "split", "canary", "1=1", "v2=1000", "--runtime", "three")
    assert split.stdout == "canary  1=1 2=1000\n"
    served = [cli.facts("three", "--endpoint", "canary")["environment"]["COLOUR"] for _ in range(3)]
    assert "red" in served and set(served) <= {"green", "red"}  # three in a row of one in a thousand do not happen
    assert cli.json("endpoints", "get", "canary", "--runtime", "three")["split"] == {"1": 1, "2": 1000}
    assert "canary v1=1 v2=1000" in cli("status", "three").stdout
    assert re.search(r"canary .* 1=1 2=1000 +READY", cli("endpoints", "ls", "--runtime", "three").stdout)
    cli("endpoints", "split", "canary", "7", "--runtime", "three", status=2)
    cli("endpoints", "split", "canary", "1=1", "1=2", "--runtime", "three", status=2)
    cli("endpoints", "split", "canary", "1=1", "77=2", "--runtime", "three", status=3)
    assert cli("endpoints", "split", "canary", "1=100", "--runtime", "three").stdout == "canary  version 1\n"
    assert "split" not in cli.json("endpoints", "get", "canary", "--runtime", "three")
    cli("endpoints", "rm", "canary", "--runtime", "three")


# --- rollback ----------------------------------------------------------------------------------------------------------


def test_a_rollback_of_default_publishes_a_copy_with_environment_and_settings(cli, name):
    cli.deploy(PROBE, name, "--env", "COLOUR=green", "--set", "health=tcp")
    cli.deploy(PROBE, name, "--env", "COLOUR=red", "--set", "health-")
    planned = cli("rollback", name, "--dry-run", "--show-values")
    assert planned.stdout.splitlines() == ["~ environmentVariables.COLOUR  red → green", "+ settings.health  tcp"]
    assert cli.status(name)["latestVersion"] == 2
    done = cli.json("rollback", name)
    assert (done["from"], done["to"], done["version"], done["status"]) == (2, 1, 3, "READY")
    runtime = cli.status(name)
    assert runtime["latestVersion"] == 3 and runtime["settings"] == {"health": "tcp"}
    assert cli.facts(name)["environment"]["COLOUR"] == "green"
    assert cli.json("versions", "diff", "1", "3", "--runtime", name)["changes"] == []
    # Back to one that is named; and to the one that serves already, which changes nothing.
    assert cli.json("rollback", name, "v2")["version"] == 4
    assert "already" in cli("rollback", name, "4").stderr
    assert cli.status(name)["latestVersion"] == 4


def test_a_rollback_goes_past_versions_that_failed(cli, name):
    cli.deploy(PROBE, name, "--env", "COLOUR=green")
    cli("deploy", AGENTS / "exits_at_import", "--name", name, status=5)
    cli.deploy(PROBE, name, "--env", "COLOUR=red")
    refused = cli.json("rollback", name, "2", status=1)["error"]
    assert "UPDATE_FAILED" in refused["message"] and "versions ls" in refused["fix"]
    assert cli.json("rollback", name)["to"] == 1
    assert cli.facts(name)["environment"]["COLOUR"] == "green"


def test_a_rollback_with_nothing_before_says_so(cli, name):
    cli.deploy(PROBE, name)
    assert "versions ls" in cli.json("rollback", name, status=3)["error"]["fix"]


def test_a_rollback_of_a_named_endpoint_moves_it(cli, three):
    cli("endpoints", "create", "stable", "--version", "3", "--runtime", "three")
    done = cli.json("rollback", "three", "--endpoint", "stable")
    assert (done["from"], done["to"], done["version"]) == (3, 2, 2)
    assert cli.facts("three", "--endpoint", "stable")["environment"]["COLOUR"] == "red"
    assert cli.status("three")["latestVersion"] == 3, "nothing is published"
    cli("rollback", "three", "1", "--endpoint", "stable")
    assert cli.json("endpoints", "get", "stable", "--runtime", "three")["liveVersion"] == "1"
    cli("endpoints", "rm", "stable", "--runtime", "three")


def test_a_split_a_deletion_and_a_removal_that_are_refused_say_where_to_look(cli, three):
    for arguments in [
        ("endpoints", "split", "DEFAULT", "1=1", "3=1"), ("endpoints", "rm", "DEFAULT", "--yes"), ("versions", "rm", "3", "--yes"),
    ]:
        error = cli.json(*arguments, "--runtime", "three", status=1)["error"]
        assert error["fix"] == "innkeep endpoints ls --runtime three", (arguments, error)


def test_of_a_long_value_the_beginning_is_shown(cli, name):
    cli.deploy(PROBE, name, "--env", "LONG=1")
    cli.deploy(PROBE, name, "--env", f"LONG={'x' * 4000}")
    shown = cli("versions", "diff", "--runtime", name, "--show-values").stdout
    assert "… (4000 characters)" in shown and len(shown) < 300
    assert cli.json("versions", "diff", "--runtime", name, "--show-values")["changes"][0]["after"] == "x" * 4000
    planned = cli("rollback", name, "--dry-run", "--show-values").stdout
    assert "… (4000 characters)" in planned and len(planned) < 300
