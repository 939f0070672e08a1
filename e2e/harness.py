"""The real `innkeep` binary, started for tests, and signed raw requests to it.

Nothing here knows how Innkeep is built: it uses the command line, the two AWS planes and the operator API.
"""

import gc
import hashlib
import http.client
import io
import itertools
import json
import os
import re
import shutil
import signal
import ssl
import stat
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

# What tests ask of the machine, they find here too.
from machine import (  # noqa: F401
    control_group_name, control_groups, descriptors, io_counters, is_alive, is_empty, links, of_user, processes, removed,
    resident, unclaimed_packet_filter,
)

ROOT = Path(__file__).resolve().parent.parent
AGENTS = ROOT / "e2e" / "agents"
EXAMPLES = ROOT / "examples"
REGION = "us-west-2"
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/agent"
SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
IS_ROOT = os.geteuid() == 0


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
            raise AssertionError(f"waited {seconds} s in vain for {what() if callable(what) else what}")
        time.sleep(0.02)


def environment(**more) -> dict[str, str]:
    """What a program under test inherits: nothing of the caller's own AWS or Innkeep set-up."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR")
    pip = [name for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_"))]  # which package index to use
    return {name: os.environ[name] for name in (*keep, *pip) if name in os.environ} | more


def new_session() -> str:
    return f"session-{uuid.uuid4()}"


# --- the server --------------------------------------------------------------------------------------------------------


class Server:
    """One `innkeep serve` with a data directory of its own, whose random name marks every process it starts."""

    def __init__(self, data_dir: Path, *arguments: str, isolation: str | None = None, user: int | None = None, **settings):
        self.data_dir = data_dir
        self.arguments = arguments
        self.isolation = isolation or os.environ.get("INNKEEP_TEST_ISOLATION", "process")
        self.user = user
        self.settings = {f"INNKEEP_{name.upper()}": str(value) for name, value in settings.items()}
        self.binary = binary()
        if user is not None:
            self._give_to(user)
        self.start()

    def _user_environment(self) -> dict[str, str]:
        """Programs in our own home are not for an ordinary user."""
        return {} if self.user is None else {"HOME": str(self.data_dir), "PATH": "/usr/local/bin:/usr/bin:/bin"}

    def _give_to(self, user: int):
        """An ordinary user can read neither our build directory nor a temporary directory of ours."""
        copies = bin_of(self.data_dir)
        copies.mkdir()
        self.binary = Path(shutil.copy(self.binary, copies / "innkeep"))
        copies.chmod(0o755)
        os.chown(self.data_dir, user, user)

    def _command(self) -> list:
        return [self.binary, "serve", "--listen", "127.0.0.1:0", "--isolation", self.isolation]

    def start(self):
        """Starts the server and waits until it listens. Its clients are new: port 0 is another one each time."""
        self.stderr_lines: list[str] = []
        command = self._command()
        if self.user is not None:
            # As a login would: no capability, but also nothing that forbids to gain one.
            command = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", *command]
            command = [*with_tun(bin_of(self.data_dir) / "tun"), *command]
        self.process = subprocess.Popen(
            [*command, "--data-dir", self.data_dir, *self.arguments],
            env=environment(**self._user_environment(), **self.settings),
            cwd="/" if self.user is not None else None,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.url = ""
        listening = threading.Event()
        threading.Thread(target=self._read_stderr, args=(self.process, listening), daemon=True).start()
        assert listening.wait(30) and self.url, f"the server did not start: {self.stderr}"
        profiles = ConfigParser()
        profiles.read(self.data_dir / "credentials")
        profile = profiles[profiles.sections()[0]] if profiles.sections() else profiles["DEFAULT"]
        self.key = Credentials(profile["aws_access_key_id"], profile["aws_secret_access_key"])
        ca = json.loads((self.data_dir / "server.json").read_text()).get("ca")
        self.ca = Path(ca) if ca else None
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
            if match := re.fullmatch(r"innkeep listening on (https?://\S+)\n", line):
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
            service, endpoint_url=self.url, region_name=REGION, verify=str(self.ca) if self.ca else None,
            aws_access_key_id=key.access_key, aws_secret_access_key=key.secret_key, aws_session_token=key.token,
            config=Config(read_timeout=60, retries={"total_max_attempts": 1}, max_pool_connections=250, **config),
        )
        self.clients.append(client)
        return client

    # -- raw HTTP, for what boto3 will not send

    def signed(self, method, target, body=b"", headers=None, key=None, at=None) -> dict[str, str]:
        """Returns the headers of a request to `target` (path and query as they go on the wire), signed now or `at`."""
        headers = dict(headers or {})
        if target.startswith("/innkeep/"):
            # Uploads are received only if they say before what their body is.
            headers.setdefault("X-Amz-Content-SHA256", hashlib.sha256(body if isinstance(body, bytes) else body.encode()).hexdigest())
        request = AWSRequest(method, self.url + target, headers=headers, data=body)
        signer = SigV4Auth(key or self.key, "bedrock-agentcore", REGION)
        if at is None:
            signer.add_auth(request)
        else:
            with mock.patch("botocore.auth.get_current_datetime", return_value=at):
                signer.add_auth(request)
        return dict(request.headers.items())

    def request(self, method, target, body=b"", headers=None, sign=True, seconds=60, **signing) -> "Answer":
        """Sends one request, signed as told, on a connection of its own. `seconds`: how long the server may say nothing."""
        headers = self.signed(method, target, body, headers, **signing) if sign else dict(headers or {})
        connection = self._connection(seconds)
        try:
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def _connection(self, seconds):
        netloc = urllib.parse.urlsplit(self.url).netloc
        if self.ca is None:
            return http.client.HTTPConnection(netloc, timeout=seconds)
        return http.client.HTTPSConnection(netloc, timeout=seconds, context=ssl.create_default_context(cafile=self.ca))

    # -- deploying

    def upload(self, folder: Path, kind="project") -> dict:
        answer = self.request(
            "POST", f"/innkeep/v1/artifacts?kind={kind}", zipped(folder), {"Content-Type": "application/zip"},
            seconds=600,  # answered when the packages are installed
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

    def create(self, folder: Path, settings: dict | None = None, **members) -> dict:
        """Creates a runtime from a folder and returns what CreateAgentRuntime answered."""
        name = re.sub(r"[^A-Za-z0-9]", "_", folder.name) + "_" + uuid.uuid4().hex[:8]
        control = self.control
        if settings is not None:
            control = self.client("bedrock-agentcore-control")
            add = lambda params, **_: params["headers"].update({"x-innkeep-settings": json.dumps(settings)})
            control.meta.events.register("before-call.bedrock-agentcore-control.CreateAgentRuntime", add)
        return control.create_agent_runtime(
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
        """What the server has open beyond what it began with, and beyond what it keeps for later: readers of its database, its claim
        to the packet filter, and two launchers that wait."""
        more = descriptors(self.pid) - self.at_first
        kept = {r"/innkeep\.db": 4, r"/network-\d+\.users$": 1}
        if self.isolation == "container":
            zygotes = len(self.zygotes())
            kept |= {r"^pipe$": 4, r"pidfd": 2 + zygotes, r"^socket$": zygotes, r"^user$": zygotes, r"^pid$": zygotes}
        return more - Counter({kind: n for kind in more for pattern, n in kept.items() if re.search(pattern, kind)})

    def stop(self, seconds=60.0):
        """SIGTERM; afterwards nothing of the server may be left but its data."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)
        self.assert_nothing_left()
        assert "panicked" not in self.stderr, self.stderr[-4000:]

    def assert_nothing_left(self):
        # PID 1 reaps what the server left to it in its own time; a zombie has no command line and is not counted. The kernel
        # removes a network namespace, and a control group that was killed, in its own time too.
        wait_for(lambda: f"nothing to be left of the server: {self.leftovers()}", lambda: not self.leftovers(), 20)

    def leftovers(self) -> dict:
        """What is there of a server that ended, by kind; only kinds of which there is something."""
        sandboxes = self.data_dir / "sandboxes"
        found = {
            "processes": processes(str(self.data_dir)) | (of_user(self.user) if self.user is not None else {}),
            "directories of sandboxes": sorted(path.name for path in sandboxes.iterdir()) if sandboxes.exists() else [],
            "directories of zygotes": self.zygotes(),
            "mounts": self.mounts(),
            "links": {name: sandbox for name, sandbox in self.links().items() if sandbox},
            "control groups": [str(path) for path in control_groups() if path.name == control_group_name(self.data_dir)],
        }
        return {kind: what for kind, what in found.items() if what}

    def zygotes(self) -> list[str]:
        """The names of the interpreters that wait to fork, or are still to be cleared away."""
        place = self.data_dir / "zygotes"
        return sorted(path.name for path in place.iterdir()) if place.exists() else []

    def dead_control_groups(self) -> list[str]:
        """While the server runs: control groups without a process. Others are of sandboxes, or of launchers that wait."""
        parents = [path for path in control_groups() if path.name == control_group_name(self.data_dir)]
        return [str(group) for parent in parents for group in parent.iterdir() if group.is_dir() and is_empty(group)]

    def control_groups_of(self, sandbox: str) -> list[str]:
        """Those of one sandbox, in every hierarchy."""
        parents = [path for path in control_groups() if path.name == control_group_name(self.data_dir)]
        return [str(parent / sandbox) for parent in parents if (parent / sandbox).exists()]

    def links(self) -> dict[str, str]:
        """The host's links to sandboxes that this server made, also to those that are gone, by the directories of their logs; and
        those that were made for nobody yet, by whichever server."""
        made = self.data_dir / "logs"
        return {name: sandbox for name, sandbox in links().items() if not sandbox or (made / sandbox).exists()}

    def mounts(self) -> list[str]:
        """What of the server is mounted where everybody sees it."""
        return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if self.data_dir.name in line]


