"""Hostile code in a container: what of the host and of its kernel it finds, reads, signals, changes or calls.

Every test names the line of docs/threat-model.md that it proves, and every such line names its tests.
"""

import os
import signal
import socket

import pytest

from harness import innkeep, is_alive, new_session, processes, wait_for
from hostile import REFUSED

# --- processes ---------------------------------------------------------------------------------------------------------


def test_a_session_sees_no_process_but_its_own(world):
    """T21: nothing of other sessions, of the host, or of the sidecar is listed."""
    listed = world.gain("everybody")
    assert listed and all("main.py" in (command or "") for command in listed.values()), listed
    assert str(world.gain("facts")["pid"]) in listed


def test_signals_reach_no_process_of_others(world):
    """T21: neither by number, nor all at once, nor the sidecar."""
    server, session = world.server, new_session()
    victims = {world.pid(world.agent, world.victim), world.pid(world.other, world.stranger)}
    outside = sorted(victims | {server.pid, world.secrets.process.pid})
    before = world.gain("facts", session=session)["pid"]
    assert world.gain("kill_some", session=session, pids=outside, number=0) == []
    for pid in (1, *outside):
        world.is_refused("kill", "EPERM", "ESRCH", session=session, pid=pid, number=int(signal.SIGKILL))
    # All that it may signal: its own children, of which there are none.
    world.attack("kill", session=session, pid=-1, number=int(signal.SIGKILL))
    assert world.gain("facts", session=session)["pid"] == before
    assert all(is_alive(pid) for pid in outside)


def test_nothing_is_read_of_processes_of_others(world):
    """T22: environment, memory, files and namespaces of the sidecar, and of whatever number has a process on the host."""
    for pid in (1, world.server.pid, world.secrets.process.pid, world.pid(world.agent, world.victim)):
        assert world.gain("pry", pid=pid) == [], pid
    for path in ("/proc/1/environ", "/proc/1/mem", "/proc/1/root/etc/hosts"):
        world.is_refused("read", "ENOENT", *REFUSED, path=path)
    for name in ("ptrace", "process_vm_readv", "process_vm_writev"):
        arguments = {"ptrace": [16, 1, 0, 0]}.get(name, [1, 0, 0, 0, 0, 0])
        world.is_refused("call", name=name, arguments=arguments)


def test_an_agent_s_environment_holds_nothing_of_the_server_or_of_another_runtime(world):
    """T22: only what the contract and its own deployer put there."""
    own = world.gain("facts")["environment"]
    assert own["OWN"] == world.secrets.word[:16]
    other = world.attack("facts", session=world.stranger, agent=world.other)["result"]["environment"]
    assert "OWN" not in other
    for environment in (own, other):
        shown = str(environment)
        for secret in (world.server.key.secret_key, world.server.key.access_key, str(world.server.data_dir)):
            assert secret not in shown


# --- files -------------------------------------------------------------------------------------------------------------


def test_no_file_of_the_host_is_found(world):
    """T23: not the data directory and its keys, no home, nobody's temporary files, by content or by name."""
    for word in (world.secrets.word, world.server.key.secret_key):
        assert world.gain("search", word=word) == []
    for path in (world.server.data_dir, world.server.data_dir / "credentials", "/etc/shadow", "/etc/machine-id", "/var/lib/dpkg"):
        world.is_refused("look", "ENOENT", "EACCES", path=str(path))
    assert world.gain("ls", path="/home") == ["agent"]


def test_base_and_system_cannot_be_changed(world):
    """T24: no file of the base can be written, added or removed."""
    for path in ("/usr/bin/env", "/usr/new", "/bin/new", "/etc/ssl/new", "/usr/lib/os-release"):
        world.is_refused("write", "EROFS", *REFUSED, path=path)
    for path in ("/usr/bin/env", "/usr/lib/os-release"):
        world.is_refused("remove", "EROFS", *REFUSED, path=path)
        world.is_refused("chmod", "EROFS", *REFUSED, path=path, mode=0o777)
        world.is_refused("hard_link", "EXDEV", "EROFS", *REFUSED, source=path, path="/tmp/linked")


def test_what_a_session_does_to_its_code_no_other_session_sees(world):
    """T24: the writable layer above the code is the session's alone, and goes with it."""
    spoiler, reader = new_session(), new_session()
    folder = world.gain("facts", session=spoiler)["environment"].get("PWD", "/var/task")
    path = f"{folder}/main.py"
    original = world.gain("read", session=spoiler, path=path)
    world.gain("remove", session=spoiler, path=path)
    world.gain("write", session=spoiler, path=path, text="raise SystemExit\n")
    assert world.gain("read", session=spoiler, path=path) == "raise SystemExit\n"
    assert world.gain("read", session=world.victim, path=path) == original
    assert world.gain("read", session=reader, path=path) == original
    world.agent.stop(spoiler)
    world.agent.wait_for_state(spoiler, "Stopped")
    assert world.gain("read", session=spoiler, path=path) == original


