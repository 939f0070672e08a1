"""In a machine with control groups of version 2 alone: every place in which a server can find itself there. In each the driver's own
tests that have to do with control groups, what `innkeep doctor` says, and nothing that stays behind. Started by `init.sh`, as root."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "cpu", "pids")
LIMITS = ("limit of memory", "limit of processor time", "limit of processes")

# What the conformance suite has of limits, counting, ends and takeovers. The rest is not about control groups.
BASICS = [
    "out_of_memory_is_told_and_only_then",
    "processes_are_limited",
    "usage_is_what_is_counted",
    "a_sandbox_leaves_no_process_mount_group_or_directory",
]
SUITE = [
    *BASICS,
    "kill_leaves_no_process_whatever_the_agent_started",
    "a_later_driver_adopts_what_lives_and_removes_what_does_not",
    "an_agent_and_all_that_it_started_die_with_their_sidecar",
]

# The user of the tests that are not root's.
USER = 61_357
DATA = Path("/tmp/data")
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]

Place = Callable[[list[str]], list[str]]


def the_real_root() -> None:
    """As root, in no group: what is left to it by systemd, or where there is none."""
    tests(libtest("lib", ["container::cgroup"]))
    tests(libtest("it", [f"container::{name}" for name in SUITE]))
    expect_good(doctor())


def a_service_of_root() -> None:
    """As root, under systemd with Delegate=yes."""
    with group("system.slice/innkeep.service") as service:
        os.setxattr(service, "user.delegate", b"1")
        tests(libtest("it", [f"container::{name}" for name in BASICS]), inside(service))
        expect(groups(), {service / "server"} | set(parents(service)))
        # A second time from where systemd's DelegateSubgroup= starts it.
        expect_good(doctor(inside(service / "server")))


def a_container() -> None:
    """As root of a container, whose topmost group is all that it sees, and has other processes."""
    with group("machine.slice/container-1.scope") as container:
        tests(libtest("it", [f"container::{name}" for name in BASICS]), contained(container))
        assert (container / "server").is_dir()
    with group("machine.slice/container-2.scope") as container:
        expect_good(doctor(contained(container)))
    with group("machine.slice/container-3.scope") as container:
        # One that cannot be moved from inside.
        with subprocess.Popen(inside(container)(["sleep", "999"])) as stranger:
            wait_for("a stranger in the group", lambda: (container / "cgroup.procs").read_text().strip())
            findings = doctor(contained(container))
            stranger.kill()
        expect_missing(findings, LIMITS, "has processes of another pid namespace: 0")


def a_user_with_delegation() -> None:
    """An ordinary user, in a scope that systemd made with Delegate=yes."""
    with group("user.slice/user-61357.slice/run-1.scope") as scope:
        give(scope)
        tests(libtest("it", [f"rootless::{name}" for name in SUITE]), as_user(scope))
        expect(groups(), {scope / "server"} | set(parents(scope)))
        expect_good(doctor(as_user(scope / "server")))
    with group("user.slice/user-61357.slice/run-2.scope") as scope:
        give(scope)
        # A shell that waits for the server.
        findings = doctor(lambda command: as_user(scope)(["sh", "-c", '"$@"; exit $?', "sh", *command]))
        expect_missing(findings, LIMITS, "has other processes than the server")
    with group("user.slice/user-61357.slice/run-3.scope", ("memory", "pids")) as scope:
        give(scope)
        findings = doctor(as_user(scope))
        expect_missing(findings, LIMITS[1:2], "the cpu controller is not handed on")
        expect_good(findings, (LIMITS[0], LIMITS[2]))


def a_user_without_delegation() -> None:
    """An ordinary user, who may change no group: what cannot be limited is said, and refused unless it is waived."""
    names = ["where_limits_are_missing_the_driver_is_refused_unless_they_are_waived", *BASICS[1:]]
    with group("user.slice/user-61357.slice/session-1.scope") as scope:
        tests(libtest("it", [f"rootless::{name}" for name in names]), as_user(scope))
        expect_missing(doctor(as_user(scope)), LIMITS, "session-1.scope is not writable")


def a_server_that_moves() -> None:
    """A user's server is killed and started again in another scope, as `systemd-run --user --scope` makes for each start."""
    agent = Path("/tmp/counting/main.py")
    agent.parent.mkdir()
    agent.write_text(AGENT)
    call = lambda: int(cli("invoke", "counting", "--session", "one", "-d", "{}"))
    with group("user.slice/user-61357.slice/run-4.scope") as first, group("user.slice/user-61357.slice/run-5.scope") as second:
        give(first)
        give(second)
        with served(first) as server:
            cli("deploy", str(agent.parent))
            expect([call(), call()], [1, 2])
            server.kill()
        with served(second) as server:
            expect(call(), 3)
            # It alone has stayed where it was; what the first server kept ready has not.
            expect(len(groups_of_sandboxes(first)), 1)
            cli("invoke", "counting", "--session", "two", "-d", "{}")
            assert groups_of_sandboxes(second)
            server.terminate()
            expect(server.wait(60), 0)
        expect([groups_of_sandboxes(scope) for scope in (first, second)], [[], []])


SITUATIONS = [
    the_real_root, a_service_of_root, a_container, a_user_with_delegation, a_user_without_delegation, a_server_that_moves,
]

# Says how often it was called.
AGENT = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Agent(BaseHTTPRequestHandler):
    n_calls = 0

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b'{"status": "Healthy"}')

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        Agent.n_calls += 1
        self.answer(str(Agent.n_calls).encode())

