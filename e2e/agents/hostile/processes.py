"""Looks at other processes, and does to them what they would not like."""

import os
from pathlib import Path


def everybody():
    """The processes that can be seen: number to command line."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found[entry.name] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            found[entry.name] = None
    return found


def facts():
    return {"pid": os.getpid(), "uid": os.getuid(), "environment": dict(os.environ), "hostname": os.uname().nodename}


def kill(pid, number):
    os.kill(pid, number)


def kill_some(pids, number):
    """Those of `pids` to which the signal could be sent."""
    sent = []
    for pid in pids:
        try:
            os.kill(pid, number)
            sent.append(pid)
        except OSError:
            pass
    return sent


def pry(pid):
    """What of a process can be opened: everything that would tell of it, or let it be changed."""
    opened = []
    for name in ("environ", "mem", "maps", "auxv", "syscall", "stack", "pagemap", "fd", "root", "cwd", "exe", "ns/mnt", "ns/net"):
        path = f"/proc/{pid}/{name}"
        try:
            if name in ("fd", "root", "cwd"):
                os.listdir(path)
            elif name == "exe" or name.startswith("ns/"):
                os.readlink(path)
            else:
                with open(path, "rb") as file:
                    file.read(1)
            opened.append(name)
        except OSError:
            pass
    return opened


def remember(word):
    """Keeps a word in memory, in a file everywhere that can be written, and in a process of its own."""
    global _kept
    _kept = word
    written = []
    for directory in ("/tmp", "/var/tmp", "/dev/shm", os.environ.get("HOME", "/nowhere"), os.getcwd()):
        try:
            Path(directory, "kept").write_text(word)
            written.append(directory)
        except OSError:
            pass
    if os.fork() == 0:
        os.execvpe("sleep", ["sleep", "600"], os.environ | {"KEPT": word})
    return written
