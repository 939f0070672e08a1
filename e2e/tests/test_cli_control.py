"""The control plane from the command line: runtimes, endpoints, versions, rollback, artifacts, and what `deploy` says and does."""

import hashlib
import io
import json
import os
import platform
import pty
import re
import shutil
import subprocess
import tarfile
import uuid
from pathlib import Path

import pytest

from harness import ACCOUNT, AGENTS, EXAMPLES, REGION, binary, environment, running_server

PROBE = AGENTS / "probe"


class Cli:
    """Runs commands against one server, from a folder that is deployed as nothing."""

    def __init__(self, server, folder: Path):
        self.server, self.folder = server, folder

    def _options(self, cwd, variables):
        return {"cwd": cwd or self.folder, "env": environment(INNKEEP_DATA_DIR=str(self.server.data_dir), **variables)}

    def __call__(self, *arguments, status=0, cwd=None, **variables):
        ran = subprocess.run(
            [binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False, **self._options(cwd, variables),
        )
        assert ran.returncode == status, (ran.returncode, ran.stdout, ran.stderr)
        return ran

    def json(self, *arguments, status=0, **options):
        document = json.loads(self(*arguments, "--json", status=status, **options).stdout)
        assert document["schema"] == "innkeep/v1"
        return document

    def on_terminal(self, *arguments, answer="", status=0, **variables):
        """Runs a command whose standard input and standard error are a terminal; returns what was seen there."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [binary(), *map(str, arguments)], stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs,
            **self._options(None, {"TERM": "xterm"} | variables),
        ) as process:
            os.close(theirs)
            os.write(ours, answer.encode())
            seen = b""
            while True:
                try:
                    piece = os.read(ours, 4096)
                except OSError:  # everybody else has hung up
                    break
                if not piece:
                    break
                seen += piece
        os.close(ours)
        assert process.returncode == status, (process.returncode, seen)
        return seen.decode()

    def deploy(self, source, name, *arguments):
        return self.json("deploy", source, "--name", name, *arguments)

    def facts(self, name, *arguments) -> dict:
        """What an agent of `probe` finds around it, in a session of its own."""
        session = f"s-{uuid.uuid4().hex[:8]}"
        return json.loads(self("invoke", name, "-d", '{"do": "facts"}', "-s", session, *arguments).stdout)

    def status(self, name) -> dict:
        return self.json("status", name)["runtime"]


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
    cli.deploy(PROBE, name)
    assert cli("versions", "rm", "1", "--runtime", name).stdout == "1\n"
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


# --- deploy ------------------------------------------------------------------------------------------------------------


def test_a_deployment_creates_or_moves_the_endpoint_that_it_names(cli, name):
    first = cli.deploy(PROBE, name, "--env", "COLOUR=green", "--endpoint", "prod")
    steps = {step["name"]: step["detail"] for step in first["steps"]}
    assert steps["moved"] == "prod to version 1" and {"packed", "uploaded", "created", "started"} <= set(steps)
    cli.deploy(PROBE, name, "--env", "COLOUR=red")
    assert cli.facts(name, "--endpoint", "prod")["environment"]["COLOUR"] == "green"
    third = cli.deploy(PROBE, name, "--env", "COLOUR=blue", "--endpoint", "prod")
    assert third["steps"][-1]["detail"] == "prod from version 1 to 3"
    assert cli.facts(name, "--endpoint", "prod")["environment"]["COLOUR"] == "blue"
    cli("deploy", AGENTS / "exits_at_import", "--name", name, "--endpoint", "prod", status=5)
    assert cli.json("endpoints", "get", "prod", "--runtime", name)["liveVersion"] == "3"
    cli("deploy", PROBE, "--name", name, "--endpoint", "prod", "--no-wait", status=2)


def test_a_dry_run_shows_the_difference_and_changes_nothing(cli, name, tmp_path):
    folder = tmp_path / "agent"
    shutil.copytree(PROBE, folder)
    planned = cli.json("deploy", folder, "--name", name, "--dry-run")
    assert planned["created"] and planned["version"] == 1
    cli("runtimes", "get", name, status=3)

    cli.deploy(folder, name, "--env", "COLOUR=green")
    same = cli.json("deploy", folder, "--name", name, "--dry-run")
    assert (same["created"], same["version"], same["artifact"], same["changes"]) == (False, 2, "unchanged", [])
    (folder / "more.txt").write_text("more")
    planned = cli("deploy", folder, "--name", name, "--dry-run", "--env", "COLOUR=red", "--set", "health=tcp",
                  "--endpoint", "prod")
    lines = planned.stdout.splitlines()
    assert f"would update {name} to version 2" in lines and "code changed" in lines
    assert "~ environmentVariables.COLOUR  **** → ****" in lines and "+ settings.health  tcp" in lines
    assert "would create endpoint prod with version 2" in lines
    assert any(line.startswith("~ agentRuntimeArtifact.codeConfiguration.code.s3.prefix") for line in lines)
    # What the server installs is part of the artifact, and is not known before.
    (folder / "requirements.txt").write_text("")
    assert cli.json("deploy", folder, "--name", name, "--dry-run")["artifact"] is None
    runtime = cli.status(name)
    assert runtime["latestVersion"] == 1 and [endpoint["name"] for endpoint in runtime["endpoints"]] == ["DEFAULT"]


def test_a_dry_run_tells_a_zip_and_an_image_too(cli, name, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "code"), "zip", PROBE)
    cli.deploy(archive, name)
    assert cli.json("deploy", archive, "--name", name, "--dry-run")["artifact"] == "unchanged"
    image = cli.json("deploy", "registry.example/agent:v1", "--name", name, "--dry-run")
    assert image["artifact"] == "changed" and image["uploadBytes"] is None
    assert {
        "change": "added", "path": "agentRuntimeArtifact.containerConfiguration.containerUri",
        "after": "registry.example/agent:v1",
    } in image["changes"]


def test_a_deployment_repeats_what_it_does_not_name(cli, name):
    """Every member that another client has set is still there afterwards."""
    server = cli.server
    created = server.control.create_agent_runtime(
        agentRuntimeName=name, agentRuntimeArtifact=server.artifact(PROBE), roleArn=f"arn:aws:iam::{ACCOUNT}:role/theirs",
        description="by hand", networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"COLOUR": "green"},
        lifecycleConfiguration={"idleRuntimeSessionTimeout": 60, "maxLifetime": 3600},
        protocolConfiguration={"serverProtocol": "HTTP", "path": "/invocations"},
        authorizerConfiguration={"customJWTAuthorizer": {
            "discoveryUrl": "https://issuer.example/.well-known/openid-configuration", "allowedAudience": ["me"],
        }},
        requestHeaderConfiguration={"requestHeaderAllowlist": ["X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team"]},
        hooksConfiguration={"build": {"warmup": {"action": {"httpPost": {"path": "/warm"}}}}},
        filesystemConfigurations=[{"sessionStorage": {"mountPath": "/mnt/data"}}],
        resourceConfigurations=[{"minimumMemoryInMiB": 512}], platformVersion="V1",
    )
    before = server.settled(created["agentRuntimeId"])
    cli.deploy(PROBE, name)
    after = server.settled(created["agentRuntimeId"])
    for new in ("agentRuntimeVersion", "agentRuntimeArtifact", "lastUpdatedAt", "ResponseMetadata"):
        del before[new], after[new]
    assert after == before


def test_an_authorizer_is_sent_kept_and_taken_back(cli, name):
    authorizer = {"customJWTAuthorizer": {
        "discoveryUrl": "https://issuer.example/.well-known/openid-configuration", "allowedAudience": ["me"],
    }}
    deployed = cli.deploy(PROBE, name, "--authorizer", json.dumps(authorizer))
    assert any("SigV4" in note for note in deployed["notes"])
    assert cli.json("runtimes", "get", name)["authorizerConfiguration"] == authorizer
    cli("invoke", name, "hi", status=4)
    cli.deploy(PROBE, name, "--env", "COLOUR=green")
    assert cli.json("runtimes", "get", name)["authorizerConfiguration"] == authorizer
    cli.deploy(PROBE, name, "--authorizer", "none")
    assert "authorizerConfiguration" not in cli.json("runtimes", "get", name)
    assert cli.facts(name)["environment"]["COLOUR"] == "green"
    cli("deploy", PROBE, "--name", name, "--authorizer", "[]", status=1)
    cli("deploy", PROBE, "--name", name, "--authorizer", "{", status=2)


def test_a_path_that_is_wrong_is_no_image(cli):
    for given in ("./nothing", "nothing", "image.tar"):
        assert "no folder, zip or image archive" in cli("deploy", given, status=2).stderr


def test_a_bar_moves_on_a_terminal_only(cli, name, tmp_path):
    folder = tmp_path / "large"
    shutil.copytree(PROBE, folder)
    (folder / "data.bin").write_bytes(os.urandom(6_000_000))
    seen = cli.on_terminal("deploy", folder, "--name", name)
    assert "[=" in seen and "MB" in seen and "packed" in seen and "started" in seen
    assert "[=" not in cli.on_terminal("deploy", folder, "--name", name, NO_COLOR="1")
    quiet = cli.on_terminal("deploy", folder, "--name", name, CI="1")
    assert "[=" not in quiet and "packed" not in quiet
    assert "[=" not in cli("deploy", folder, "--name", name).stderr


# --- images ------------------------------------------------------------------------------------------------------------


class Image:
    """The smallest image that there is, in every form in which one lies on a disk."""

    def __init__(self, folder: Path, architecture: str):
        self.folder = folder
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            entry = tarfile.TarInfo("agent.txt")
            entry.size = 5
            tar.addfile(entry, io.BytesIO(b"agent"))
        self.layer = layer.getvalue()
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{sha256(self.layer)}"]}
        self.config = json.dumps(
            {"architecture": architecture, "os": "linux", "config": {"Cmd": ["/agent"]}, "rootfs": rootfs}
        ).encode()

    def layout(self) -> Path:
        folder = self.folder / "a-layout"
        (folder / "blobs" / "sha256").mkdir(parents=True)

        def blob(content: bytes, kind: str) -> dict:
            (folder / "blobs" / "sha256" / sha256(content)).write_bytes(content)
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{sha256(content)}", "size": len(content)}

        manifest = {
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(self.config, "config.v1+json"), "layers": [blob(self.layer, "layer.v1.tar")],
        }
        index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
        (folder / "index.json").write_text(json.dumps(index))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return folder

    def saved(self, name="saved-image.tar", mode="w") -> Path:
        path = self.folder / name
        manifest = [{"Config": "config.json", "RepoTags": ["agent:v1"], "Layers": ["layer.tar"]}]
        with tarfile.open(path, mode) as tar:
            for inside, content in [
                ("config.json", self.config), ("layer.tar", self.layer), ("manifest.json", json.dumps(manifest).encode()),
            ]:
                entry = tarfile.TarInfo(inside)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("form", ["layout", "saved", "compressed"])
def test_an_image_on_disk_is_uploaded_whatever_its_form(cli, tmp_path, form):
    image = Image(tmp_path, {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()])
    source = {
        "layout": image.layout, "saved": image.saved, "compressed": lambda: image.saved("image", "w:gz"),
    }[form]()
    deployed = cli.json("deploy", source, "--no-wait", "--name", f"image_{form}")
    assert [step["name"] for step in deployed["steps"]] == ["packed", "uploaded", "created"]
    got = cli.json("runtimes", "get", f"image_{form}")
    uri = got["agentRuntimeArtifact"]["containerConfiguration"]["containerUri"]
    digest = uri.rpartition("@sha256:")[2]
    assert re.fullmatch("[0-9a-f]{64}", digest), uri
    kept = {artifact["digest"]: artifact for artifact in cli.json("artifacts", "ls")["artifacts"]}[digest]
    assert kept["kind"] == "image" and {"runtime": f"image_{form}", "version": 1} in kept["usedBy"]
    # Without an upload nobody knows whether it is the same image.
    assert cli.json("deploy", source, "--name", f"image_{form}", "--dry-run")["artifact"] is None


# --- artifacts ---------------------------------------------------------------------------------------------------------


def test_artifacts_are_listed_and_deleted_unless_they_are_needed(cli, name, tmp_path):
    folder = tmp_path / "agent"
    shutil.copytree(PROBE, folder)
    (folder / "only-here.txt").write_text(name)
    cli.deploy(folder, name)
    used = {a["usedBy"][0]["runtime"]: a for a in cli.json("artifacts", "ls")["artifacts"] if a["usedBy"]}[name]
    assert used["kind"] == "code" and used["bytes"] > 0 and used["usedBy"] == [{"runtime": name, "version": 1}]
    table = cli("artifacts", "ls").stdout
    assert re.search(rf"{used['digest'][:12]} +code .* {name} v1", table)
    refused = cli.json("artifacts", "rm", used["digest"][:12], status=1)["error"]
    assert f"innkeep versions rm 1 --runtime {name}" in refused["fix"]
    cli("runtimes", "rm", name)
    assert cli("artifacts", "rm", used["digest"][:12]).stdout.strip() == used["digest"]
    assert used["digest"] not in [a["digest"] for a in cli.json("artifacts", "ls")["artifacts"]]