def with_tun(node: Path) -> list:
    """Runs a program where everybody may open /dev/net/tun, as distributions with udev have it; nothing where that is so already."""
    if not os.path.exists("/dev/net/tun") or os.stat("/dev/net/tun").st_mode & 0o006 == 0o006:
        return []
    if not node.exists():
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 200))
        node.chmod(0o666)
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/net/tun && exec "$@"', node]


def bin_of(data_dir: Path) -> Path:
    """Where an ordinary user's server finds its executable."""
    return data_dir.with_name(data_dir.name + "-bin")


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

    def open(self, gate, session):
        """Has the agent, `probe`, make the file that the session's other requests wait for: behind walls only it could be sure to see it."""
        self.ask({"do": "open", "gate": str(gate)}, session)

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


# Ids that no user of the machine has, for servers of ordinary users: each worker of pytest has 1000 of its own, of which those of
# another run beside this one begin elsewhere.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
USERS = (600_000 + 1000 * WORKER + (os.getpid() + n) % 1000 for n in itertools.count())


def new_user() -> int | None:
    """The id of an ordinary user who is no one else; none, which is ourselves, where we are no root who could become them."""
    return next(USERS) if IS_ROOT else None


@contextmanager
def running_server(*arguments: str, isolation: str | None = None, user: int | None = None, **settings):
    """A server of its own for one test or one worker; checked for leaks when it ends. `user`: the id of who runs it, else we.
    `settings`: those of `innkeep serve`."""
    data_dir = Path(tempfile.mkdtemp(prefix="innkeep-e2e-"))
    server = None
    try:
        server = Server(data_dir, *arguments, isolation=isolation, user=user, **settings)
        yield server
        if server.process.poll() is None:
            server.rest()
            server.stop()
    finally:
        if server is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        clear_away(data_dir, user)


def clear_away(data_dir: Path, user: int | None = None):
    """Ends and removes whatever is left of a server, also when a test failed."""
    for pid in processes(str(data_dir)) | (of_user(user) if user is not None else {}):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it went with another
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if data_dir.name in line:
            subprocess.run(["umount", "--lazy", line.split()[4]], check=False)
    for parent in control_groups():
        if parent.name == control_group_name(data_dir):
            for top, *_ in os.walk(parent, topdown=False):
                wait_for(f"{top} to be empty", lambda: removed(top))
    shutil.rmtree(data_dir, ignore_errors=True)
    shutil.rmtree(bin_of(data_dir), ignore_errors=True)


def innkeep(*arguments, data_dir: Path, stdin=None, timeout=120) -> subprocess.CompletedProcess:
    """Runs one CLI command against the server of `data_dir`."""
    return subprocess.run(
        [binary(), *arguments], env=environment(INNKEEP_DATA_DIR=str(data_dir)), input=stdin,
        capture_output=True, text=True, timeout=timeout, check=False,
    )
