"""Calls the kernel directly, by name, past what the C library would refuse by itself."""

import ctypes
import fcntl
import os
import platform
import pty
import resource
import socket

_LIBC = ctypes.CDLL(None, use_errno=True)

# x86_64, aarch64
_NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "chroot": (161, 51), "clock_settime": (227, 112),
    "clone": (56, 220), "clone3": (435, 435), "delete_module": (176, 106), "fanotify_init": (300, 262),
    "finit_module": (313, 273), "fsopen": (430, 430), "init_module": (175, 105), "io_uring_setup": (425, 425),
    "kcmp": (312, 272), "kexec_load": (246, 104), "keyctl": (250, 219), "mount": (165, 40), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "perf_event_open": (298, 241), "pidfd_getfd": (438, 438), "pivot_root": (155, 41), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60), "reboot": (169, 142),
    "request_key": (249, 218), "sethostname": (170, 161), "setns": (308, 268), "settimeofday": (164, 170),
    "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}


def call(name, arguments=()):
    """One system call; a string argument is passed as the address of it, a list as that of so many zero bytes."""
    number = _NUMBERS[name][platform.machine() != "x86_64"]
    kept = [_argument(argument) for argument in arguments]
    answer = _LIBC.syscall(ctypes.c_long(number), *kept)
    if name in ("clone", "clone3") and answer == 0:
        os._exit(0)  # the child, which should not be
    if answer == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return answer


def _argument(argument):
    if isinstance(argument, str):
        return ctypes.create_string_buffer(argument.encode())
    if isinstance(argument, list):
        return ctypes.create_string_buffer(argument[0])
    return ctypes.c_long(argument)


def enter_namespace(path):
    """Joins a namespace behind a file of /proc."""
    descriptor = os.open(path, os.O_RDONLY)
    return call("setns", [descriptor, 0])


def open_socket(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()


def type_into_terminal():
    """Puts a character into a terminal's input, as if somebody had typed it."""
    _, terminal = pty.openpty()
    fcntl.ioctl(terminal, 0x5412, b"x")


def powers():
    """What this process may do, in the kernel's words."""
    wanted = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    with open("/proc/self/status") as status:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return {name: lines[name].strip() for name in wanted}


def become_root():
    os.setresuid(0, 0, 0)


def raise_limit(name, value):
    resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def share_memory(key):
    """Makes a segment of System V shared memory that everybody may use."""
    return _shmget(key, 4096, 0o1666)


def find_shared_memory(key):
    return _shmget(key, 0, 0)


def _shmget(key, size, flags):
    answer = _LIBC.shmget(key, size, flags)
    if answer == -1:
        raise OSError(ctypes.get_errno(), "shmget")
    return answer
