"""A small process that starts others, so that what a start costs does not depend on who measures it. Reads a line of JSON,
{"argv", "env", "cwd"} or {"wait": pid}, and writes one: the pid, or the status with which it ended, or in words why it was not started.

Run by itself it is that process; imported it is the way to it. A control group file system beside version 1's is hidden from
what it starts, because Debian's crun refuses to run where there are both.
"""

import json
import subprocess
import sys
from pathlib import Path

HYBRID = Path("/sys/fs/cgroup/unified")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class Spawner:
    """Starts programs without waiting for them; everything it says on standard error goes to `log`."""

    def __init__(self, log: Path):
        self.log = log
        hide = f"umount {HYBRID} && " if HYBRID.is_mount() else ""
        program = ["/usr/bin/python3", "-S", "-E", __file__]
        command = ["/usr/bin/unshare", "--mount", "sh", "-c", f'{hide}exec "$@"', "sh", *program]
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
            )

    def spawn(self, argv, env=None, cwd="/") -> int:
        return self._ask({"argv": [str(word) for word in argv], "env": env or ENVIRONMENT, "cwd": str(cwd)})

    def wait(self, pid: int) -> int:
        return self._ask({"wait": pid})

    def run(self, *argv, check=True) -> int:
        """Runs a program to its end."""
        status = self.wait(self.spawn(argv))
        assert not check or status == 0, f"{argv} ended with {status}: {self.log.read_text()[-2000:]}"
        return status

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, request: dict) -> int:
        self.process.stdin.write(json.dumps(request) + "\n")
        line = self.process.stdout.readline()
        assert line, f"the spawner ended: {self.log.read_text()[-2000:]}"
        answer = json.loads(line)
        if isinstance(answer, str):
            raise OSError(answer)
        return answer


def serve():
    children = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = children.pop(request["wait"]).wait()
        else:
            answer = start(request, children)
        print(json.dumps(answer), flush=True)


def start(request: dict, children: dict) -> int | str:
    """Returns the pid, or why there is none: a program may not be there."""
    argv, env, cwd = request["argv"], request["env"], request["cwd"]
    try:
        child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError as reason:
        return str(reason)
    children[child.pid] = child
    return child.pid


if __name__ == "__main__":
    serve()