def test_links_in_the_writable_layer_lead_the_host_nowhere(world):
    """T25: directories that turn into links to the host's files all the while the layer is removed harm nothing, and it goes whole."""
    targets = [str(file.parent) for file in world.secrets.files] + [str(world.server.data_dir), "/usr"]
    sandboxes = lambda: {path.name for path in (world.server.data_dir / "sandboxes").iterdir()}
    assert world.gain("facts", session=world.victim)["pid"]
    for grace in ("stop", "kill"):
        session, before = new_session(), sandboxes()
        for place in ("/tmp", "/dev/shm", "/home/agent"):
            world.gain("litter", session=session, targets=targets, place=f"{place}/litter")
        assert sandboxes() - before
        ended = innkeep("sessions", grace, session, data_dir=world.server.data_dir)
        assert ended.returncode == 0, ended
        world.agent.wait_for_state(session, "Stopped")
        wait_for(lambda: f"its directory to be gone: {sandboxes() - before}", lambda: not sandboxes() - before)
    assert world.secrets.are_untouched()
    assert (world.server.data_dir / "credentials").exists()
    assert world.gain("facts", session=world.victim)["pid"]


# --- sockets -----------------------------------------------------------------------------------------------------------


def test_no_socket_of_the_host_or_of_the_server_is_reached(world):
    """T26: not by path, not by abstract name; the control socket is nowhere."""
    world.is_refused("connect_to_path", "ENOENT", *REFUSED, path=world.secrets.path)
    world.is_refused("connect_to_name", "ECONNREFUSED", *REFUSED, name=world.secrets.word)
    found = world.gain("unix_sockets")
    assert found["files"] == [] and world.secrets.word not in str(found["told"]), found
    for path in found["told"]:
        if not path.startswith("@"):
            world.is_refused("connect_to_path", "ENOENT", "ECONNREFUSED", *REFUSED, path=path)
    for path in world.server.data_dir.glob("sandboxes/*/ctl.sock"):
        world.is_refused("connect_to_path", "ENOENT", *REFUSED, path=str(path))


# --- powers and the kernel ---------------------------------------------------------------------------------------------


def test_an_agent_has_no_power_and_gains_none(world):
    """T28: no capability in any set, no new privileges, a filter, an ordinary user without groups."""
    powers = world.gain("powers")
    assert powers["Uid"].split() == ["1000"] * 4 and powers["Gid"].split() == ["1000"] * 4
    assert powers["Groups"].split() in ([], ["65534"])  # rootless: groups that have no number inside cannot be given up
    assert {name: int(value, 16) for name, value in powers.items() if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0
    )
    assert (powers["NoNewPrivs"], powers["Seccomp"]) == ("1", "2")
    world.is_refused("become_root", "EINVAL", "EPERM")
    raised = world.attack("raise_limit", name="NOFILE", value=10_000_000)
    assert "not allowed" in raised.get("exception", "") or raised.get("errno") == "EPERM", raised


def test_setuid_programs_make_nobody_more(world):
    """T28: neither those of the base nor one of the agent's own."""
    copy = world.gain("run_setuid_copy")
    assert copy["nosuid"] and "uid=1000" in copy["said"] and "euid=" not in copy["said"], copy
    assert world.gain("setuid_files")["honoured"] == []


NEW_USER, NEW_MOUNTS, NEW_NETWORK, CHILD_SIGNAL = 0x10000000, 0x20000, 0x40000000, 17
CALLS = [
    ("acct", [0]), ("add_key", ["user", "name", "payload", 7, -3]), ("bpf", [0, [128], 128]), ("chroot", ["/tmp"]),
    ("clock_settime", [0, 0]), ("clone", [NEW_USER | CHILD_SIGNAL, 0, 0, 0, 0]), ("clone3", [[88], 88]),
    ("clone", [NEW_MOUNTS | CHILD_SIGNAL, 0, 0, 0, 0]), ("clone", [NEW_NETWORK | CHILD_SIGNAL, 0, 0, 0, 0]),
    ("delete_module", ["no_such_module", 0]), ("fanotify_init", [0, 0]), ("finit_module", [-1, "", 0]), ("fsopen", ["tmpfs", 0]),
    ("init_module", [0, 0, ""]), ("io_uring_setup", [8, [120]]), ("kcmp", [1, 1, 0, 0, 0]), ("kexec_load", [0, 0, 0, 0]),
    ("keyctl", [0, -3, 0]), ("mount", ["none", "/tmp", "tmpfs", 0, 0]), ("mount", ["none", "/tmp", "cgroup2", 0, 0]),
    ("mount", ["none", "/tmp", "proc", 0, 0]), ("mount_setattr", [-100, "/", 0, [32], 32]),
    ("move_mount", [-100, "/", -100, "/tmp", 0]), ("name_to_handle_at", [-100, "/", [136], [8], 0]),
    ("open_by_handle_at", [-100, [136], 0]), ("open_tree", [-100, "/", 1]), ("perf_event_open", [[128], 0, -1, -1, 0]),
    ("pidfd_getfd", [0, 0, 0]), ("pivot_root", ["/tmp", "/tmp"]), ("ptrace", [0, 0, 0, 0]), ("quotactl", [0, 0, 0, 0]),
    ("reboot", [0, 0, 0, 0]), ("request_key", ["user", "name", 0, 0]), ("sethostname", ["other", 5]), ("setns", [-1, 0]),
    ("settimeofday", [0, 0]), ("swapon", ["/tmp/none", 0]), ("syslog", [10, 0, 0]), ("umount2", ["/proc", 2]),
    ("unshare", [NEW_USER]), ("unshare", [NEW_MOUNTS]), ("userfaultfd", [1]), ("vhangup", []),
]


