"""Code zips from an S3 server (moto) that knows nothing of Innkeep, deployed by boto3 alone."""

import io
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import uuid
import zipfile
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qsl, urlsplit
from urllib.request import urlopen

import boto3
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from commands import Cli
from harness import ROLE, Agent, environment, new_session, running_server, wait_for, zipped

BUCKET = "agents"
KEY = {"s3_access_key_id": "AKIAEXAMPLE", "s3_secret_access_key": "not-shown-anywhere"}
AGENT = '''
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"says": SAYS, "minor": sys.version_info[1], "traced": os.environ.get("TRACED"), "program": sys.executable})

    def answer(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
'''
INSTRUMENT = '''
import os, shutil, sys

def run():
    """As the real one does: finds the command and becomes it."""
    os.environ["TRACED"] = "yes"
    program = shutil.which(sys.argv[1])
    os.execl(program, program, *sys.argv[2:])
'''


def present() -> int:
    """The minor version of this system's Python, which Innkeep finds first."""
    ran = subprocess.run(["/usr/bin/python3", "-c", "import sys; print(sys.version_info[1])"], capture_output=True, text=True, check=True)
    return int(ran.stdout)


PRESENT = present()


# --- the S3 server -----------------------------------------------------------------------------------------------------


class Store:
    """A moto server; any key may do anything."""

    def __init__(self):
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", "0"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(),
        )
        self.url = ""
        threading.Thread(target=self._read_stderr, daemon=True).start()
        wait_for("moto to listen", lambda: self.url or self.process.poll() is not None, 90)
        assert self.url, "moto did not start"
        self.s3 = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def _read_stderr(self):
        for line in self.process.stderr:
            if match := re.search(r"Running on (http://\S+)", line):
                self.url = match[1]

    def put(self, content: bytes, key="", bucket=BUCKET) -> tuple[str, str | None]:
        """Returns the key, and the version if the bucket keeps versions."""
        key = key or f"{uuid.uuid4().hex}/code.zip"
        return key, self.s3.put_object(Bucket=bucket, Key=key, Body=content).get("VersionId")

    def stop(self):
        self.s3.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@contextmanager
def running_store():
    store = Store()
    try:
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="module")
def store():
    with running_store() as store:
        store.s3.create_bucket(Bucket=BUCKET)
        store.s3.create_bucket(Bucket="versioned")
        store.s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        yield store


@pytest.fixture(scope="module")
def host(store):
    with running_server(s3_endpoint=store.url, **KEY) as server:
        yield server


