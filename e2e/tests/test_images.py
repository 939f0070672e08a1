"""OCI images: from a real registry and from archives, into containers. The programs of the images see what the image says."""

import io
import json
import os
import pty
import re
import subprocess
import tarfile
import uuid
from pathlib import Path

import pytest

from harness import ROLE, Agent, Server, binary, environment, innkeep, new_session, new_user, running_server, wait_for
from hostile import CAN_NEST
from images import MISSING, Workshop, run, running_registry, standing_before

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed here: {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="umoci keeps owners as root only"),
]

PROGRAM = {
    "entrypoint": ["/bin/sh", "-c"], "cmd": "exec /srv/agent /etc/passwd /etc/removed /opt/hidden /opt/shown",
    "user": "app", "workingdir": "/srv", "env": ["WORD=honoured", "PATH=/bin"],
}
FACTS = {
    "uid": 1234, "gid": 1235, "directory": "/srv", "word": "honoured", "groups": [44],
    "files": {"/etc/passwd": True, "/etc/removed": False, "/opt/hidden": False, "/opt/shown": True},
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    workshop = Workshop(tmp_path_factory.mktemp("images"))
    workshop.make("agent", **PROGRAM)
    run("umoci", "tag", "--image", f"{workshop.layout}:agent", "elsewhere")
    workshop.configure("elsewhere", architecture="s390x")
    run("umoci", "tag", "--image", f"{workshop.layout}:agent", "nobody")
    workshop.configure("nobody", **{"user": "nobody-here"})
    run("umoci", "new", "--image", f"{workshop.layout}:idle")
    run("umoci", "tag", "--image", f"{workshop.layout}:agent", "large")
    noise = workshop.directory / "noise"
    noise.write_bytes(os.urandom(24_000_000))
    workshop.insert("large", noise, "/srv/noise")
    return workshop


@pytest.fixture(scope="module")
def registry(workshop, tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry") / "open") as registry:
        for tag in ("agent", "elsewhere", "nobody", "idle", "large"):
            workshop.push(tag, f"{registry.host}/team/agent:{tag}")
        yield registry


@pytest.fixture(scope="module")
def host():
    with containers() as server:
        yield server


def containers(**settings):
    return running_server(isolation="container", allow_missing_limits="true", **settings)


def create(server: Server, uri: str) -> dict:
    return server.control.create_agent_runtime(
        agentRuntimeName=f"image_{uuid.uuid4().hex[:8]}", agentRuntimeArtifact={"containerConfiguration": {"containerUri": uri}},
        roleArn=ROLE, networkConfiguration={"networkMode": "PUBLIC"},
    )


def deploy(server: Server, uri: str) -> Agent:
    created = create(server, uri)
    runtime = server.settled(created["agentRuntimeId"])
    assert runtime["status"] == "READY", (runtime.get("failureReason"), server.stderr[-4000:])
    assert runtime["agentRuntimeArtifact"]["containerConfiguration"]["containerUri"] == uri
    return Agent(server, created["agentRuntimeArn"], created["agentRuntimeId"])


def failure(server: Server, uri: str) -> str:
    runtime = server.settled(create(server, uri)["agentRuntimeId"])
    assert runtime["status"] == "CREATE_FAILED", runtime
    assert uri in runtime["failureReason"]
    return runtime["failureReason"]


def artifacts(server: Server) -> list[dict]:
    answer = server.request("GET", "/innkeep/v1/artifacts")
    assert answer.status == 200, answer
    return answer.json()["artifacts"]


def remove(server: Server, digest: str):
    return server.request("DELETE", f"/innkeep/v1/artifacts/{digest}")


def delete(server: Server, agent: Agent):
    server.control.delete_agent_runtime(agentRuntimeId=agent.id)

    def gone():
        try:
            server.control.get_agent_runtime(agentRuntimeId=agent.id)
        except server.control.exceptions.ResourceNotFoundException:
            return True

    wait_for("the runtime to be deleted", gone)


# --- commands ------------------------------------------------------------------------------------------------------------


def test_a_command_uses_the_shell_of_the_image_or_says_that_there_is_none(host, workshop):
    workshop.make("shell", **PROGRAM)
    workshop.make("shell-less", **PROGRAM | {"entrypoint": "/srv/agent", "cmd": []})
    run("umoci", "insert", "--image", f"{workshop.layout}:shell-less", "--whiteout", "/bin/sh")

    def command(tag, text):
        uploaded = upload(host, workshop.saved(tag, f"team/{tag}:1"), f"&name={tag}")
        assert uploaded.status == 201, uploaded
        agent = deploy(host, uploaded.json()["containerUri"])
        return host.data.invoke_agent_runtime_command(
            agentRuntimeArn=agent.arn, runtimeSessionId=new_session(), body={"command": text}
        )

    text = "busybox id -u; busybox id -G; pwd; echo $WORD; echo by name > /dev/stdout; busybox ls /proc/self/fd | busybox wc -l"
    chunks = [event["chunk"] for event in command("shell", text)["stream"]]
    said = "".join(chunk["contentDelta"]["stdout"] for chunk in chunks[1:-1])
    assert chunks[-1] == {"contentStop": {"exitCode": 0, "status": "COMPLETED"}}
    assert said.splitlines() == ["1234", "1235 44", "/srv", "honoured", "by name", "4"]
    with pytest.raises(host.data.exceptions.RuntimeClientError, match="has neither bash nor sh: add one to the image"):
        command("shell-less", "ls")


# --- registries ----------------------------------------------------------------------------------------------------------


def test_an_image_of_a_registry_runs_as_it_says(host, registry):
    agent = deploy(host, f"{registry.host}/team/agent:agent")
    assert agent.ask({}, new_session()) == FACTS
    kept = host.data_dir / "artifacts"
    assert list((kept / "blobs").iterdir()) == [], "compressed layers are not kept"
    [listed] = [it for it in artifacts(host) if it.get("reference") == f"{registry.host}/team/agent:agent"]
    assert listed["kind"] == "image" and listed["bytes"] > 1_000_000
    assert [used["version"] for used in listed["usedBy"]] == [1]
    # The same by digest is there already: under a name that no registry has.
    digest = listed["digest"]
    again = deploy(host, f"registry.invalid/any/name@sha256:{digest}")
    assert again.ask({}, new_session()) == FACTS
    refused = remove(host, digest)
    assert refused.status == 409 and re.search("version 1 of image_.*version 1 of image_", refused.json()["message"]), refused


def test_a_directory_that_a_layer_only_implies_is_what_the_layer_below_made_it(host, workshop, tmp_path):
    seen = 'exec /srv/agent "/shared-$(/bin/busybox stat -c %a-%u-%g /shared)" /shared/low /shared/high'
    workshop.make("implied", **PROGRAM | {"cmd": seen})
    shared, high = tmp_path / "shared", tmp_path / "high"
    shared.mkdir()
    (shared / "low").touch()
    high.touch()
    os.chown(shared, 1234, 1235)
    shared.chmod(0o1731)
    workshop.insert("implied", shared, "/shared")
    workshop.insert("implied", high, "/shared/high")
    archive = workshop.saved("implied", "team/implied:1")
    with tarfile.open(fileobj=io.BytesIO(archive)) as saved:
        layers = json.load(saved.extractfile("manifest.json"))[0]["Layers"]
        with tarfile.open(fileobj=saved.extractfile(layers[-1])) as top:
            assert [entry.name.strip("/") for entry in top] == ["shared/high"], "the layer describes the directory"
    uploaded = upload(host, archive, "&name=implied")
    assert uploaded.status == 201, uploaded
    agent = deploy(host, uploaded.json()["containerUri"])
    assert agent.ask({}, new_session())["files"] == {"/shared-1731-1234-1235": False, "/shared/low": True, "/shared/high": True}


def test_a_server_that_comes_back_needs_no_registry(workshop, tmp_path):
    with containers() as server:
        with running_registry(tmp_path / "registry") as registry:
            workshop.push("agent", f"{registry.host}/x:latest")
            agent = deploy(server, f"{registry.host}/x")
            assert agent.ask({}, new_session()) == FACTS
        server.kill()
        server.start()
        assert Agent(server, agent.arn, agent.id).ask({}, new_session()) == FACTS


@pytest.mark.skipif(not CAN_NEST, reason="this kernel lets ordinary users make no namespaces")
def test_an_ordinary_user_runs_images_too(registry):
    with containers(user=new_user()) as server:
        facts = deploy(server, f"{registry.host}/team/agent:agent").ask({}, new_session())
        assert {name: facts[name] for name in ("directory", "word", "files")} == {name: FACTS[name] for name in ("directory", "word", "files")}


def test_what_cannot_be_pulled_is_told_with_what_to_do(host, registry):
    at = f"{registry.host}/team/agent"
    assert f"{registry.host} does not have manifest none of team/agent; check name and tag" in failure(host, f"{at}:none")
    assert f"does not have manifest latest of other/agent" in failure(host, f"{registry.host}/other/agent")
    assert "it is for linux/s390x" in failure(host, f"{at}:elsewhere")
    assert "neither an entry point nor a command" in failure(host, f"{at}:idle")
    assert '"nobody-here" has no id from 0 to 65534 in its /etc/passwd' in failure(host, f"{at}:nobody")
    told = failure(host, "127.0.0.1:1/x")
    assert "127.0.0.1:1 cannot be reached: Connection refused" in told, told
    wrong = f"{at}@sha256:{'0' * 64}"
    assert "does not have manifest sha256:000" in failure(host, wrong)


def test_a_layer_that_was_changed_in_the_registry_is_refused(workshop, tmp_path):
    with running_registry(tmp_path / "registry") as registry, containers() as server:
        workshop.push("agent", f"{registry.host}/x:1")
        layer = registry.manifest("x", "1")["layers"][-1]["digest"]
        content = bytearray(registry.blob(layer).read_bytes())
        content[-1] ^= 1
        registry.blob(layer).write_bytes(content)
        told = failure(server, f"{registry.host}/x:1")
        assert f"is damaged: layer {layer} should have digest {layer} and has sha256:" in told, told


def test_credentials_are_taken_from_the_settings_the_docker_configuration_and_helpers(workshop, tmp_path, monkeypatch):
    passwords = tmp_path / "htpasswd"
    passwords.write_text(run("htpasswd", "-nbB", "me", "let-me-in"))
    auth = {"REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM": "test", "REGISTRY_AUTH_HTPASSWD_PATH": str(passwords)}
    helpers = tmp_path / "bin"
    helpers.mkdir()
    helper = helpers / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread host\n[ "$1 $host" = "get $HOST" ] && echo \'{"Username": "me", "Secret": "let-me-in"}\'\n')
    monkeypatch.setenv("PATH", f"{helpers}:{os.environ['PATH']}")
    with running_registry(tmp_path / "registry", **auth) as registry:
        helper.write_text(helper.read_text().replace("$HOST", registry.host))
        helper.chmod(0o755)
        workshop.push("agent", f"{registry.host}/x:1", "--dest-creds", "me:let-me-in")
        config = tmp_path / "config.json"
        login = lambda password: {"INNKEEP_REGISTRIES": json.dumps({registry.host: {"username": "me", "password": password}})}
        settings = {
            "settings": {"registries": json.dumps({registry.host: {"username": "me", "password": "let-me-in"}})},
            "file": {"docker_config": config},
            "helper": {"docker_config": config},
        }
        contents = {
            "file": {"auths": {registry.host: {"auth": "bWU6bGV0LW1lLWlu"}}},
            "helper": {"credHelpers": {registry.host: "test"}},
        }
        for way, chosen in settings.items():
            config.write_text(json.dumps(contents.get(way, {})))
            with containers(**chosen) as server:
                assert deploy(server, f"{registry.host}/x:1").ask({}, new_session()) == FACTS, way
                assert "let-me-in" not in server.stderr
        config.write_text("{}")
        wrong = json.dumps({registry.host: {"username": "me", "password": "let-me-out"}})
        for chosen, says in [({"docker_config": config}, "refuses it to the anonymous"), ({"registries": wrong}, "the credentials from [registries]")]:
            with containers(**chosen) as server:
                told = failure(server, f"{registry.host}/x:1")
                assert says in told and f"docker login {registry.host}" in told and "let-me" not in told + server.stderr, told
        # What `docker login` writes is enough, also while the server runs.
        home = tmp_path / "home"
        (home / ".docker").mkdir(parents=True)
        monkeypatch.setenv("HOME", str(home))
        with containers() as server:
            assert "refuses it to the anonymous" in failure(server, f"{registry.host}/x:1")
            (home / ".docker" / "config.json").write_text(json.dumps(contents["file"]))
            assert deploy(server, f"{registry.host}/x:1").ask({}, new_session()) == FACTS


def test_tls_takes_certificates_of_this_system_and_of_those_named(workshop, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    authority = [tmp_path / "ca.key", tmp_path / "ca.pem"]
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", authority[0], "-out", authority[1])
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", tmp_path / "request")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    run("openssl", "x509", "-req", "-in", tmp_path / "request", "-CA", authority[1], "-CAkey", authority[0], "-CAcreateserial", "-days", "2",
        "-extfile", tmp_path / "names", "-out", certificate)
    tls = {"REGISTRY_HTTP_TLS_CERTIFICATE": str(certificate), "REGISTRY_HTTP_TLS_KEY": str(key)}
    with running_registry(tmp_path / "registry", **tls) as registry:
        workshop.push("agent", f"{registry.host}/x:1")
        with containers() as server:
            told = failure(server, f"{registry.host}/x:1")
            assert "shows a certificate that is not trusted here" in told and "SSL_CERT_FILE" in told, told
        monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
        with containers() as server:
            assert deploy(server, f"{registry.host}/x:1").ask({}, new_session()) == FACTS


# --- interruptions -------------------------------------------------------------------------------------------------------


def test_a_cut_connection_is_taken_up_where_it_was_cut(registry):
    with standing_before(registry, cuts=2) as middle, containers() as server:
        assert deploy(server, f"{middle.host}/team/agent:large").ask({}, new_session()) == FACTS
        assert middle.ranges == ["bytes=4000000-", "bytes=8000000-"]


def test_a_server_killed_while_it_pulls_goes_on_when_it_comes_back(registry):
    with standing_before(registry, holds=True) as middle, containers() as server:
        created = create(server, f"{middle.host}/team/agent:large")
        blobs = server.data_dir / "artifacts" / "blobs"
        wait_for("half a layer to be here", lambda: 4_000_000 in sizes(blobs))
        progress = f"/innkeep/v1/runtimes/{created['agentRuntimeId']}/progress"
        far = lambda: at if (at := server.request("GET", progress).json()["pull"])["bytesDone"] >= 4_000_000 else None
        at = wait_for("the progress to show it", far)  # counted once it is written
        assert at["layers"] == 5 and at["bytesDone"] < at["bytes"], at
        server.kill()
        middle.holds = False
        middle.release.set()
        server.start()
        runtime = server.settled(created["agentRuntimeId"])
        assert runtime["status"] == "READY", runtime
        assert middle.ranges == ["bytes=4000000-"]
        assert Agent(server, created["agentRuntimeArn"], created["agentRuntimeId"]).ask({}, new_session()) == FACTS
        assert list(blobs.iterdir()) == []
        assert server.request("GET", f"/innkeep/v1/runtimes/{created['agentRuntimeId']}/progress").json() == {}


def sizes(directory: Path) -> list[int]:
    """Of the files that are there; layers that are unpacked go."""
    found = []
    for path in directory.iterdir():
        try:
            found.append(path.stat().st_size)
        except FileNotFoundError:
            pass  # it went meanwhile
    return found


def test_a_deployment_shows_on_a_terminal_how_far_the_pull_is(registry):
    with standing_before(registry, holds=True) as middle, containers() as server:
        ours, theirs = pty.openpty()
        variables = environment(INNKEEP_DATA_DIR=str(server.data_dir), TERM="xterm")
        variables.pop("CI", None)
        command = [binary(), "deploy", f"{middle.host}/team/agent:large", "--name", "watched"]
        seen = b""
        with subprocess.Popen(command, env=variables, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs) as process:
            os.close(theirs)
            try:
                while piece := os.read(ours, 4096):
                    seen += piece
                    if re.search(rb" of 2\d\.\d+ MB, \d of 5 layers", seen):
                        middle.holds = False
                        middle.release.set()
            except OSError:
                pass  # everybody else has hung up
        os.close(ours)
        assert process.returncode == 0 and b" of 5 layers" in seen, seen


def test_a_rollback_runs_the_image_that_the_old_version_ran_although_its_tag_moved(workshop, tmp_path):
    with running_registry(tmp_path / "registry") as registry, containers() as server:
        uri = f"{registry.host}/moving:tag"
        workshop.push("agent", uri)
        agent = deploy(server, uri)
        workshop.push("large", uri)
        config = {"agentRuntimeArtifact": {"containerConfiguration": {"containerUri": uri}}, "roleArn": ROLE}
        network = {"networkMode": "PUBLIC"}
        server.control.update_agent_runtime(agentRuntimeId=agent.id, networkConfiguration=network, **config)
        assert server.settled(agent.id)["status"] == "READY"
        answer = server.request("POST", f"/innkeep/v1/runtimes/{agent.id}/rollback", b"{}")
        assert answer.status == 202 and answer.json()["agentRuntimeVersion"] == "3", answer
        assert server.settled(agent.id)["status"] == "READY"
        used = {tuple(by["version"] for by in it["usedBy"]) for it in artifacts(server)}
        assert used == {(1, 3), (2,)}, artifacts(server)


# --- archives ------------------------------------------------------------------------------------------------------------


def upload(server: Server, archive: bytes, query=""):
    return server.request("POST", f"/innkeep/v1/artifacts?kind=image{query}", archive, {"Content-Type": "application/x-tar"})


def test_archives_are_deployed_by_the_reference_that_they_get(host, workshop):
    saved = upload(host, workshop.saved("agent", "example.com/team/saved_agent:7"))
    assert saved.status == 201, saved
    uri = saved.json()["containerUri"]
    assert re.fullmatch(r"innkeep\.local/saved-agent@sha256:[0-9a-f]{64}", uri), uri
    assert any("4 layers" in note for note in saved.json()["notes"]), saved
    first = deploy(host, uri)
    assert first.ask({}, new_session()) == FACTS

    packed = upload(host, workshop.packed("agent"), "&name=Packed")
    assert packed.status == 201, packed
    uri = packed.json()["containerUri"]
    assert uri.startswith("innkeep.local/packed@sha256:"), uri
    second = deploy(host, uri)
    assert second.ask({}, new_session()) == FACTS

    digest = uri.rsplit(":", 1)[1]
    assert remove(host, digest).status == 409
    delete(host, second)
    others = [it for it in artifacts(host) if it["digest"] == digest and it["usedBy"]]
    if not others:
        assert remove(host, f"sha256:{digest}").status == 204
        assert remove(host, digest).status == 404
    assert first.ask({}, new_session()) == FACTS, "layers that others have stay"
    assert remove(host, "no-digest").status == 400


def test_archives_that_are_none_are_refused(host, workshop):
    for archive, says in [
        (b"", "neither manifest.json"),
        (b"hello", "it is no tar"),
        (workshop.packed("agent")[:1_000_000], "cannot be taken from the archive"),
        (workshop.saved("idle", "x:1"), "neither an entry point nor a command"),
        (workshop.saved("elsewhere", "x:1"), "it is for linux/s390x"),
    ]:
        answer = upload(host, archive)
        assert answer.status == 400 and says in answer.json()["message"], answer
    wait_for("unfinished work to be gone", lambda: not list((host.data_dir / "artifacts" / "tmp").iterdir()))
    answer = host.request("POST", "/innkeep/v1/artifacts?kind=picture", b"")
    assert answer.status == 400 and "zip, project or image" in answer.json()["message"]


def test_without_containers_images_are_refused(workshop):
    with running_server(isolation="process") as server:
        uploaded = upload(server, workshop.saved("agent", "x:1"))
        assert uploaded.status == 201, uploaded
        uri = uploaded.json()["containerUri"]
        runtime = server.settled(create(server, uri)["agentRuntimeId"])
        assert runtime["status"] == "CREATE_FAILED" and "images run in containers" in runtime["failureReason"], runtime
