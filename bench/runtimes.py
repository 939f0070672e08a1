"""The yardsticks: Debian's crun and runc (podman is beside this), each told to make what Innkeep makes: network, mount, pid,
ipc and uts namespaces of its own, the host's /usr read-only, uid 1000 without capabilities, the default seccomp profile."""

import json
import os
import select
import shutil
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import seccomp
from asking import PATIENCE, PAUSE, Network, first_byte_when_it_is_ready
from spawner import HYBRID, Spawner
from workloads import PORT, Workload

MEMORY_BYTES, PROCESSES = 8 << 30, 1024
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
LINKS = ("bin", "lib", "lib64", "sbin")
DIRECTORIES = ("usr", "etc", "proc", "sys", "dev", "tmp")


def make_root(root: Path, workload: Workload):
    """An empty root with the mount points of `mounts`."""
    for directory in DIRECTORIES:
        (root / directory).mkdir(parents=True, exist_ok=True)
    for link in LINKS:
        if Path("/", link).is_symlink():
            (root / link).symlink_to(os.readlink(Path("/", link)))
    for name in ("ld.so.cache", "passwd", "group"):
        shutil.copy2(f"/etc/{name}", root / "etc" / name)
    (root / workload.shared.relative_to("/")).mkdir(parents=True)


def mounts(workload: Workload) -> list[dict]:
    bind = [
        {"destination": str(path), "source": str(path), "type": "bind", "options": ["bind", "ro", "nosuid", "nodev"]}
        for path in ("/usr", workload.shared)
    ]
    own = ["nosuid", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": [*own, "noexec"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": [*own, "mode=1777", "size=1g"]},
        *bind,
    ]


@dataclass
class Container:
    name: str
    pid: int


class Runtime:
    """One of them, as a place where a workload is started and stopped."""

    def __init__(self, spawner: Spawner, scratch: Path):
        self.spawner = spawner
        self.scratch = scratch / self.name
        self.running: dict[str, Container] = {}

    def prepare(self, workload: Workload):
        bundle = self.scratch / workload.name
        make_root(bundle / "root", workload)
        (bundle / "config.json").write_text(json.dumps(self.configuration(workload, bundle / "root")))

    def configuration(self, workload: Workload, root: Path) -> dict:
        nothing = {kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 1000, "gid": 1000}, "args": workload.argv, "cwd": workload.directory,
                "env": [f"{name}={value}" for name, value in workload.environment.items()],
                "capabilities": nothing, "noNewPrivileges": True,
            },
            "root": {"path": str(root), "readonly": True},
            "hostname": "agent",
            "mounts": mounts(workload),
            "linux": {
                "namespaces": [{"type": kind} for kind in NAMESPACES],
                "seccomp": seccomp.without_capabilities(),
                "resources": {"memory": {"limit": MEMORY_BYTES}, "pids": {"limit": PROCESSES}},
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        }

    def start(self, workload: Workload) -> tuple[float, Container]:
        """Returns the milliseconds to the first byte of its answer."""
        name = f"innkeep-bench-{uuid.uuid4().hex[:12]}"
        pid_file = self.scratch / f"{name}.pid"
        command = self.command(workload, name, pid_file)
        started = time.perf_counter()
        program = self.spawner.spawn(command)
        pid = await_pid(pid_file)
        network = Network(pid)
        first_byte_when_it_is_ready(network.socket, PORT)
        took = (time.perf_counter() - started) * 1000
        network.close()
        status = self.spawner.wait(program)
        assert status == 0, f"{command} ended with {status}"
        pid_file.unlink()
        self.running[name] = Container(name, pid)
        return took, self.running[name]

    def stop(self, container: Container) -> float:
        """Returns the milliseconds until nothing of it is left."""
        process = os.pidfd_open(container.pid)
        started = time.perf_counter()
        self.remove(container)
        assert select.select([process], [], [], PATIENCE)[0], f"{container} goes on"
        took = (time.perf_counter() - started) * 1000
        os.close(process)
        del self.running[container.name]
        return took

    def close(self):
        """Ends what a failure has left running."""
        for container in list(self.running.values()):
            self.stop(container)


class Crun(Runtime):
    name = "crun"

    def __init__(self, spawner: Spawner, scratch: Path):
        super().__init__(spawner, scratch)
        self.state = scratch / "crun-state"
        groups = "disabled" if HYBRID.is_mount() else "cgroupfs"
        self.program = ["/usr/bin/crun", f"--cgroup-manager={groups}", "--root", self.state]

    def command(self, workload: Workload, name: str, pid_file: Path) -> list:
        return [*self.program, "run", "--detach", "--bundle", self.scratch / workload.name, "--pid-file", pid_file, name]

    def remove(self, container: Container):
        os.kill(container.pid, signal.SIGKILL)
        self.spawner.run(*self.program, "delete", "--force", container.name)


class CrunUnfiltered(Crun):
    """Without a seccomp profile: crun compiles it anew for every container."""

    name = "crun, no seccomp"

    def configuration(self, workload: Workload, root: Path) -> dict:
        configuration = super().configuration(workload, root)
        del configuration["linux"]["seccomp"]
        return configuration


class Runc(Crun):
    name = "runc"

    def __init__(self, spawner: Spawner, scratch: Path):
        super().__init__(spawner, scratch)
        self.program = ["/usr/sbin/runc", "--root", scratch / "runc-state"]


def await_pid(pid_file: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if pid := pid_file.read_text():
                return int(pid)
        except FileNotFoundError:
            pass
        assert time.monotonic() < deadline, f"no {pid_file}"
        time.sleep(PAUSE)
