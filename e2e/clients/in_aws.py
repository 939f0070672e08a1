"""Runs a command where one name of AWS means the caller: `in_aws.py SOCKET HOST HOSTS COMMAND...`.

To be started in network and mount namespaces of its own. There, HOST resolves to loopback (HOSTS is put over /etc/hosts), and
port 443 is a listener that is handed out through SOCKET, a descriptor; whoever holds its other end answers for AWS. Nothing
else can be reached, and nothing of it can be seen outside.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def main(descriptor, host, hosts, *command):
    with socket.socket() as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    with open(hosts, "w") as file:
        file.write(f"127.0.0.1 localhost {host}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    listener = socket.create_server(("127.0.0.1", 443))
    with socket.socket(fileno=int(descriptor)) as outside:
        socket.send_fds(outside, [b"listener"], [listener.fileno()])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