HTTPServer(("127.0.0.1", 8080), Agent).serve_forever()
"""


def main() -> None:
    for situation in SITUATIONS:
        begun = time.monotonic()
        print(f"\n== {situation.__name__.replace('_', ' ')}: {situation.__doc__}", flush=True)
        situation()
        expect(groups(), set())
        expect(sidecars(), [])
        print(f"== {time.monotonic() - begun:.0f} s", flush=True)


def libtest(binary: str, names: list[str]) -> list[str]:
    """The command that runs these tests, and tells if one is no more."""
    exact = [] if binary == "lib" else ["--exact"]
    return [f"/guest/{binary}", *names, *exact, "--nocapture", "--test-threads=2"]


def tests(command: list[str], place: Place = list) -> None:
    done = subprocess.run(place(command), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    print(done.stdout[-30_000:], flush=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}"
    assert "skipped" not in done.stdout, "a test was skipped"
    if "--exact" in command:
        n_tests = sum("::" in word for word in command)
        assert f" {n_tests} passed" in done.stdout, f"not {n_tests} tests ran"


def doctor(place: Place = list) -> dict[str, dict]:
    command = ["/guest/innkeep", "doctor", "--json", "--data-dir", f"/tmp/data-{time.monotonic_ns()}"]
    done = subprocess.run(place(command), env=environment(), capture_output=True, text=True, timeout=60)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["usable"] else 1), done
    return {finding["what"]: finding for finding in answer["findings"]}


@contextmanager
def served(scope: Path):
    """A server of the user's that listens."""
    command = ["/guest/innkeep", "serve", "--data-dir", str(DATA), "--listen", "127.0.0.1:0"]
    settings = environment() | {"INNKEEP_EGRESS": "none", "INNKEEP_LOG": "warn"}
    (DATA / "server.json").unlink(missing_ok=True)
    with subprocess.Popen(as_user(scope)(command), env=settings) as server:
        wait_for("the server", lambda: (DATA / "server.json").exists() or server.poll() is not None)
        yield server
        server.kill()


def cli(*arguments: str) -> str:
    command = [*AS_USER, "/guest/innkeep", *arguments, "--data-dir", str(DATA)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    return done.stdout


def groups_of_sandboxes(of: Path) -> list[Path]:
    return list(of.glob("innkeep-*/*/"))


def expect_good(findings: dict[str, dict], names: tuple[str, ...] = (*LIMITS, "a sandbox")) -> None:
    for name in names:
        assert findings[name]["state"] == "good", findings[name]


def expect_missing(findings: dict[str, dict], names: tuple[str, ...], why: str) -> None:
    for name in names:
        assert findings[name]["state"] == "missing" and why in findings[name]["detail"], findings[name]
        assert findings[name]["fix"]
    assert findings["a sandbox"]["state"] == "missing", findings["a sandbox"]


def environment() -> dict[str, str]:
    return os.environ | {"TMPDIR": "/tmp", "HOME": "/tmp", "RUST_BACKTRACE": "0"}


@contextmanager
def group(name: str, controllers: tuple[str, ...] = CONTROLLERS):
    """A group as systemd makes it, with these controllers from the groups above; gone at the end, with what a server left in it."""
    made = TOP / name
    for above in [*reversed(parents(made)), made]:
        above.mkdir(exist_ok=True)
        if above != made:
            (above.parent / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in CONTROLLERS))
    (made.parent / "cgroup.subtree_control").write_text(" ".join(f"{'+' if one in controllers else '-'}{one}" for one in CONTROLLERS))
    yield made
    (made / "cgroup.kill").write_text("1")
    wait_for(f"{made} to be empty", lambda: "populated 0" in (made / "cgroup.events").read_text())
    for one in [made / "server", made, *parents(made)]:
        if one.exists() and not any(one.glob("*/")):
            one.rmdir()


def give(scope: Path) -> None:
    """What Delegate= does for a user."""
    for file in [scope, *(scope / f"cgroup.{name}" for name in ("procs", "subtree_control", "threads"))]:
        os.chown(file, USER, USER)


def inside(place: Path) -> Place:
    """Enters first, as systemd does for what it starts."""
    return lambda command: ["sh", "-c", f'echo 0 > {place}/cgroup.procs && exec "$@"', "sh", *command]


def as_user(place: Path) -> Place:
    return lambda command: inside(place)([*AS_USER, *command])


def contained(group: Path) -> Place:
    """Enters as a container, with another process besides."""
    start = 'umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit; sleep 999 & "$@"; exit $?'
    enter = f'echo 0 > {group}/cgroup.procs && exec unshare --cgroup sh -c "$0" sh "$@"'
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return lambda command: [*namespaces, "sh", "-c", enter, start, *command]


def parents(of: Path) -> list[Path]:
    """The groups above, from the nearest."""
    return [above for above in of.parents if TOP in above.parents]


def groups() -> set[Path]:
    """All groups but those that are there to be delegated themselves."""
    return {Path(top) / name for top, names, _ in os.walk(TOP) for name in names if not name.endswith((".service", ".scope"))}


def sidecars() -> list[str]:
    lines = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    return [line.decode() for line in lines if line.startswith(b"innkeep-sidecar\0")]


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.01)


def expect(found: object, wanted: object) -> None:
    assert found == wanted, f"{found} is not {wanted}"


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"guest: {failure}")
