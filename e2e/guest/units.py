"""The same machine under a real systemd: the units of docs/operations.md, started, restarted and stopped by it. `init.sh` runs
`units.py write`, hands its process over to systemd, and systemd runs `units.py check`, which says how it went and ends the machine."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from situations import AGENT, LIMITS, TOP, expect, expect_good, wait_for

UNITS = Path("/etc/systemd/system")
USER = "innkeep"
SETTINGS = "INNKEEP_EGRESS=none INNKEEP_LOG=warn INNKEEP_SESSIONS_AT_SHUTDOWN=detach"

# What every one of them has; `{name}` is the unit's, whose data it keeps.
SERVICE = f"""[Service]
Environment={SETTINGS} HOME=/tmp TMPDIR=/tmp
ExecStart=/guest/innkeep serve --data-dir /tmp/{{name}} --listen 127.0.0.1:0
{{more}}
"""
DELEGATED = "Delegate=yes\nKillMode=process"
SUBGROUP = "DelegateSubgroup=server"
# The first systemd with it; an older one cannot start a delegated unit again while sessions live in it.
WITH_SUBGROUP = 254

DOCTOR = f"""[Service]
Type=oneshot
User={USER}
Delegate=yes
Environment=HOME=/tmp TMPDIR=/tmp
ExecStart=/guest/innkeep doctor --json --data-dir /tmp/doctor
StandardOutput=truncate:/tmp/doctor.json
"""

CHECK = f"""[Unit]
DefaultDependencies=no
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
Environment=PATH=/usr/bin:/usr/sbin
ExecStart=/usr/bin/python3 -u {__file__} check
StandardOutput=append:/dev/console
StandardError=inherit
TimeoutStartSec=240
"""


def write() -> None:
    """Writes the units; what systemd wants of a root file system that has none of it."""
    UNITS.mkdir(parents=True)
    for name, more in {"plain": "", "delegated": f"{DELEGATED}\n{SUBGROUP}", "user": f"User={USER}\n{DELEGATED}"}.items():
        (UNITS / f"{name}.service").write_text(SERVICE.format(name=name, more=more))
    (UNITS / "doctor.service").write_text(DOCTOR)
    (UNITS / "check.service").write_text(CHECK)
    with Path("/etc/passwd").open("a") as users:
        users.write(f"{USER}:x:61357:61357::/tmp:/bin/sh\n")
    Path("/etc/group").write_text(f"root:x:0:\n{USER}:x:61357:\n")
    Path("/etc/machine-id").touch()


def check() -> None:
    expect(Path("/proc/1/comm").read_text(), "systemd\n")
    a_service("plain", TOP)
    version = int(systemctl("--version").split()[1])
    if version >= WITH_SUBGROUP:
        a_service("delegated", TOP / "system.slice/delegated.service")
    else:
        print(f"not tested: {SUBGROUP}, which systemd {version} does not have", flush=True)
    a_users_service()
    expect(sidecars(), [])


def a_service(name: str, above: Path) -> None:
    """Sessions stay when their server's unit is restarted, and when it fails."""
    begun = time.monotonic()
    systemctl("start", name)
    call = counting(name)
    expect([call(), call()], [1, 2])
    expect({group_of(sidecar).is_relative_to(above) for sidecar in sidecars()}, {True})
    systemctl("restart", name)
    server_of(name)
    expect(call(), 3)
    systemctl("kill", "--signal=KILL", "--kill-who=main", name)
    wait_for("systemd to notice", lambda: state(name) == "failed")
    systemctl("start", name)
    server_of(name)
    expect(call(), 4)
    cli(name, "sessions", "stop", "--all")
    systemctl("stop", name)
    wait_for("nothing to be left", lambda: not sidecars())
    print(f"== under systemd, {name}: {time.monotonic() - begun:.0f} s", flush=True)


def a_users_service() -> None:
    """A user's server in a delegated unit has every limit."""
    systemctl("start", "user")
    call = counting("user")
    expect(call(), 1)
    groups = [group_of(sidecar) for sidecar in sidecars()]
    expect({group.is_relative_to(TOP / "system.slice/user.service") for group in groups}, {True})
    # What is kept half made has none yet.
    limits = [(group / "memory.max").read_text().strip() for group in groups]
    expect(sum(limit != "max" for limit in limits), 1)
    cli("user", "sessions", "stop", "--all")
    systemctl("stop", "user")
    wait_for("nothing to be left", lambda: not sidecars())
    systemctl("start", "doctor")
    findings = json.loads(Path("/tmp/doctor.json").read_text())["findings"]
    expect_good({finding["what"]: finding for finding in findings}, (*LIMITS, "a sandbox"))


def counting(name: str):
    """Deploys the agent that counts. Returns what asks it, always in the same session."""
    server_of(name)
    folder = Path(f"/tmp/{name}-agent")
    folder.mkdir()
    (folder / "main.py").write_text(AGENT)
    cli(name, "deploy", str(folder), "--name", "counting")
    return lambda: int(cli(name, "invoke", "counting", "--session", "one", "-d", "{}"))


def server_of(name: str) -> None:
    """Waits for the server that systemd runs now."""
    file = Path(f"/tmp/{name}/server.json")
    main = lambda: int(systemctl("show", "--value", "--property=MainPID", name))
    wait_for(f"{name} to listen", lambda: file.exists() and json.loads(file.read_text())["pid"] == main())


def cli(name: str, *arguments: str) -> str:
    as_user = ["setpriv", "--reuid=61357", "--regid=61357", "--clear-groups"] if name == "user" else []
    command = [*as_user, "/guest/innkeep", *arguments, "--data-dir", f"/tmp/{name}"]
    done = subprocess.run(command, env=os.environ | {"HOME": "/tmp"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    return done.stdout


def systemctl(*arguments: str) -> str:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    return done.stdout


def sidecars() -> list[int]:
    lines = {int(file.parent.name): file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()}
    return [pid for pid, line in lines.items() if line.startswith(b"innkeep-sidecar\0")]


def group_of(pid: int) -> Path:
    return TOP / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


def state(name: str) -> str:
    return systemctl("show", "--value", "--property=ActiveState", name).strip()


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write()
    else:
        try:
            check()
            print("guest: all is well", flush=True)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as failure:
            sys.exit(f"guest: failed under systemd: {failure}")
        finally:
            time.sleep(0.5)  # until the console has said it
