"""TLS as clients see it: with a certificate of the server's own authority, and with files that somebody else renews."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.parse
import warnings
from pathlib import Path

import pytest

from harness import (
    AGENTS, ROLE, ROOT, binary, environment, innkeep, new_session, running_server, wait_for,
)


@pytest.fixture(scope="module")
def secure():
    with running_server("--tls", "auto") as server:
        yield server


@pytest.fixture(scope="module")
def probe(secure):
    return secure.deploy(AGENTS / "probe")


def variables_of(server) -> dict[str, str]:
    printed = innkeep("env", "--shell", "json", data_dir=server.data_dir)
    assert printed.returncode == 0, printed.stderr
    return json.loads(printed.stdout)


def address(server) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(server.url)
    return parts.hostname, parts.port


def handshake(server, ca, alpn=(), **versions) -> tuple[str, str | None, str]:
    """What was agreed: the version, the protocol, and the certificate's serial number."""
    context = ssl.create_default_context(cafile=ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are asked for to be refused
        for name, version in versions.items():
            setattr(context, name, version)
    if alpn:
        context.set_alpn_protocols(alpn)
    host, port = address(server)
    with socket.create_connection((host, port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=host) as stream:
            return stream.version(), stream.selected_alpn_protocol(), stream.getpeercert()["serialNumber"]


def self_signed(folder: Path, name="server") -> tuple[Path, Path]:
    """A certificate that signed itself, and its key, by OpenSSL."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=60,
    )
    return cert, key


# --- clients -----------------------------------------------------------------------------------------------------------


def test_env_names_the_ca_and_boto3_needs_nothing_else(secure, probe):
    """T90."""
    variables = variables_of(secure)
    assert secure.url.startswith("https://127.0.0.1:")
    assert variables["AWS_CA_BUNDLE"] == variables["NODE_EXTRA_CA_CERTS"] == str(secure.data_dir / "ca.pem")
    assert "SSL_CERT_FILE" not in variables
    program = (
        "import boto3, json, sys\n"
        "answer = boto3.client('bedrock-agentcore').invoke_agent_runtime("
        "agentRuntimeArn=sys.argv[1], payload=json.dumps({'do': 'say', 'words': 'over TLS'}))\n"
        "print(answer['response'].read().decode())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, probe.arn], env=environment(**variables), capture_output=True, text=True,
        timeout=60, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"said": "over TLS"}

    del variables["AWS_CA_BUNDLE"]
    distrustful = subprocess.run(
        [sys.executable, "-c", program, probe.arn], env=environment(**variables, AWS_MAX_ATTEMPTS="1"),
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert "CERTIFICATE_VERIFY_FAILED" in distrustful.stderr


def test_the_aws_cli(secure, probe, tmp_path):
    aws = Path(sys.executable).with_name("aws")
    ran = subprocess.run(
        [aws, "bedrock-agentcore", "invoke-agent-runtime", "--agent-runtime-arn", probe.arn, "--payload",
         '{"do": "say", "words": "aws"}', tmp_path / "answer"],
        env=environment(**variables_of(secure)), capture_output=True, text=True, timeout=60, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "answer").read_text()) == {"said": "aws"}


def test_node(secure):
    """`fetch` and the AWS SDK both trust NODE_EXTRA_CA_CERTS."""
    program = (
        f"const answer = await fetch('{secure.url}/healthz'); console.log(answer.status, (await answer.json()).status)"
    )
    run = lambda variables: subprocess.run(
        ["node", "--input-type=module", "-e", program], env=environment(**variables), capture_output=True, text=True,
        timeout=60, check=False,
    )
    variables = variables_of(secure)
    ran = run(variables)
    assert (ran.stdout, ran.returncode) == ("200 ok\n", 0), ran.stderr
    del variables["NODE_EXTRA_CA_CERTS"]
    assert run(variables).returncode != 0


def test_the_aws_sdk_for_javascript(secure):
    session = new_session()
    definition = {
        "agentRuntimeName": "javascript_tls", "agentRuntimeArtifact": secure.artifact(ROOT / "examples/raw-node"),
        "roleArn": ROLE, "networkConfiguration": {"networkMode": "PUBLIC"},
    }
    ran = subprocess.run(
        ["node", ROOT / "e2e/clients/javascript.mjs", json.dumps({"definition": definition, "session": session})],
        env=environment(**variables_of(secure)), capture_output=True, text=True, timeout=120, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["plain"]["result"] == 'You said "grüß dich".'


def test_our_own_command_line(secure, probe):
    ran = innkeep("invoke", probe.id, "-d", '{"do": "say", "words": "cli"}', data_dir=secure.data_dir)
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"said": "cli"}), ran.stderr
    elsewhere = subprocess.run(
        [binary(), "--url", secure.url, "runtimes", "ls"], env=environment(INNKEEP_DATA_DIR="/nonexistent"),
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert elsewhere.returncode == 7
    assert "AWS_CA_BUNDLE" in elsewhere.stderr
    key = {"AWS_ACCESS_KEY_ID": secure.key.access_key, "AWS_SECRET_ACCESS_KEY": secure.key.secret_key}
    elsewhere = subprocess.run(
        [binary(), "--url", secure.url, "runtimes", "ls"],
        env=environment(INNKEEP_DATA_DIR="/nonexistent", AWS_CA_BUNDLE=str(secure.ca), **key),
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert elsewhere.returncode == 0, elsewhere.stderr


def test_the_snippet_for_curl(secure, probe):
    """`invoke --curl` as printed, over HTTP/2, which curl takes where it can."""
    ran = innkeep("invoke", probe.id, "-d", '{"do": "say", "words": "curl"}', "--curl", data_dir=secure.data_dir)
    assert "--cacert" in ran.stdout, ran.stdout + ran.stderr
    curl = subprocess.run(
        ["sh", "-c", ran.stdout.strip() + " -w '\\n%{http_version} %{http_code}'"],
        env=environment(**variables_of(secure)), capture_output=True, text=True, timeout=60, check=False,
    )
    body, agreed = curl.stdout.rsplit("\n", 1)
    assert (json.loads(body), agreed) == ({"said": "curl"}, "2 200"), curl.stderr


# --- the wire ----------------------------------------------------------------------------------------------------------


def test_versions_and_protocols(secure):
    """T90."""
    agreed = lambda *alpn, **versions: handshake(secure, secure.ca, alpn, **versions)[:2]
    assert agreed("h2", "http/1.1") == ("TLSv1.3", "h2")
    assert agreed("http/1.1") == ("TLSv1.3", "http/1.1")
    assert agreed() == ("TLSv1.3", None)
    assert agreed("h2", maximum_version=ssl.TLSVersion.TLSv1_2) == ("TLSv1.2", "h2")
    with pytest.raises(OSError):
        agreed(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("request_line", ["GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_plain_http_is_told_to_use_tls(secure, request_line):
    """T90."""
    with socket.create_connection(address(secure), timeout=30) as stream:
        stream.sendall(request_line.encode())
        stream.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: stream.recv(4096), b"")).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "https://" in json.loads(answer.split("\r\n\r\n", 1)[1])["message"]


def test_there_is_no_http2_without_tls(server):
    with socket.create_connection(address(server), timeout=30) as stream:
        stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        stream.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: stream.recv(4096), b""))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer


def test_large_bodies_over_http2_both_ways(secure, probe, tmp_path):
    n_bytes = 20_000_000
    (tmp_path / "body").write_bytes(os.urandom(n_bytes))

    def curl(headers, *arguments):
        signed = secure.signed("POST", probe.path, headers=headers, body=(tmp_path / "body").read_bytes())
        lines = [f"{name}: {value}" for name, value in signed.items()]
        command = ["curl", "-sS", "--http2", "--cacert", secure.ca, "-X", "POST", secure.url + probe.path, *arguments]
        command += [word for line in lines for word in ("-H", line)]
        ran = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    answer = json.loads(curl({"Content-Type": "application/octet-stream"}, "--data-binary", f"@{tmp_path}/body"))
    assert answer == {"bytes": n_bytes, "length": str(n_bytes)}
    # Without a length, as a stream: in HTTP/2 that takes no transfer coding.
    answer = json.loads(curl({"Content-Type": "application/octet-stream"}, "-T", f"{tmp_path}/body", "-H", "Content-Length:"))
    assert answer == {"bytes": n_bytes, "length": str(n_bytes)}
    (tmp_path / "body").write_text(json.dumps({"do": "download", "count": n_bytes}))
    back = curl({"Content-Type": "application/json"}, "--data-binary", f"@{tmp_path}/body")
    assert back == (bytes(range(256)) * 4096 * 20)[:n_bytes]


def test_a_stream_over_http2_comes_as_it_is_written(secure, probe, tmp_path):
    gate = tmp_path / "gate"
    body = json.dumps({"do": "stream", "chunks": ["data: one\n\n", "data: two\n\n"], "gates": [str(gate)]})
    headers = secure.signed("POST", probe.path, body, {"Content-Type": "application/json"})
    command = ["curl", "-sSN", "--http2", "--cacert", secure.ca, "--data-binary", body, secure.url + probe.path]
    command += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout.readline() == b"data: one\n"
        gate.touch()
        assert curl.stdout.read() == b"\ndata: two\n\n"
    assert curl.returncode == 0


# --- certificates ------------------------------------------------------------------------------------------------------


def test_a_restart_keeps_the_authority(tmp_path):
    with running_server("--tls", "auto") as server:
        ca = server.ca.read_bytes()
        assert (server.data_dir / "ca.key").stat().st_mode & 0o777 == 0o600
        first = handshake(server, server.ca)[2]
        server.stop()
        server.start()
        assert server.ca.read_bytes() == ca
        assert handshake(server, server.ca)[2] != first, "its certificates are new each time"


def test_files_are_loaded_anew_while_an_answer_streams(tmp_path):
    cert, key = self_signed(tmp_path)
    with running_server("--tls-cert", str(cert), "--tls-key", str(key), tls_ca=cert) as server:
        assert variables_of(server)["AWS_CA_BUNDLE"] == str(cert)
        agent = server.deploy(AGENTS / "probe")
        gate = tmp_path / "gate"
        stream = agent.invoke({"do": "stream", "chunks": ["one ", "two"], "gates": [str(gate)]})["response"]
        assert stream.read(4) == b"one "
        old = handshake(server, cert)[2]

        (tmp_path / "next").mkdir()
        new_cert, new_key = self_signed(tmp_path / "next")
        kept = shutil.copy(cert, tmp_path / "old.pem")
        both = tmp_path / "both.pem"
        both.write_bytes(Path(kept).read_bytes() + new_cert.read_bytes())
        # First the one, then the other, as tools do that know nothing of us.
        os.replace(shutil.copy(new_cert, tmp_path / "c"), cert)
        wait_for("the half that came to be noticed", lambda: "is not the one of the first certificate" in server.stderr)
        assert handshake(server, both)[2] == old
        os.replace(new_key, key)
        wait_for("the new certificate", lambda: handshake(server, both)[2] != old)

        gate.touch()
        assert stream.read() == b"two", "the connection of before goes on"
        del stream  # which holds that connection, whatever its client does


@pytest.mark.parametrize("kind", ["absent", "swapped", "other key", "encrypted", "junk"])
def test_files_that_cannot_be_used_are_refused_with_what_to_do(kind, tmp_path):
    cert, key = self_signed(tmp_path)
    if kind == "absent":
        key.unlink()
    elif kind == "swapped":
        cert, key = key, cert
    elif kind == "other key":
        _, key = self_signed(tmp_path, "other")
    elif kind == "encrypted":
        plain, key = key, tmp_path / "encrypted.key"
        subprocess.run(
            ["openssl", "pkey", "-in", plain, "-aes256", "-passout", "pass:x", "-out", key], check=True, timeout=60
        )
    else:
        cert.write_text("junk")
    ran = serve(tmp_path / "data", "--tls-cert", cert, "--tls-key", key)
    assert ran.returncode == 1
    expected = {
        "absent": "could not read", "swapped": "BEGIN CERTIFICATE", "other key": "belong together",
        "encrypted": "openssl pkey", "junk": "BEGIN CERTIFICATE",
    }
    assert expected[kind] in ran.stderr
    assert not (tmp_path / "data" / "innkeep.db").exists(), "refused before anything is made"


def serve(data_dir, *arguments) -> subprocess.CompletedProcess:
    """A server that must not start."""
    command = [binary(), "serve", "--data-dir", data_dir, "--isolation", "process", "--listen", "127.0.0.1:0", *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def test_listening_beyond_loopback_needs_tls_or_a_word(tmp_path):
    """T90."""
    refused = subprocess.run(
        [binary(), "serve", "--data-dir", tmp_path, "--isolation", "process", "--listen", "0.0.0.0:0"],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )
    assert refused.returncode == 2
    for word in ("--tls auto", "--tls-cert", "--allow-plain-http"):
        assert word in refused.stderr
    for arguments in (["--tls-cert", "x"], ["--tls-key", "x"], ["--tls", "auto", "--tls-cert", "x", "--tls-key", "y"], ["--tls", "maybe"]):
        assert serve(tmp_path, *arguments).returncode == 2, arguments
