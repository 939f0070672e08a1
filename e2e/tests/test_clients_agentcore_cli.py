"""The npm CLI of the service, `agentcore invoke` and `agentcore exec`. Its endpoint is https://bedrock-agentcore.REGION.amazonaws.com, always.

So it runs in namespaces of its own (clients/in_aws.py), where that name is us: TLS ends here, and the bytes go on to the server
as they are. The signature is over that name, which shows that the server takes the host as the client wrote it.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from harness import ACCOUNT, EXAMPLES, REGION, ROLE, ROOT, environment, new_session

HOST = f"bedrock-agentcore.{REGION}.amazonaws.com"
PACKAGE = "@aws/agentcore@0.30.0"
INTEGRITY = "sha512-V094GyPZsT0fowb5QNPvnOvWLKBjmKK56sZSEAqbKtpZUxq3jmyCS4efouI2/Ei1sYR79Tp/rQVjbXGeASqJwg=="
# All that the published bundle leaves out is what `deploy` needs, a few hundred megabytes; to load it needs but the names.
CDK_TOOLKIT = """
export class BaseCredentials {}
export class BootstrapEnvironments {}
export class BootstrapStackParameters {}
export class StackSelectionStrategy {}
export class Toolkit {}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The CLI's entry file, as published."""
    folder = tmp_path_factory.mktemp("agentcore")
    packed = subprocess.run(["npm", "pack", "--json", PACKAGE], cwd=folder, capture_output=True, text=True, check=True)
    package = json.loads(packed.stdout)[0]
    assert package["integrity"] == INTEGRITY
    shutil.unpack_archive(folder / package["filename"], folder)
    toolkit = folder / "node_modules" / "@aws-cdk" / "toolkit-lib"
    toolkit.mkdir(parents=True)
    (toolkit / "package.json").write_text('{"name": "@aws-cdk/toolkit-lib", "type": "module", "main": "index.js"}')
    (toolkit / "index.js").write_text(CDK_TOOLKIT)
    return folder / "package" / "dist" / "cli" / "index.mjs"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A self-made certificate for HOST, and its key."""
    folder = tmp_path_factory.mktemp("authority")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, key


@pytest.fixture(scope="module")
def project(server, tmp_path_factory):
    """A folder as `agentcore deploy` would have left it."""
    agent = server.deploy(EXAMPLES / "raw-node")
    folder = tmp_path_factory.mktemp("project")
    runtime = {"runtimeId": agent.id, "runtimeArn": agent.arn, "roleArn": ROLE}
    write = {
        "agentcore/agentcore.json": {
            "name": "project", "version": 1, "managedBy": "CDK",
            "runtimes": [{
                "name": "echo", "build": "CodeZip", "entrypoint": "main.py", "codeLocation": "app/echo",
                "runtimeVersion": "PYTHON_3_12", "networkMode": "PUBLIC", "protocol": "HTTP",
            }],
        },
        "agentcore/aws-targets.json": [{"name": "default", "account": ACCOUNT, "region": REGION}],
        "agentcore/.cli/deployed-state.json": {"targets": {"default": {"resources": {"runtimes": {"echo": runtime}}}}},
    }
    for name, value in write.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    return folder


def answer_for_aws(listener, authority, server):
    """Ends TLS on what `listener` accepts and passes the bytes on, until it is closed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority)
    host, port = server.url.removeprefix("http://").split(":")
    while True:
        try:
            accepted = context.wrap_socket(listener.accept()[0], server_side=True)
        except OSError:
            return
        upstream = socket.create_connection((host, int(port)))
        for source, sink in ((accepted, upstream), (upstream, accepted)):
            threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction ended the connection


@pytest.fixture
def agentcore(server, program, authority, project, tmp_path):
    """Returns a function that runs `agentcore` in the project."""

    def run(*arguments):
        inside, outside = socket.socketpair()
        namespaces = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
        process = subprocess.Popen(
            [*namespaces, sys.executable, ROOT / "e2e/clients/in_aws.py", str(inside.fileno()), HOST, tmp_path / "hosts",
             "node", program, *arguments],
            cwd=project, pass_fds=[inside.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env=environment(
                HOME=str(tmp_path), NODE_EXTRA_CA_CERTS=str(authority[0]), AWS_REGION=REGION, CI="1",
                AWS_ACCESS_KEY_ID=server.key.access_key, AWS_SECRET_ACCESS_KEY=server.key.secret_key,
                AGENTCORE_TELEMETRY_DISABLED="1", AWS_EC2_METADATA_DISABLED="true",
            ),
        )
        inside.close()
        outside.settimeout(30)
        _, descriptors, _, _ = socket.recv_fds(outside, 64, 1)
        assert descriptors, process.communicate(timeout=30)[1]
        with outside, socket.socket(fileno=descriptors[0]) as listener:
            threading.Thread(target=answer_for_aws, args=(listener, authority, server), daemon=True).start()
            stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return run


def test_invoke_answers(agentcore):
    session = new_session()
    ran = agentcore("invoke", "hello there", "--session-id", session, "--json")
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    answer = json.loads(ran.stdout)
    assert answer["success"], answer
    assert answer["response"] == 'You said "hello there".'  # it shows the member `result`


def test_exec_prints_and_exits_as_the_command_does(agentcore):
    session = new_session()
    ran = agentcore("exec", "--session-id", session, "--json", "echo out; echo err >&2; exit 3")
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["exitCode"]) == (3, 3), (ran.stdout, ran.stderr)
    assert (told["stdout"], told["stderr"]) == ("out\n", "err\n")
    ran = agentcore("exec", "--session-id", session, "--timeout", "1", "sleep 60")
    assert ran.returncode != 0 and "timed out" in (ran.stdout + ran.stderr).lower(), (ran.stdout, ran.stderr)
