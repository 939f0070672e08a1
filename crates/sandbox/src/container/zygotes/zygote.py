"""A zygote: imports what agents need, and forks one for each session, into a sandbox of its own.

    zygote.py CONFIGURATION FORKS REPORT

Runs in a sandbox of its own, as the agent's user, with one capability: to enter the sandboxes inside of this one. FORKS and REPORT are
descriptors of sockets, CONFIGURATION is JSON. Nothing secret is here, and nothing of any session, before a fork.

    zygote ── fork ─► enters control groups and namespaces ── fork ─► (inside) ── fork ─► waits for the walls
           ─► enters the files ─► gives up everything ─► "ready" ─► stops, and is looked at ─► the agent

Three forks: the first enters, the second is the first process born inside, and when it ends the kernel gives the third to the sandbox's
own first process, its sidecar. Always os.fork(): what a library reseeds or drops after a fork hangs on that.
"""

import array
import ctypes
import fcntl
import gc
import importlib
import importlib.machinery
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
import time
import types

# What agents import that are built with a framework, as far as it is installed.
FRAMEWORKS = """
    bedrock_agentcore bedrock_agentcore.runtime bedrock_agentcore.memory starlette.applications starlette.routing
    starlette.websockets uvicorn uvicorn.config uvicorn.main uvicorn.loops.auto uvicorn.loops.asyncio
    uvicorn.protocols.http.auto uvicorn.protocols.http.h11_impl uvicorn.protocols.http.httptools_impl
    uvicorn.protocols.websockets.auto uvicorn.lifespan.on anyio anyio._backends._asyncio fastapi pydantic httpx requests boto3
    botocore.session strands strands.models langgraph.graph langgraph.prebuilt langchain_core.messages langchain_core.tools
    langchain_core.language_models langchain_aws llama_index.core crewai agents google.adk autogen_agentchat smolagents
    pydantic_ai mcp mcp.server.fastmcp a2a.server.apps ag_ui.core ag_ui.encoder anthropic openai opentelemetry.sdk.trace flask
    aiohttp.web
""".split()

# Source: linux/sched.h
NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)
# In the order in which they come.
NAMESPACES = (NEWUSER, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP)

# Source: linux/prctl.h, linux/capability.h, linux/seccomp.h
PR_SET_DUMPABLE, PR_CAPBSET_DROP = 4, 24
CAPABILITY_VERSION_3 = 0x20080522
SECCOMP_SET_MODE_FILTER, NEW_LISTENER, WAIT_KILLABLE_RECV = 1, 1 << 3, 1 << 5

# The longest that a sandbox may take for its part, seconds.
PATIENCE = 10

libc = ctypes.CDLL(None, use_errno=True)


class Unfit(Exception):
    """Why this interpreter must not fork."""


def call(what, function, *arguments):
    """Calls a function of the C library that answers with a negative number if it fails."""
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


# --- before the first fork


def load(modules):
    """Imports the frameworks, of which any may be missing, and then modules, of which none may."""
    for name in FRAMEWORKS:
        try:
            importlib.import_module(name)
        except ImportError:
            # Not installed, or not whole; an agent that needs it says so itself.
            pass
        except Exception as error:
            raise Unfit(f"the import of {name} failed: {last_line(error)}") from error
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:
            raise Unfit(f"the import of {name} (zygote_modules) failed: {last_line(error)}") from error


def last_line(error):
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:500]


def inspect(ours):
    """Refuses what a fork would break or share: threads, and descriptors that are more than a file to be read."""
    # Some libraries end their threads before a fork, and start them again when they are needed.
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    tasks = os.listdir("/proc/self/task")
    if len(tasks) > 1:
        threading = sys.modules.get("threading")
        known = [thread.name for thread in threading.enumerate()] if threading else []
        named = ", ".join(name for name in known if name != "MainThread") or "started by a library"
        raise Unfit(f"{len(tasks) - 1} threads run after the imports, and a fork has none of them: {named}")
    for mapping in open("/proc/self/maps"):
        _, permissions, *_ = mapping.split()
        if "w" in permissions and "s" in permissions:
            raise Unfit(
                "memory is shared after the imports, and all sessions would write to it: "
                "multiprocessing.Lock, Event and Value make some, and mmap does"
            )
    for fd in descriptors():
        if fd > 2 and fd not in ours and (problem := what_is_wrong(fd)):
            raise Unfit(f"descriptor {fd} is open after the imports, and all sessions would share it: {problem}")