@contextmanager
def standing_in(handler):
    """Serves what `handler` says, on a port of its own. Its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def in_region(store: Store, its: str, status: int):
    """moto knows no regions: this stands before it as an endpoint of another region does. Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            _, _, region, *_ = dict(parse_qsl(urlsplit(self.path).query))["X-Amz-Credential"].split("/")
            if region == its:
                with urlopen(store.url + self.path) as answer:
                    return self.answer(200, answer.read())
            # As S3 answers: 301 has no Location, and 307 has it while a bucket is young.
            code = "PermanentRedirect" if status == 301 else "TemporaryRedirect"
            self.answer(status, f"<Error><Code>{code}</Code><Bucket>{BUCKET}</Bucket></Error>".encode())

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("x-amz-bucket-region", its)
            if status == 307:
                self.send_header("Location", f"http://169.254.169.254{self.path}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with standing_in(Handler) as url:
        yield url


@contextmanager
def checking(store: Store, secrets: dict[str, str]):
    """moto checks no signature in a URL: this stands before it and does, as botocore computes it. Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = f"http://{self.headers['Host']}{self.path}"
            given = dict(parse_qsl(urlsplit(url).query))
            key, _, region, *_ = given["X-Amz-Credential"].split("/")
            if key not in secrets:
                self.refuse("InvalidAccessKeyId")
            elif given["X-Amz-Signature"] != self.signature(url, Credentials(key, secrets[key]), region, given):
                self.refuse("SignatureDoesNotMatch")
            else:
                with urlopen(store.url + self.path) as answer:
                    self.answer(200, answer.read())

        def signature(self, url, credentials, region, given):
            unsigned = [part for part in urlsplit(url).query.split("&") if not part.startswith("X-Amz-")]
            request = AWSRequest("GET", f"{url.partition('?')[0]}?{'&'.join(unsigned)}")
            at = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
            with mock.patch("botocore.auth.get_current_datetime", return_value=at):
                S3SigV4QueryAuth(credentials, "s3", region, int(given["X-Amz-Expires"])).add_auth(request)
            return dict(parse_qsl(urlsplit(request.url).query))["X-Amz-Signature"]

        def refuse(self, code):
            self.answer(403, f"<Error><Code>{code}</Code></Error>".encode())

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with standing_in(Handler) as url:
        yield url


# --- deploying ---------------------------------------------------------------------------------------------------------


def code(says: str, **files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", f"SAYS = {says!r}\n{AGENT}")
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def artifact(key, version=None, bucket=BUCKET, runtime=f"PYTHON_3_{PRESENT}", entry_point=("main.py",)) -> dict:
    s3 = {"bucket": bucket, "prefix": key} | ({"versionId": version} if version else {})
    return {"codeConfiguration": {"code": {"s3": s3}, "runtime": runtime, "entryPoint": list(entry_point)}}


def create(server, what: dict) -> dict:
    """Creates a runtime and returns it as it is in the end."""
    created = server.control.create_agent_runtime(
        agentRuntimeName=f"zip_{uuid.uuid4().hex[:8]}", agentRuntimeArtifact=what, roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"},
    )
    return server.settled(created["agentRuntimeId"])


def update(server, runtime: dict, what: dict) -> dict:
    server.control.update_agent_runtime(
        agentRuntimeId=runtime["agentRuntimeId"], agentRuntimeArtifact=what, roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"},
    )
    return server.settled(runtime["agentRuntimeId"])


def ask(server, runtime: dict) -> dict:
    assert runtime["status"] == "READY", (runtime.get("failureReason"), server.stderr[-3000:])
    return Agent(server, runtime["agentRuntimeArn"], runtime["agentRuntimeId"]).ask({}, new_session())


def why_not(server, what: dict) -> str:
    runtime = create(server, what)
    assert runtime["status"] == "CREATE_FAILED", runtime
    return runtime["failureReason"]


# --- what works --------------------------------------------------------------------------------------------------------


def test_a_zip_of_a_bucket_becomes_an_agent(host, store):
    key, _ = store.put(code("hello"), "a folder/with ünusual+signs=&?.zip")
    runtime = create(host, artifact(key))
    assert ask(host, runtime) | {"program": ""} == {"says": "hello", "minor": PRESENT, "traced": None, "program": ""}
    assert runtime["agentRuntimeArtifact"] == artifact(key)
    assert KEY["s3_secret_access_key"] not in host.stderr


def test_what_changes_in_the_bucket_changes_no_version(host, store):
    key, _ = store.put(code("first"))
    runtime = create(host, artifact(key))
    store.put(code("second"), key)
    assert ask(host, runtime)["says"] == "first"
    assert ask(host, update(host, runtime, artifact(key)))["says"] == "second"
    store.s3.delete_object(Bucket=BUCKET, Key=key)
    assert ask(host, runtime)["says"] == "second"


def test_a_version_of_an_object_is_taken_by_its_id(host, store):
    key, old = store.put(code("old"), bucket="versioned")
    _, new = store.put(code("new"), key, "versioned")
    assert old and new and old != new
    runtime = create(host, artifact(key, old, "versioned"))
    assert ask(host, runtime)["says"] == "old"
    assert runtime["agentRuntimeArtifact"]["codeConfiguration"]["code"]["s3"]["versionId"] == old
    assert ask(host, update(host, runtime, artifact(key, bucket="versioned")))["says"] == "new"


def test_a_rollback_runs_what_the_version_ran_whatever_its_key_names_now(host, store, tmp_path):
    """The object has no versionId: nothing at the store tells the old one from the new."""
    cli = Cli(host, tmp_path)
    key, version = store.put(code("first"))
    assert version is None
    runtime = create(host, artifact(key))
    store.put(code("second"), key)
    assert ask(host, update(host, runtime, artifact(key)))["says"] == "second"
    name = runtime["agentRuntimeName"]
    assert cli("rollback", name).stdout == f"{name} DEFAULT: version 3, a copy of 1 (READY)\n"
    assert ask(host, runtime)["says"] == "first"
    # Nor does it need the object to be there.
    store.s3.delete_object(Bucket=BUCKET, Key=key)
    assert "version 4, a copy of 2 (READY)" in cli("rollback", name, "2").stdout
    assert ask(host, runtime)["says"] == "second"


def test_a_restart_needs_no_object_store():
    with running_store() as store, running_server(s3_endpoint=store.url, **KEY) as server:
        store.s3.create_bucket(Bucket=BUCKET)
        key, _ = store.put(code("kept"))
        runtime = create(server, artifact(key))
        assert ask(server, runtime)["says"] == "kept"
        server.rest()
        server.stop()
        store.stop()
        # As after a restore elsewhere: bundles are made again.
        for record in server.data_dir.glob("artifacts/bundles/*/bundle.json"):
            record.unlink()
        server.start()
        assert ask(server, runtime)["says"] == "kept"


def test_a_launcher_in_the_zip_runs_the_script(host, store, tmp_path):
    """As `pip install --target` leaves it, with a console script that has the name of OpenTelemetry's."""
    info = "tiny_otel-1.0.dist-info"
    wheel = tmp_path / "tiny_otel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_otel.py", INSTRUMENT)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-otel\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nopentelemetry-instrument = tiny_otel:run\n")
        archive.writestr(f"{info}/RECORD", "")
    package = tmp_path / "package"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--target", package, wheel], check=True, env=environment()
    )
    assert (package / "bin" / "opentelemetry-instrument").is_file()
    (package / "main.py").write_text(f"SAYS = 'traced'\n{AGENT}")
    key, _ = store.put(zipped(package))
    answer = ask(host, create(host, artifact(key, entry_point=("opentelemetry-instrument", "main.py"))))
    assert (answer["says"], answer["traced"], answer["minor"]) == ("traced", "yes", PRESENT)
    said = why_not(host, artifact(key, entry_point=("no-such-launcher", "main.py")))
    assert "bin/no-such-launcher" in said


