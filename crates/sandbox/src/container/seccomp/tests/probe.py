# Makes the calls that its argument lists, one a line (name, expected errno, number, arguments), and prints name, errno, number.
import ctypes, mmap, os, resource, sys

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, arguments):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
    return ctypes.get_errno()


# Without the filters some of these would do harm to a host.
if "Seccomp:\t2" not in open("/proc/self/status").read():
    sys.exit("not confined")

if sys.argv[1] == "i386":
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
    os._exit(0)

for line in sys.argv[1].splitlines():
    name, _, number, *arguments = line.split()
    print(name, call(int(number), map(int, arguments)), number)
