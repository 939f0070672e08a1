"""Reads, writes and searches where it should not; tries what links, devices and setuid files may do."""

import itertools
import os
import shutil
import stat
import subprocess
import tempfile
import threading
from pathlib import Path


def read(path):
    with open(path, "rb") as file:
        return file.read(65536).decode(errors="replace")


def write(path, text="changed by an agent\n", append=True):
    with open(path, "a" if append else "w") as file:
        file.write(text)


def remove(path):
    os.remove(path)


def chmod(path, mode):
    os.chmod(path, mode)


def ls(path):
    return sorted(os.listdir(path))


def look(path):
    """Who a path belongs to, and what it is."""
    found = os.lstat(path)
    return {"uid": found.st_uid, "mode": stat.filemode(found.st_mode), "device": found.st_dev}


def search(word, skip=("/usr", "/proc", "/sys")):
    """Every file whose name or content holds the word, wherever this process can look."""
    found, needle = [], word.encode()
    for top, directories, names in os.walk("/", followlinks=False):
        directories[:] = [name for name in directories if os.path.join(top, name) not in skip]
        found += [os.path.join(top, name) for name in (*directories, *names) if word in name]
        for name in names:
            path = os.path.join(top, name)
            try:
                if stat.S_ISREG(os.stat(path).st_mode) and needle in Path(path).read_bytes():
                    found.append(path)
            except OSError:
                pass  # not ours to read
    return found


def named(names):
    """Every path whose last part is one of the names, also in what the kernel shows."""
    return [os.path.join(top, name) for top, _, files in os.walk("/") for name in files if name in names]


def writable(tops):
    """Every file below, but of processes, that can be opened for writing and is not a device, such as /dev/null over a hidden file."""
    found = []
    for top, directories, names in itertools.chain.from_iterable(map(os.walk, tops)):
        # /proc/PID is what the process may change of itself, and other tests look at that of others.
        directories[:] = [name for name in directories if not (top == "/proc" and (name.isdigit() or "self" in name))]
        for name in names:
            path = os.path.join(top, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
                    found.append(path)
            except OSError:
                pass
    return found


def mounts():
    return [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def make_device(path, kind, major, minor):
    os.mknod(path, 0o666 | (stat.S_IFBLK if kind == "block" else stat.S_IFCHR), os.makedev(major, minor))
    with open(path, "rb") as device:
        return device.read(16).hex()


def devices(top="/"):
    """Every device file that can be seen, with its numbers and whether it can be opened."""
    found = {}
    for directory, directories, names in os.walk(top):
        directories[:] = [name for name in directories if os.path.join(directory, name) not in ("/proc", "/usr")]
        for name in names:
            path = os.path.join(directory, name)
            mode, number = (status := os.lstat(path)).st_mode, status.st_rdev
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                found[path] = [os.major(number), os.minor(number), os.access(path, os.R_OK | os.W_OK)]
    return found


def run(program):
    ran = subprocess.run(program, capture_output=True, text=True)
    return {"status": ran.returncode, "said": ran.stdout + ran.stderr}


def run_setuid_copy():
    """A program of our own with the setuid bit: who is it when it runs? Also what the file system lets it be."""
    path = os.path.join(tempfile.mkdtemp(), "id")
    shutil.copy(shutil.which("id"), path)
    os.chmod(path, 0o6755)
    return run([path]) | {"nosuid": _is_nosuid(path)}


def setuid_files():
    """The setuid files of the base: paths, and those on a file system that honours the bit."""
    found = []
    for top, _, names in os.walk("/", followlinks=False):
        for name in names:
            path = os.path.join(top, name)
            try:
                if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(os.lstat(path).st_mode):
                    found.append(path)
            except OSError:
                pass  # it ended meanwhile: /proc
    return {"all": found, "honoured": [path for path in found if not _is_nosuid(path)]}


def _is_nosuid(path):
    return bool(os.statvfs(path).f_flag & os.ST_NOSUID)


def hard_link(source, path):
    os.link(source, path)
    return look(path)


def litter(targets, place):
    """Fills a directory with symbolic links to `targets`, swaps directories for such links, and files for hard links to others; for
    ever and as fast as it can."""
    os.makedirs(place, exist_ok=True)
    for number, target in enumerate(targets):
        for depth in range(3):
            directory = os.path.join(place, *(["deep"] * depth))
            os.makedirs(directory, exist_ok=True)
            os.symlink(target, os.path.join(directory, f"link{number}"))
            os.symlink("../" * 20 + target.lstrip("/"), os.path.join(directory, f"up{number}"))
    for number, target in enumerate(targets):
        threading.Thread(target=_swap, args=(os.path.join(place, f"swap{number}"), target), daemon=True).start()
        threading.Thread(target=_swap_hard, args=(os.path.join(place, f"hard{number}"), target), daemon=True).start()


def _swap(path, target):
    while True:
        os.makedirs(os.path.join(path, "inner"), exist_ok=True)
        os.rename(path, path + ".away")
        os.symlink(target, path)
        os.remove(path)
        os.rename(path + ".away", path)


def _swap_hard(path, target):
    """A file of its own, and over it a hard link to another: to one of the host or of the base if that is let, else to our own."""
    Path(path + ".other").write_text("linked")
    while True:
        Path(path).write_text("of its own")
        for source in (target, "/usr/lib/os-release", path + ".other"):
            try:
                os.link(source, path + ".new")
            except OSError:
                continue  # refused, as it should be
            os.rename(path + ".new", path)
        os.remove(path)
