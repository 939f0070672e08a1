"""The server as PID 1, as in a container without an init process."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import EXAMPLES, binary, environment, innkeep, new_session, processes, wait_for

CAN_UNSHARE = subprocess.run(["unshare", "-fp", "--mount-proc", "true"], capture_output=True).returncode == 0


def children(parent: int) -> dict[int, str]:
    """The children of a process, zombies included: pid to state."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            state, ppid = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except (OSError, ValueError):
            continue
        if int(ppid) == parent:
            found[int(entry.name)] = state
    return found


@pytest.mark.skipif(not CAN_UNSHARE, reason="a pid namespace cannot be made here (root only)")
def test_pid_1_keeps_no_zombies_of_sandboxes_that_ended():
    data_dir = Path(tempfile.mkdtemp(prefix="innkeep-pid1-"))
    outer = subprocess.Popen(
        ["unshare", "-fp", "--mount-proc", "--kill-child", binary(), "serve", "--listen", "127.0.0.1:0",
         "--isolation", "process", "--data-dir", data_dir],
        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        wait_for("the server to listen", (data_dir / "server.json").exists)
        assert json.loads((data_dir / "server.json").read_text())["pid"] == 1
        [server] = children(outer.pid)
        run = lambda *arguments: innkeep(*arguments, data_dir=data_dir)
        assert run("deploy", str(EXAMPLES / "hello")).returncode == 0
        session = new_session()
        for end in ("stop", "kill"):
            assert "4" in run("invoke", "hello", "What is 2+2?", "-s", session).stdout
            wait_for("the sidecar to be its child", lambda: children(server))
            assert run("sessions", end, session).returncode == 0
            wait_for("nothing to be left of it", lambda: children(server) == {})
        assert "4" in run("invoke", "hello", "What is 2+2?", "-s", session).stdout
        for sidecar in wait_for("the sidecar to be its child", lambda: children(server)):
            os.kill(sidecar, 9)
        wait_for("nothing to be left of one that was lost", lambda: children(server) == {})
    finally:
        outer.kill()
        outer.wait()
        wait_for("the namespace to end", lambda: not processes(str(data_dir)))
        shutil.rmtree(data_dir, ignore_errors=True)
