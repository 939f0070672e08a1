"""What `deploy` says and does, with images too, and the artifacts that it leaves."""

import hashlib
import io
import json
import os
import platform
import re
import shutil
import tarfile
import uuid
from pathlib import Path

import pytest

from commands import PROBE, Cli
from harness import ACCOUNT, AGENTS, running_server


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    with running_server() as server:
        yield Cli(server, tmp_path_factory.mktemp("nowhere"))


@pytest.fixture
def name():
    return f"probe_{uuid.uuid4().hex[:8]}"


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


def test_a_version_that_failed_is_not_repeated(cli, name):
    cli.deploy(PROBE, name, "--env", "COLOUR=green", "--set", "start_timeout_secs=50")
    cli("deploy", AGENTS / "exits_at_import", "--name", name, "--env", "COLOUR=red", "--set", "health=tcp", status=5)
    said = "version 2 failed: environment and settings are those of version 1"
    planned = cli("deploy", PROBE, "--name", name, "--dry-run")
    assert said in planned.stderr and "COLOUR" not in planned.stdout and "health" not in planned.stdout
    third = cli.deploy(PROBE, name)
    assert any(note.startswith(said) for note in third["notes"])
    assert cli.facts(name)["environment"]["COLOUR"] == "green"
    kept = cli.json("versions", "get", name, "3")["settings"]
    assert (kept.get("health"), kept["start_timeout_secs"]) == (None, 50)


def test_an_image_that_is_not_there_is_not_the_agent_s_fault_and_leaves_a_way_out(cli):
    # Nobody listens on port 1.
    refused = cli.json("deploy", "127.0.0.1:1/team/absent:v1", status=1)["error"]
    assert refused["code"] == "failed" and "could not be pulled" in refused["cause"]
    assert "see to the reference, the registry and the credentials" in refused["fix"]
    assert refused["fix"].endswith("innkeep runtimes rm absent")
    # What never ran may be replaced by anything.
    cli("deploy", "127.0.0.1:1/other/absent:v1", status=1)
    unmade = cli.json("invoke", "absent", "hi", status=3)["error"]
    assert "its version 2 is UPDATE_FAILED: image 127.0.0.1:1/other/absent:v1 could not be pulled" in unmade["message"]
    cli("runtimes", "rm", "absent")


def test_an_image_takes_no_runtime_of_another_name_unasked(cli, name):
    cli.deploy(PROBE, name)
    refused = cli.json("deploy", f"registry.example/team/{name}:v1", "--dry-run", status=2)["error"]
    assert f"there is a runtime {name} already, and it runs code" in refused["message"]
    assert f"--name {name}" in refused["fix"]
    cli("deploy", f"registry.example/team/{name}:v1", "--name", name, "--dry-run")


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
    assert f"would update {name} to version 2" in lines
    assert "~ environmentVariables.COLOUR  **** → ****" in lines and "+ settings.health  tcp" in lines
    assert "would create endpoint prod with version 2" in lines
    assert any(re.fullmatch("~ code changed  [0-9a-f]{12} → [0-9a-f]{12}", line) for line in lines), lines
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


def test_what_the_project_says_under_agent_holds_until_the_deployment_says_otherwise(name, tmp_path):
    folder = shutil.copytree(AGENTS / "single_threaded", tmp_path / "single_threaded")  # has no /ping
    says = (folder / "innkeep.toml").write_text
    # A server that gives processes, which is less than the project demands in the end.
    with running_server(isolation="process") as server:
        cli = Cli(server, tmp_path)
        says('[agent]\nhealth = "tcp"\nstart_timeout_secs = 60\n')
        assert cli.deploy(folder, name)["status"] == "READY"
        assert "/ping" in cli.json("deploy", folder, "--name", name, "--set", "health=ping", status=5)["error"]["cause"]
        assert cli.status(name)["settings"] == {"health": "ping"}, "what was set, and no more"
        # Of isolation the stronger counts.
        says('[agent]\nhealth = "tcp"\nisolation = "container"\n')
        for arguments in ((), ("--set", "isolation=process")):
            error = cli.json("deploy", folder, "--name", name, "--set", "health-", *arguments, status=5)["error"]
            assert "demands isolation container" in error["cause"], error
        says("[agent]\nprocesses = 1\n")
        refused = cli.json("deploy", folder, "--name", name, status=1)["error"]
        assert "processes must be from 8" in refused["message"], refused


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
    if form != "layout":
        cli("deploy", source, "--no-wait", "--name", f"image_{form}", "--tag", "v1")
        refused = cli.json("deploy", source, "--name", f"image_{form}", "--tag", "v2", status=1)["error"]
        assert "none of its images is \"v2\"; it has agent:v1" in refused["message"]
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