def descriptors():
    return sorted(int(name) for name in os.listdir("/proc/self/fd") if is_open(int(name)))


def is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False


def what_is_wrong(fd):
    """Returns what makes a descriptor unfit for a fork; nothing for a file that is only read, and for the kernel's randomness."""
    target = os.readlink(f"/proc/self/fd/{fd}")
    if target in ("/dev/null", "/dev/urandom", "/dev/random"):
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return None
    return target


# --- one fork


def serve(forks, configuration):
    """Forks for whoever asks. Returns in the agent only, what it is asked to be."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        select.select([forks], [], [])
        try:
            asked, _ = forks.accept()
        except OSError:
            continue
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            forks.close()
            return enter(asked, configuration)
        asked.close()


def enter(asked, configuration):
    """In the first fork: goes into the sandbox, forks twice more, and returns in the agent."""
    asked.settimeout(PATIENCE)
    try:
        _, places = receive(asked)
        mounts = places[NAMESPACES.index(NEWNS)]
        # While the sandbox's walls are still being raised: this, and the forks, take as long as they do.
        for group in places[len(NAMESPACES) :]:
            os.write(group, b"0")
        enter_namespaces(dict(zip(NAMESPACES, places)))
        if os.fork() != 0:
            os._exit(0)
        while True:
            if os.fork() != 0:
                os._exit(0)
            # A random generator knows a fork by its process id, which this one shall not have in common with the zygote.
            if os.getpid() != configuration["pid"]:
                break
        ask, given = receive(asked)
        call("setns to the files", libc.setns, mounts, NEWNS)
        for fd in places:
            os.close(fd)
        return become(asked, ask, given, configuration)
    except BaseException as error:
        try:
            asked.send(json.dumps({"failed": last_line(error)}).encode())
        except OSError:
            pass
        os._exit(1)


def receive(asked):
    frame, ancillary, _, _ = asked.recvmsg(1 << 16, socket.CMSG_SPACE(64 * 4))
    if not frame:
        raise EOFError("the sandbox has ended")
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return json.loads(frame), list(fds)


def enter_namespaces(by_kind):
    """Enters all but that of files, which are not there yet."""
    network = by_kind[NEWNET]
    # With the powers that we have now, if it is not the sandbox's own.
    has_network = libc.setns(network, NEWNET) == 0
    for kind in (NEWUSER, NEWIPC, NEWUTS, NEWCGROUP, NEWPID):
        call("setns", libc.setns, by_kind[kind], kind)
    if not has_network:
        call("setns to the network", libc.setns, network, NEWNET)


def become(asked, ask, given, configuration):
    """In the third fork: becomes what every agent is, and tells the sidecar. Returns once that lets it go on."""
    out, err, *rules = given
    numbers = ask["calls"]
    os.setsid()
    for name, soft, hard in ask["limits"]:
        limit = getattr(resource, name, {"RLIMIT_SIGPENDING": 11}.get(name))
        if limit is None:
            continue
        most = resource.getrlimit(limit)[1]
        hard = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(limit, (min(soft, hard), hard))
    if ask["user"] is not None:
        os.setgroups([])
        os.setresgid(ask["group"], ask["group"], ask["group"])
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break
    if ask["user"] is not None:
        os.setresuid(ask["user"], ask["user"], ask["user"])
    head = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    call("capset", libc.syscall, numbers["capset"], head, (ctypes.c_uint32 * 6)())
    # The change of users hid it from its sidecar, which has to look into it.
    call("prctl", libc.prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(ask["working_directory"])
    keep = {asked.fileno(), *rules}
    for fd in descriptors():
        if fd > 2 and fd not in keep:
            if fd in configuration["files"]:
                reopen(fd)
            else:
                os.close(fd)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number not in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ) and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    reseed()
    os.environ.update(ask["environment"])
    if ask["landlock"]:
        call("landlock_restrict_self", libc.syscall, numbers["landlock_restrict_self"], rules[0], 0)
        os.close(rules[0])
    binds = install(bytes.fromhex(ask["filter"]), numbers["seccomp"])
    # Until the process in between has ended, it is not the sidecar's.
    deadline = time.monotonic() + PATIENCE
    while os.getppid() != 1 and time.monotonic() < deadline:
        time.sleep(0.0005)
    asked.sendmsg([b'"binds"'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [binds]))])
    os.close(binds)
    asked.send(json.dumps({"ready": {"pid": os.getpid()}}).encode())
    asked.close()
    # Until the sidecar has looked at what this has become.
    os.kill(os.getpid(), signal.SIGSTOP)
    return ask


def reopen(fd):
    """Gives a file that was opened before the fork a place of its own to be read at."""
    at = os.lseek(fd, 0, os.SEEK_CUR) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    fresh = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    if at is not None:
        os.lseek(fresh, at, os.SEEK_SET)
    os.dup2(fresh, fd, os.get_inheritable(fd))
    os.close(fresh)


def reseed():
    """Makes randomness this process's own, where a fork does not by itself."""
    fresh = os.urandom(32)
    random = sys.modules.get("random")
    if random:
        random.seed(os.urandom(32))
    if "tempfile" in sys.modules:
        # It knows a fork by its process id, and these repeat from one sandbox to the next.
        sys.modules["tempfile"]._name_sequence = None
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(fresh, 32.0)
    numpy = sys.modules.get("numpy.random")
    if numpy:
        numpy.seed(int.from_bytes(os.urandom(4), "little"))


