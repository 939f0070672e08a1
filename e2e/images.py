"""Images made by umoci and carried by skopeo, and registries to pull them from (Debian's docker-registry)."""

import http.client
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import AGENTS, environment, wait_for

TOOLS = ("umoci", "skopeo", "docker-registry", "htpasswd", "busybox")
MISSING = [tool for tool in TOOLS if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin") is None]


def run(*command, **members) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **members)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


class Workshop:
    """An OCI layout that images are made in: each is a tag."""

    def __init__(self, directory: Path):
        self.layout = directory / "layout"
        self.directory = directory
        run("umoci", "init", "--layout", self.layout)
        self.agent = directory / "agent"
        run("cc", "-static", "-Os", "-o", self.agent, AGENTS / "in_image" / "main.c")

    def make(self, tag: str, **config: str | list[str]):
        """An image of three layers: a small root file system, one that removes parts of it, and the agent."""
        root = self.directory / f"root-{tag}"
        (root / "bin").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "opt").mkdir()
        shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
        (root / "bin" / "sh").symlink_to("busybox")
        (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1234:1235::/srv:/bin/sh\n")
        (root / "etc" / "group").write_text("app:x:1235:\nextra:x:44:app\n")
        (root / "etc" / "removed").touch()
        (root / "opt" / "hidden").touch()
        image = f"{self.layout}:{tag}"
        run("umoci", "new", "--image", image)
        self.insert(tag, root, "/")
        run("umoci", "insert", "--image", image, "--whiteout", "/etc/removed")
        shown = self.directory / f"opt-{tag}"
        shown.mkdir()
        (shown / "shown").touch()
        run("umoci", "insert", "--image", image, "--opaque", shown, "/opt")
        self.insert(tag, self.agent, "/srv/agent")
        self.configure(tag, **({"entrypoint": "/srv/agent"} | config))

    def insert(self, tag: str, source: Path, target: str):
        run("umoci", "insert", "--image", f"{self.layout}:{tag}", source, target)

    def configure(self, tag: str, architecture: str | None = None, **config: str | list[str]):
        words = ["--architecture", architecture] if architecture else []
        for name, values in config.items():
            for value in [values] if isinstance(values, str) else values:
                words += [f"--config.{name}", value]
        run("umoci", "config", "--image", f"{self.layout}:{tag}", *words)

    def push(self, tag: str, to: str, *words: str):
        run("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", *words, f"oci:{self.layout}:{tag}", f"docker://{to}")

    def saved(self, tag: str, name: str) -> bytes:
        """What `docker save` writes."""
        archive = self.directory / f"{tag}.tar"
        archive.unlink(missing_ok=True)
        run("skopeo", "--insecure-policy", "copy", "-q", f"oci:{self.layout}:{tag}", f"docker-archive:{archive}:{name}")
        return archive.read_bytes()

    def packed(self, tag: str) -> bytes:
        """The layout with this image alone, as a tar."""
        alone, archive = self.directory / f"alone-{tag}", self.directory / f"alone-{tag}.tar"
        shutil.rmtree(alone, ignore_errors=True)
        run("skopeo", "--insecure-policy", "copy", "-q", f"oci:{self.layout}:{tag}", f"oci:{alone}:{tag}")
        with tarfile.open(archive, "w") as tar:
            tar.add(alone, arcname=".")
        return archive.read_bytes()


class Registry:
    """docker-registry on a port of its own, with files in `directory`."""

    def __init__(self, directory: Path, **settings: str):
        self.files = directory / "files"
        config = directory / "config.yml"
        config.write_text("version: 0.1\n")
        variables = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(self.files), "REGISTRY_HTTP_ADDR": "127.0.0.1:0",
                     "REGISTRY_LOG_LEVEL": "info", "OTEL_TRACES_EXPORTER": "none"}
        config.write_text("version: 0.1\nstorage: {filesystem: {}}\nhttp: {addr: 127.0.0.1:0}\n")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config], env=environment(**variables, **settings), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.host = ""
        threading.Thread(target=self._read_stderr, daemon=True).start()
        wait_for("docker-registry to listen", lambda: self.host or self.process.poll() is not None)
        assert self.host, "docker-registry did not start"

    def _read_stderr(self):
        for line in self.process.stderr:
            if match := re.search(r'listening on ([^," ]+)', line):
                self.host = match[1]

    def manifest(self, repository: str, tag: str) -> dict:
        connection = http.client.HTTPConnection(self.host)
        try:
            connection.request("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def blob(self, digest: str) -> Path:
        """Where it keeps one."""
        kind, name = digest.split(":")
        return self.files / "docker/registry/v2/blobs" / kind / name[:2] / name / "data"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@contextmanager
def running_registry(directory: Path, **settings: str):
    directory.mkdir()
    registry = Registry(directory, **settings)
    try:
        yield registry
    finally:
        registry.stop()


class Middle:
    """Stands before a registry. The first large answers are cut off, or held up, after `at` bytes."""

    def __init__(self, behind: str, cuts: int = 0, holds: bool = False, at: int = 4_000_000):
        self.cuts, self.at, self.ranges = cuts, at, []
        self.release, self.holds = threading.Event(), holds
        middle = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                connection = http.client.HTTPConnection(behind)
                kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request("GET", self.path, headers=kept)
                response = connection.getresponse()
                body = response.read()
                connection.close()
                self.send_response(response.status)
                for name, value in response.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(middle.pass_on(body, self.headers["Range"]))
                    if len(body) > middle.at and middle.holds:
                        middle.release.wait(60)
                except OSError:
                    pass  # it was killed
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def pass_on(self, body: bytes, asked: str | None) -> bytes:
        if asked:
            self.ranges.append(asked)
        if len(body) > self.at and (self.holds or self.cuts > 0):
            self.cuts -= 1
            return body[: self.at]
        return body

    def stop(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def standing_before(registry: Registry, **how):
    middle = Middle(registry.host, **how)
    try:
        yield middle
    finally:
        middle.stop()