def test_an_executable_in_the_zip_runs_as_provided(host, store, tmp_path):
    (tmp_path / "main.py").write_text(f"SAYS = 'provided'\n{AGENT}")
    (tmp_path / "start").write_text('#!/bin/sh\nexec /usr/bin/python3 "$(dirname "$0")/$1"\n')
    (tmp_path / "start").chmod(0o755)
    key, _ = store.put(zipped(tmp_path))
    assert ask(host, create(host, artifact(key, runtime="PROVIDED", entry_point=("start", "main.py"))))["says"] == "provided"


# --- what does not -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_fetched_is_named_with_what_to_do(host, store):
    key, _ = store.put(code("here"), bucket="versioned")
    for what, words in [
        (artifact("missing.zip"), f"s3://{BUCKET}/missing.zip at {store.url} cannot be read: status 404 NoSuchKey: there is no such object"),
        (artifact(key, bucket="no-such-bucket"), "status 404 NoSuchBucket: there is no such bucket; correct code.s3.bucket"),
        (artifact(key, str(uuid.uuid4()), "versioned"), "there is no such version of it; correct code.s3.versionId"),
    ]:
        said = why_not(host, what)
        assert words in said, said


def test_what_is_no_code_zip_is_refused(host, store):
    hostile = io.BytesIO()
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.writestr("../main.py", "")
    for content, words in [
        (b"no zip at all", "not a zip archive, or a truncated one"),
        (code("cut")[:-30], "not a zip archive, or a truncated one"),
        (hostile.getvalue(), "leads out of the archive"),
        (bytes(250_000_001), "has more than 250000000 bytes"),
    ]:
        key, _ = store.put(content)
        said = why_not(host, artifact(key))
        assert words in said, said
        store.s3.delete_object(Bucket=BUCKET, Key=key)
    key, _ = store.put(code("here"))
    assert "there is no file \"other.py\"" in why_not(host, artifact(key, entry_point=("other.py",)))
    wait_for("unfinished work to be gone", lambda: not list((host.data_dir / "artifacts" / "tmp").iterdir()))