def install(filter, number):
    """Installs a filter of system calls, and returns where its questions arrive."""

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    program = Program(len(filter) // 8, filter)
    # Without the second flag, which is younger, a signal restarts a bind that was already done.
    for flags in (NEW_LISTENER | WAIT_KILLABLE_RECV, NEW_LISTENER):
        fd = libc.syscall(number, SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(program))
        if fd >= 0:
            return fd
    return call("seccomp", libc.syscall, number, SECCOMP_SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program))


# --- the agent


def run(argv):
    """Runs a script as the interpreter would have: as `__main__`, with its own arguments."""
    script = argv[0]
    sys.argv = list(argv)
    sys.orig_argv = [sys.executable, *argv]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    main = types.ModuleType("__main__")
    main.__file__ = script
    main.__builtins__ = __builtins__
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", script)
    main.__cached__ = None
    sys.modules["__main__"] = main
    try:
        with open(script, "rb") as file:
            source = file.read()
        exec(compile(source, script, "exec", dont_inherit=True), main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        # Without our own lines.
        error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)


def main():
    configuration, forks, report = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    script = configuration["script"]
    forks, report = socket.socket(fileno=forks), socket.socket(fileno=report)
    for ours in (forks, report):
        ours.setblocking(True)
        ours.set_inheritable(False)
    sys.argv = [script]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    try:
        load(configuration["modules"])
        gc.collect()
        ours = {forks.fileno(), report.fileno()}
        inspect(ours)
    except Unfit as unfit:
        print(f"zygote: {unfit}", file=sys.stderr, flush=True)
        report.send(json.dumps({"refused": str(unfit)[:4000]}).encode())
        # Not sys.exit: it would wait for the threads.
        os._exit(1)
    if "ssl" in sys.modules:
        # What it loads at its first use, it loads once. A fork has another process id, and so other randomness.
        sys.modules["ssl"].RAND_bytes(1)
    gc.freeze()
    configuration["files"] = [fd for fd in descriptors() if fd > 2 and fd not in ours]
    configuration["pid"] = os.getpid()
    report.send(b'"ready"')
    ask = serve(forks, configuration)
    # Closed already, with all that is the zygote's.
    report.detach()
    return ask["argv"][1 + configuration["options"] :]


if __name__ == "__main__":
    run(main())
