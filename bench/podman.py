"""Debian's podman as a place to start and stop a workload, told to make what Innkeep makes; with runc below it."""

from pathlib import Path

from harness import wait_for
from runtimes import MEMORY_BYTES, PROCESSES, Container, Runtime
from spawner import Spawner
from workloads import Workload


class Podman(Runtime):
    name = "podman"

    def __init__(self, spawner: Spawner, scratch: Path):
        super().__init__(spawner, scratch)
        state = ("--root", self.scratch / "store", "--runroot", self.scratch / "run", "--tmpdir", self.scratch / "tmp")
        self.program = [
            "/usr/bin/podman", "--runtime", "/usr/sbin/runc", "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs",
            "--events-backend", "none", *state,
        ]
        self.groups_before = groups()

    def command(self, workload: Workload, name: str, pid_file: Path) -> list:
        binds = [word for path in ("/usr", workload.shared) for word in ("--volume", f"{path}:{path}:ro")]
        limits = [f"--ulimit={kind}=1024:1024" for kind in ("nofile", "nproc")]  # its defaults: not every root may set them
        variables = [word for item in workload.environment.items() for word in ("--env", "=".join(item))]
        return [
            *self.program, "run", "--detach", "--name", name, "--pidfile", pid_file, "--network", "none",
            "--user", "1000:1000", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--read-only",
            "--log-driver", "none", "--memory", MEMORY_BYTES, "--pids-limit", PROCESSES, *limits, *binds, *variables,
            "--workdir", workload.directory, "--rootfs", self.scratch / workload.name / "root", *workload.argv,
        ]

    def remove(self, container: Container):
        self.spawner.run(*self.program, "rm", "--force", "--time", "0", container.name)

    def close(self):
        super().close()
        if not self.groups_before:
            wait_for("podman's control groups to go", lambda: all(map(removed, groups())))


def groups() -> list[Path]:
    """The control groups that podman makes and leaves, children first."""
    parents = [*Path("/sys/fs/cgroup").glob("libpod_parent"), *Path("/sys/fs/cgroup").glob("*/libpod_parent")]
    return [group for parent in parents for group in [*(path for path in parent.glob("*") if path.is_dir()), parent]]


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # conmon is still in it
        return False
    return True