def test_a_store_that_checks_signatures_takes_ours_and_no_others(store):
    key, _ = store.put(code("old"), "a folder/ünusual+signs=&?.zip", "versioned")
    _, version = store.put(code("signed"), key, "versioned")
    with checking(store, {"AKIAEXAMPLE": "right"}) as url:
        for keys, words in [
            ({"s3_access_key_id": "AKIAOTHER", "s3_secret_access_key": "right"}, "status 403 InvalidAccessKeyId"),
            ({"s3_access_key_id": "AKIAEXAMPLE", "s3_secret_access_key": "wrong"}, "status 403 SignatureDoesNotMatch"),
        ]:
            with running_server(s3_endpoint=url, **keys) as server:
                said = why_not(server, artifact(key, version, "versioned"))
                assert f"{words}: the store does not know these credentials; correct access_key_id" in said, said
        with running_server(s3_endpoint=url, s3_access_key_id="AKIAEXAMPLE", s3_secret_access_key="right", s3_region="eu-west-9") as server:
            assert ask(server, create(server, artifact(key, version, "versioned")))["says"] == "signed"


@pytest.mark.parametrize("status", [301, 307])
def test_a_bucket_in_another_region_is_said_to_be_and_found_there(store, status):
    key, _ = store.put(code("far away"))
    with in_region(store, "eu-west-9", status) as url:
        with running_server(s3_endpoint=url, s3_region="us-east-1", **KEY) as server:
            said = why_not(server, artifact(key))
            assert f"status {status}" in said and "the bucket is in region eu-west-9, and [s3] says us-east-1; set region" in said
        with running_server(s3_endpoint=url, s3_region="eu-west-9", **KEY) as server:
            assert ask(server, create(server, artifact(key)))["says"] == "far away"


def test_without_an_object_store_it_is_said_how_to_name_one(server):
    said = why_not(server, artifact("code.zip"))
    assert "name one in [s3] of innkeep.toml with endpoint, access_key_id and secret_access_key" in said
    assert "INNKEEP_S3_ENDPOINT" in said and "innkeep deploy" in said


def test_a_store_that_is_not_there_is_named():
    # Bound and not listened on: nobody else gets the port meanwhile.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with running_server(s3_endpoint=url, **KEY) as server:
            said = why_not(server, artifact("code.zip"))
            assert said.startswith(f"s3://{BUCKET}/code.zip at {url} cannot be read; see that the store runs"), said


# --- interpreters ------------------------------------------------------------------------------------------------------


def test_a_missing_interpreter_is_answered_with_those_present(host, store):
    absent = next((minor for minor in range(14, 9, -1) if minor != PRESENT and not shutil.which(f"python3.{minor}")), None)
    if absent is None:
        pytest.skip("this host has every Python from 3.10 to 3.14")
    key, _ = store.put(code("here"))
    said = why_not(host, artifact(key, runtime=f"PYTHON_3_{absent}"))
    assert said.startswith(f"there is no Python 3.{absent} on this host; deploy as what is here, "), said
    assert f"PYTHON_3_{PRESENT} (" in said and f'PYTHON_3_{absent} = "/path/to/python3.{absent}"' in said
    assert ("NODE_22 (" in said) == bool(shutil.which("node"))


def test_interpreters_are_mapped_by_the_operator(store, tmp_path):
    wrong = (PRESENT - 10 + 1) % 5 + 10
    link = tmp_path / "my-python"
    link.symlink_to("/usr/bin/python3")
    tmp_path.chmod(0o755)
    mapped = {f"PYTHON_3_{PRESENT}": str(link), f"PYTHON_3_{wrong}": str(link)}
    with running_server(s3_endpoint=store.url, interpreters=json.dumps(mapped), **KEY) as server:
        key, _ = store.put(code("mapped"))
        assert ask(server, create(server, artifact(key)))["says"] == "mapped"
        said = why_not(server, artifact(key, runtime=f"PYTHON_3_{wrong}"))
        assert said.startswith(f"PYTHON_3_{wrong} is {link} by [interpreters] in innkeep.toml"), said
        assert f"that is Python 3.{PRESENT}." in said
