"""The real `innkeep` binary, started for tests; signed raw requests to it; and what the kernel says of its processes.

Nothing here knows how Innkeep is built: it uses the command line, the two AWS planes, the operator API and /proc.
"""

import gc
import http.client
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid
import zipfile
from collections import Counter
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ROOT = Path(__file__).resolve().parent.parent
AGENTS = ROOT / "e2e" / "agents"
EXAMPLES = ROOT / "examples"
REGION = "us-west-2"
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/agent"
SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def binary() -> Path:
    return Path(os.environ.get("INNKEEP_BIN", ROOT / "target" / "release" / "innkeep"))


def wait_for(what, condition, seconds=30.0):
    """Returns the first true answer of `condition`, or fails naming `what`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


def environment(**more) -> dict[str, str]:
    """What a program under test inherits: nothing of the caller's own AWS or Innkeep set-up."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR")
    pip = [name for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_"))]  # which package index to use
    return {name: os.environ[name] for name in (*keep, *pip) if name in os.environ} | more


def new_session() -> str:
    return f"session-{uuid.uuid4()}"


# --- the kernel's view -------------------------------------------------------------------------------------------------


def processes(mark: str) -> dict[int, str]:
    """Living processes whose command line, environment or working directory mentions `mark`: pid to command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
            directory = os.readlink(entry / "cwd").encode()
        except OSError:
            continue  # it ended meanwhile, or is not ours to see
        if command and mark.encode() in command + b"\0" + environment + b"\0" + directory:
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def io_counters(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def descriptors(pid: int) -> Counter:
    """What a process has open, by kind: how many sockets, pipes, pidfds, and of each file."""
    kinds = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[re.sub(r":\[\d+\]$", "", os.readlink(entry))] += 1
        except OSError:
            pass  # closed meanwhile
    return kinds


def resident(pid: int) -> float:
    """Memory that a process has resident, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


# --- the server --------------------------------------------------------------------------------------------------------


class Server:
    """One `innkeep serve` with a data directory of its own, whose random name marks every process it starts. `program` stands
    before `serve`; the binary alone unless told."""

    def __init__(self, data_dir: Path, *arguments: str, isolation: str = "process", program: tuple = ()):
        self.data_dir = data_dir
        self.arguments = arguments
        self.isolation = isolation
        self.program = program or (binary(),)
        self.start()

    def start(self):
        """Starts the server and waits until it listens. Its clients are new: port 0 is another one each time."""
        self.stderr_lines: list[str] = []
        command = [*self.program, "serve", "--listen", "127.0.0.1:0", "--isolation", self.isolation]
        self.process = subprocess.Popen(
            [*command, "--data-dir", self.data_dir, *self.arguments],
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.url = ""
        listening = threading.Event()
        threading.Thread(target=self._read_stderr, args=(self.process, listening), daemon=True).start()
        assert listening.wait(30) and self.url, f"the server did not start: {self.stderr}"
        profiles = ConfigParser()
        profiles.read(self.data_dir / "credentials")
        profile = profiles[profiles.sections()[0]] if profiles.sections() else profiles["DEFAULT"]
        self.key = Credentials(profile["aws_access_key_id"], profile["aws_secret_access_key"])
        self.at_first = descriptors(self.pid)
        self.clients = []
        self.control = self.client("bedrock-agentcore-control")
        self.data = self.client("bedrock-agentcore")

    def kill(self):
        """As a crash would: kill -9. Sandboxes live on."""
        self.process.kill()
        self.process.wait()

    def _read_stderr(self, process, listening):
        for line in process.stderr:
            self.stderr_lines.append(line.rstrip("\n"))
            if match := re.fullmatch(r"innkeep listening on (http://\S+)\n", line):
                self.url = match[1]
                listening.set()
        listening.set()

    @property
    def stderr(self) -> str:
        return "\n".join(self.stderr_lines)

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self, service: str, key: Credentials | None = None, **config):
        """Returns an unmodified boto3 client that differs from one of AWS in its endpoint URL alone."""
        key = key or self.key
        client = boto3.client(
            service, endpoint_url=self.url, region_name=REGION,
            aws_access_key_id=key.access_key, aws_secret_access_key=key.secret_key, aws_session_token=key.token,
            config=Config(read_timeout=60, retries={"total_max_attempts": 1}, max_pool_connections=250, **config),
        )
        self.clients.append(client)
        return client

    # -- raw HTTP, for what boto3 will not send

    def signed(self, method, target, body=b"", headers=None, key=None, at=None) -> dict[str, str]:
        """Returns the headers of a request to `target` (path and query as they go on the wire), signed now or `at`."""
        request = AWSRequest(method, self.url + target, headers=dict(headers or {}), data=body)
        signer = SigV4Auth(key or self.key, "bedrock-agentcore", REGION)
        if at is None:
            signer.add_auth(request)
        else:
            with mock.patch("botocore.auth.get_current_datetime", return_value=at):
                signer.add_auth(request)
        return dict(request.headers.items())

    def request(self, method, target, body=b"", headers=None, sign=True, **signing) -> "Answer":
        """Sends one request, signed as told, on a connection of its own."""
        headers = self.signed(method, target, body, headers, **signing) if sign else dict(headers or {})
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    # -- deploying

    def upload(self, folder: Path, kind="project") -> dict:
        answer = self.request(
            "POST", f"/innkeep/v1/artifacts?kind={kind}", zipped(folder), {"Content-Type": "application/zip"}
        )
        assert answer.status in (200, 201), answer
        return answer.json()

    def artifact(self, folder: Path, kind="project") -> dict:
        """Uploads a folder and returns the `agentRuntimeArtifact` that runs it."""
        uploaded = self.upload(folder, kind)
        return {
            "codeConfiguration": {
                "code": {"s3": {"bucket": uploaded["bucket"], "prefix": uploaded["prefix"]}},
                "runtime": uploaded["runtime"],
                "entryPoint": uploaded["entryPoint"],
            }
        }

    def create(self, folder: Path, **members) -> dict:
        """Creates a runtime from a folder and returns what CreateAgentRuntime answered."""
        name = re.sub(r"[^A-Za-z0-9]", "_", folder.name) + "_" + uuid.uuid4().hex[:8]
        return self.control.create_agent_runtime(
            agentRuntimeName=name, agentRuntimeArtifact=self.artifact(folder), roleArn=ROLE,
            networkConfiguration={"networkMode": "PUBLIC"}, **members,
        )

    def settled(self, runtime_id: str, seconds=120.0) -> dict:
        """Waits until a runtime is no longer being changed and returns it."""

        def look():
            runtime = self.control.get_agent_runtime(agentRuntimeId=runtime_id)
            return runtime if runtime["status"] not in ("CREATING", "UPDATING") else None

        return wait_for(f"{runtime_id} to settle", look, seconds)

    def deploy(self, folder: Path, **members) -> "Agent":
        """Creates a runtime and waits until it is READY."""
        created = self.create(folder, **members)
        runtime = self.settled(created["agentRuntimeId"])
        assert runtime["status"] == "READY", (runtime.get("failureReason"), self.stderr[-4000:])
        return Agent(self, created["agentRuntimeArn"], created["agentRuntimeId"])

    # -- ending

    def sessions(self) -> list[dict]:
        return self.request("GET", "/innkeep/v1/sessions").json()["sessions"]

    def rest(self):
        """Ends every session and hangs up; the server then holds no more descriptors than when it began to listen."""
        for client in self.clients:
            client.close()
        gc.collect()  # connections of clients that tests have forgotten
        for session in self.sessions():
            named = {name: session[name] for name in ("runtimeId", "endpoint", "sessionId")}
            self.request("POST", "/innkeep/v1/sessions/stop", json.dumps(named | {"kill": True}).encode())
        wait_for("every session to end", lambda: not self.sessions())
        try:
            # A client that says nothing more is hung up on after 30 s.
            wait_for("the server to be at rest", lambda: not self.held(), 45)
        except AssertionError:
            raise AssertionError(f"at rest the server holds more than at its start: {dict(self.held())}") from None

    def held(self) -> Counter:
        """What the server has open beyond what it began with, and beyond the four readers of its database."""
        more = descriptors(self.pid) - self.at_first
        return more - Counter({kind: 4 for kind in more if "/innkeep.db" in kind})

    def stop(self, seconds=30.0):
        """SIGTERM; afterwards nothing of the server may be left but its data."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)
        self.assert_nothing_left()

    def assert_nothing_left(self):
        # PID 1 reaps what the server left to it in its own time; a zombie has no command line and is not counted.
        wait_for("every process of the server to end", lambda: not processes(str(self.data_dir)), 20)
        sandboxes = self.data_dir / "sandboxes"
        left = sorted(path.name for path in sandboxes.iterdir()) if sandboxes.exists() else []
        assert left == [], f"sandbox directories left: {left}"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class Agent:
    """A deployed runtime, as its callers see it."""

    server: Server
    arn: str
    id: str

    def invoke(self, payload=None, session=None, raw=None, **members) -> dict:
        """InvokeAgentRuntime; the answer's body is not read yet."""
        body = raw if raw is not None else json.dumps(payload or {}).encode()
        if session is not None:
            members["runtimeSessionId"] = session
        members.setdefault("contentType", "application/json")
        return self.server.data.invoke_agent_runtime(agentRuntimeArn=self.arn, payload=body, **members)

    def ask(self, payload=None, session=None, **members):
        """Invokes and returns the JSON that the agent answered."""
        return json.loads(self.invoke(payload, session, **members)["response"].read())

    def stop(self, session) -> dict:
        return self.server.data.stop_runtime_session(agentRuntimeArn=self.arn, runtimeSessionId=session)

    def view(self, session) -> dict | None:
        """What operators are shown of a session, also after its end; looking neither starts nor extends it."""
        answer = self.server.request("GET", f"/innkeep/v1/sessions?runtime={self.id}&session={session}&all=true")
        assert answer.status == 200, answer
        return next(iter(answer.json()["sessions"]), None)

    def wait_for_state(self, session, state, seconds=20.0) -> dict:
        def look():
            view = self.view(session)
            return view if view and view["state"] == state else None

        return wait_for(f"session {session} to be {state}", look, seconds)

    @property
    def path(self) -> str:
        """The target of an invocation by ARN, encoded as the SDKs do."""
        return f"/runtimes/{urllib.parse.quote(self.arn, safe='')}/invocations"


def zipped(folder: Path) -> bytes:
    """Returns the folder as a zip, without what no project wants to upload."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not {"__pycache__", ".venv"} & set(inside.parts):
                archive.write(path, inside)
    return buffer.getvalue()


@contextmanager
def running_server(*arguments: str, owner: int = -1, **how):
    """A server of its own for one test or one worker, on a directory of `owner`; checked for leaks when it ends."""
    data_dir = Path(tempfile.mkdtemp(prefix="innkeep-e2e-"))
    os.chown(data_dir, owner, owner)
    server = None
    try:
        server = Server(data_dir, *arguments, **how)
        yield server
        if server.process.poll() is None:
            server.rest()
            server.stop()
    finally:
        if server is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        for pid in processes(str(data_dir)):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(data_dir, ignore_errors=True)


def innkeep(*arguments, data_dir: Path, stdin=None, timeout=120) -> subprocess.CompletedProcess:
    """Runs one CLI command against the server of `data_dir`."""
    return subprocess.run(
        [binary(), *arguments], env=environment(INNKEEP_DATA_DIR=str(data_dir)), input=stdin,
        capture_output=True, text=True, timeout=timeout, check=False,
    )
