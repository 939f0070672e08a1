"""What the kernel says of servers, of their sandboxes, and of what these leave on the machine. Knows no server of its own."""

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

def processes(mark: str) -> dict[int, str]:
    """Living processes of the directory `mark`: pid to command line. On the host's side those whose command line, environment or
    working directory mentions it; and every process of a sandbox of which one has it open or mounted, whoever it belongs to."""
    found, inside, sandboxes = {}, [], set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            namespace = os.readlink(entry / "ns/pid")
            if not command:
                continue  # a thread of the kernel, or a zombie
            shown = command.replace(b"\0", b" ").decode(errors="replace").strip()
            seen = b"\0".join([command, (entry / "environ").read_bytes(), os.readlink(entry / "cwd").encode()])
            marked = mark.encode() in seen
            if namespace != OWN_PIDS:
                inside.append((int(entry.name), namespace, shown))
                if marked or Path(mark).name in host_names(entry):
                    sandboxes.add(namespace)
            elif marked:
                found[int(entry.name)] = shown
        except OSError:
            continue  # it ended meanwhile, or is not ours to see
    return found | {pid: shown for pid, namespace, shown in inside if namespace in sandboxes}


def host_names(entry: Path) -> str:
    """What a process has mounted and open, by the names that it had on the host."""
    names = [(entry / "mountinfo").read_text()]
    for descriptor in (entry / "fd").iterdir():
        try:
            names.append(os.readlink(descriptor))
        except OSError:
            pass  # it was closed meanwhile
    return "\n".join(names)


OWN_PIDS = os.readlink("/proc/self/ns/pid")


def control_groups() -> list[Path]:
    """The parents of sandboxes' control groups, of every server and in every hierarchy."""
    return [Path(top) / name for top, names, _ in os.walk("/sys/fs/cgroup") for name in names if name.startswith("innkeep-")]


def control_group_name(data_dir: Path) -> str:
    """The name of a server's control groups: FNV-1a of its data directory."""
    value = 0x811C9DC5
    for byte in os.fsencode(os.path.realpath(data_dir)):
        value = (value ^ byte) * 0x01000193 % 2**32
    return f"innkeep-{value:08x}"


def is_empty(control_group: Path) -> bool:
    try:
        return not (control_group / "cgroup.procs").read_text()
    except OSError:
        return False  # it went meanwhile


def namespaces(kind: str) -> set[str]:
    """Those of one kind that have a process."""
    found = set()
    for entry in Path("/proc").glob(f"[0-9]*/ns/{kind}"):
        try:
            found.add(os.readlink(entry))
        except OSError:
            pass  # it ended meanwhile, or is not ours to see
    return found


def links() -> dict[str, str]:
    """The host's links to sandboxes, of every server: the id of whose each is; none as long as nobody is named."""
    found = {}
    for link in Path("/sys/class/net").glob("ik-*"):
        try:
            found[link.name] = (link / "ifalias").read_text().strip().removeprefix("innkeep ")
        except OSError:
            pass  # it went meanwhile
    return found


def nft_tables() -> set[str]:
    """Packet filters of sandboxes."""
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True) if shutil.which("nft") else None
    return {line for line in (listed.stdout if listed else "").splitlines() if "innkeep" in line}


def unclaimed_packet_filter() -> set[str]:
    """A packet filter that no server counts on and no link is behind: whoever was the last should have taken it down."""
    tables = nft_tables()
    if not tables or links():
        return set()
    try:
        users = os.stat(f"/run/innkeep/network-{os.stat('/proc/self/ns/net').st_ino}.users").st_ino
    except FileNotFoundError:
        return tables
    # To take the lock would keep a server from taking the filter down at this moment. Source: proc_locks(5).
    holders = [line.split()[5].split(":")[2] for line in Path("/proc/locks").read_text().splitlines() if "->" not in line]
    return set() if str(users) in holders else tables


def machine() -> dict[str, set[str]]:
    """What sandboxes make on the machine that does not name its server."""
    return {
        "links": set(links()),
        "nft tables": nft_tables(),
        **{f"namespaces: {kind}": namespaces(kind) for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")},
        "forwarding of packets": {Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()},
        "control groups": set(map(str, control_groups())),
        "mounts": {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if "innkeep" in line},
    }


def left_since(before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is on the machine that was not there before, but for what goes within 20 s: the kernel removes network namespaces in its
    own time. Nothing is said where it may be another server's."""
    deadline = time.monotonic() + 20
    while left := {kind: new for kind, now in machine().items() if (new := now - before[kind])}:
        if innkeep_runs():
            print("\nmachine not checked: another innkeep runs")
            return {}
        if time.monotonic() > deadline:
            return left
        time.sleep(0.1)
    return {}


def innkeep_runs() -> bool:
    for entry in Path("/proc").glob("[0-9]*/comm"):
        try:
            if entry.read_text().startswith("innkeep"):
                return True
        except OSError:
            pass  # it ended meanwhile
    return False


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
    return memory(pid, "VmRSS")


def peak(pid: int) -> float:
    """The most that a process had resident, ever or since that was reset, MiB."""
    return memory(pid, "VmHWM")


def memory(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1024


def children(pid: int) -> list[int]:
    """Its own, whichever thread started them."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            found += map(int, listed.read_text().split())
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def of_user(user: int) -> dict[int, str]:
    """Every process of a user, however it hides."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == user and (command := (entry / "cmdline").read_bytes()):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            pass  # it ended meanwhile
    return found


def removed(control_group: str) -> bool:
    try:
        os.rmdir(control_group)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def main(what: str, file: str) -> int:
    """`remember FILE` what the machine is like; `compare FILE` fails if there is more on it by now."""
    if what == "remember":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(json.dumps({kind: sorted(found) for kind, found in machine().items()}))
        return 0
    left = left_since({kind: set(found) for kind, found in json.loads(Path(file).read_text()).items()})
    if left:
        print(f"left on the machine: {left}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
