"""The command line against one server, for the tests of what it does to the control plane."""

import json
import os
import pty
import subprocess
import uuid
from pathlib import Path

from harness import AGENTS, binary, environment

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