@pytest.mark.parametrize("name, arguments", CALLS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(CALLS)])
def test_a_dangerous_call_is_refused(world, name, arguments):
    """T29: with arguments that would do no harm if it were not."""
    world.is_refused("call", name=name, arguments=arguments)


def test_no_namespace_is_entered(world):
    """T29: not the sidecar's, and none again that the agent is in already."""
    for path in ("/proc/1/ns/mnt", "/proc/1/ns/net", "/proc/self/ns/user", "/proc/self/ns/mnt"):
        world.is_refused("enter_namespace", "ENOENT", *REFUSED, path=path)


@pytest.mark.parametrize("what, family, kind, protocol", [
    ("packets of an interface", 17, socket.SOCK_RAW, 0x0300), ("raw IP", socket.AF_INET, socket.SOCK_RAW, 1),
    ("raw IPv6", socket.AF_INET6, socket.SOCK_RAW, 58), ("the hypervisor", 40, socket.SOCK_STREAM, 0),
    ("the kernel's ciphers", 38, socket.SOCK_SEQPACKET, 0), ("audit", socket.AF_NETLINK, socket.SOCK_RAW, 9),
    ("netfilter", socket.AF_NETLINK, socket.SOCK_RAW, 12), ("bluetooth", 31, socket.SOCK_RAW, 0), ("AX.25", 3, socket.SOCK_RAW, 0),
])
def test_a_socket_of_another_kind_is_refused(world, what, family, kind, protocol):
    """T29: families of sockets that agents have no use for, and attackers have."""
    world.is_refused("open_socket", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", *REFUSED,
                     family=int(family), kind=int(kind), protocol=protocol)


def test_nothing_is_typed_into_a_terminal(world):
    """T29: a character cannot be pushed into the input of whoever looks at one."""
    world.is_refused("type_into_terminal", "EIO", *REFUSED)


def test_no_device_is_made_and_only_harmless_ones_are_seen(world):
    """T30: /dev holds what every program expects, and nothing that reaches the host."""
    for kind, major, minor in (("character", 1, 1), ("character", 10, 229), ("block", 8, 0), ("block", 7, 0)):
        world.is_refused("make_device", path="/tmp/device", kind=kind, major=major, minor=minor)
    harmless = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts/ptmx"}
    seen = world.gain("devices")
    assert {path for path in seen if not path.removeprefix("/dev/pts/").isdigit()} <= harmless, seen
    world.is_refused("write", "EROFS", *REFUSED, path="/dev/new")


def test_nothing_in_proc_and_sys_can_be_written(world):
    """T31: not sysrq-trigger, core_pattern, or any other switch of the kernel."""
    assert world.gain("writable", tops=["/proc", "/sys"]) == []
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe", "/proc/1/oom_score_adj"):
        world.is_refused("write", "EROFS", "ENOENT", *REFUSED, path=path, text="")
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kmsg", "/proc/sched_debug"):
        answer = world.attack("read", path=path)
        assert answer.get("result", "") == "" or "errno" in answer, (path, answer)


def test_control_groups_are_out_of_reach(world):
    """T32: none is seen, so that neither a limit nor a release agent can be changed."""
    names = ["release_agent", "notify_on_release", "cgroup.procs", "memory.max", "memory.limit_in_bytes"]
    assert world.gain("named", names=names) == []
    assert not {"cgroup", "cgroup2"} & {fields[fields.index("-") + 1] for fields in world.gain("mounts")}


def test_whatever_an_agent_started_ends_with_its_session(world):
    """T38: processes that left their parent and ignore SIGTERM too."""
    session = new_session()
    world.gain("fork_and_forget", session=session, count=20)
    assert len(world.gain("everybody", session=session)) == 21
    pid = world.pid(world.agent, session)
    inside = {found for found in processes(str(world.server.data_dir)) if shares_namespace(found, pid)}
    assert len(inside) >= 21, inside
    ended = innkeep("sessions", "kill", session, data_dir=world.server.data_dir)
    assert ended.returncode == 0, ended
    wait_for("all of them to end", lambda: not any(is_alive(found) for found in inside))


def shares_namespace(pid: int, other: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{other}/ns/pid")
    except OSError:
        return False  # it ended meanwhile
