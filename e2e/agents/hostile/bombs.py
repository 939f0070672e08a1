"""Takes all that there is of something, and tells how much that was."""

import errno
import mmap
import os
import signal
import threading
import time


def _until_refused(take, limit):
    """Takes until the kernel refuses; how many there were, and in which words it refused."""
    for count in range(limit):
        try:
            take(count)
        except OSError as error:
            return {"count": count, "errno": errno.errorcode.get(error.errno, str(error.errno))}
        except RuntimeError as error:  # threading, which keeps the errno to itself
            return {"count": count, "errno": str(error)}
    return {"count": limit, "errno": None}


def fork(limit=20_000):
    """Processes that do nothing but be there."""
    children = []

    def take(_):
        child = os.fork()
        if child == 0:
            try:
                signal.pause()
            finally:
                os._exit(0)
        children.append(child)

    came = _until_refused(take, limit)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return came


def threads(limit=20_000):
    done, started = threading.Event(), []

    def take(_):
        thread = threading.Thread(target=done.wait, daemon=True)
        thread.start()
        started.append(thread)

    came = _until_refused(take, limit)
    done.set()
    for thread in started:
        thread.join()
    return came


def fork_and_forget(count):
    """Processes that leave their parent, twice, and live on."""
    for _ in range(count):
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    time.sleep(600)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def memory(mebibytes):
    """Writes to so much memory, and keeps it."""
    global _kept
    _kept = []
    for _ in range(mebibytes):
        block = mmap.mmap(-1, 1 << 20)
        for page in range(0, 1 << 20, 4096):
            block[page] = 1
        _kept.append(block)
    return len(_kept)


def disk(place="/tmp", mebibytes=1_000_000):
    """Writes until there is no room, and removes it."""
    path, block = os.path.join(place, "bomb"), bytes(1 << 20)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        return _until_refused(lambda _: os.write(descriptor, block), mebibytes)
    finally:
        os.close(descriptor)
        os.remove(path)


def inodes(place="/tmp", limit=2_000_000):
    """Makes files until there may be no more, and removes them."""
    directory = os.path.join(place, "bomb")
    os.mkdir(directory)
    came = _until_refused(lambda count: os.close(os.open(f"{directory}/{count}", os.O_WRONLY | os.O_CREAT)), limit)
    for name in os.listdir(directory):
        os.remove(os.path.join(directory, name))
    os.rmdir(directory)
    return came


def descriptors(limit=5_000_000):
    taken = []
    came = _until_refused(lambda _: taken.append(os.open("/dev/null", os.O_RDONLY)), limit)
    for descriptor in taken:
        os.close(descriptor)
    return came


def processor(seconds, workers=4):
    """Computes with so many processes; how much processor time they got, seconds."""
    children = []
    for _ in range(workers):
        child = os.fork()
        if child == 0:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass
            os._exit(0)
        children.append(child)
    return sum((usage := os.wait4(child, 0)[2]).ru_utime + usage.ru_stime for child in children)
