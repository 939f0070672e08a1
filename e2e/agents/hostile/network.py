"""Connects to where it should not, and looks at what network there is."""

import os
import socket
import urllib.request
from pathlib import Path


def connect(host, port, seconds=3.0):
    """What came of a TCP connection: connected, and to what answer."""
    with socket.create_connection((host, port), timeout=seconds) as stream:
        stream.sendall(b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n")
        return stream.recv(4096).decode(errors="replace")


def connect_to_all(addresses, seconds=1.5):
    """Those of the addresses to which a connection could be made."""
    reached = []
    for host, port in addresses:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            reached.append([host, port])
        except OSError:
            pass
    return reached


def send_datagram(host, port, text="x"):
    """Whether the kernel would send it, and what came back in a second."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1)
        sender.connect((host, port))
        sender.send(text.encode())
        try:
            return sender.recv(512).decode(errors="replace")
        except TimeoutError:
            return None


def fetch(url, seconds=10.0):
    with urllib.request.urlopen(url, timeout=seconds) as answer:
        return answer.status


def look_up(name):
    return sorted({entry[4][0] for entry in socket.getaddrinfo(name, 80)})


def interfaces():
    return [name for _, name in socket.if_nameindex()]


def addresses():
    """Our own addresses, as the kernel chooses them for the world."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def listen(port):
    """Listens on every address, for who might come."""
    global _listener
    _listener = socket.create_server(("0.0.0.0", port))


def was_visited():
    """Whether somebody came since the last question."""
    _listener.setblocking(False)
    try:
        _listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def listen_on_name(name):
    """Listens on a name without a file, which all of a network namespace see."""
    global _named
    _named = socket.socket(socket.AF_UNIX)
    _named.bind("\0" + name)
    _named.listen()


def connect_to_name(name):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect("\0" + name)


def connect_to_path(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stream:
        stream.connect(path)


def unix_sockets():
    """Names of unix sockets that the kernel tells us, and socket files that can be found."""
    told = [line.split()[7] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if len(line.split()) > 7]
    files = []
    for top, directories, names in os.walk("/"):
        directories[:] = [name for name in directories if os.path.join(top, name) not in ("/proc", "/usr")]
        files += [os.path.join(top, name) for name in names if os.path.exists(os.path.join(top, name))
                  and (os.stat(os.path.join(top, name)).st_mode & 0o170000) == 0o140000]
    return {"told": told, "files": files}
