# What agents in Python do, each in the way that asks most of the kernel.
import asyncio, concurrent.futures, ctypes, mmap, multiprocessing, os, select, signal, socket, sqlite3, ssl, subprocess
import sys, tempfile, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def square(number):
    return number * number


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"pong")

    def log_message(self, *_):
        pass


async def asynchronous():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    server.close()
    child = await asyncio.create_subprocess_exec("true")
    assert await child.wait() == 0
    assert await asyncio.to_thread(square, 3) == 9
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


def main():
    threads = [threading.Thread(target=square, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert subprocess.run("echo a | cat", shell=True, capture_output=True, start_new_session=True).stdout == b"a\n"
    asyncio.run(asynchronous())

    for way in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(way)
        with context.Pool(2) as pool:
            assert pool.map(square, range(4)) == [0, 1, 4, 9]
        assert not context.Lock()._semlock._is_zero()
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert pool.submit(square, 2).result() == 4

    with tempfile.TemporaryDirectory() as directory:
        database = sqlite3.connect(directory + "/a.db")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (a)")
        database.commit()
        database.close()
        os.mkfifo(directory + "/fifo")
        os.mknod(directory + "/file")
        socket.socket(socket.AF_UNIX).bind(directory + "/socket")
        os.chmod(directory + "/file", 0o600, follow_symlinks=os.chmod in os.supports_follow_symlinks)
        os.utime(directory + "/file", (1, 1))
        with open(directory + "/file", "wb") as file:
            file.write(b"a" * 5000)
        with open(directory + "/file", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
            assert memory[4999] == ord("a")
        os.sendfile(os.memfd_create("a"), os.open(directory + "/file", os.O_RDONLY), 0, 5000)
        for name in os.listdir(directory):
            os.stat(directory + "/" + name)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(f"http://127.0.0.1:{server.server_port}/").read() == b"pong"
    server.shutdown()
    server.server_close()

    ssl.create_default_context()
    socket.if_nameindex()
    socket.getaddrinfo("localhost", 80)
    select.epoll().close()
    signal.setitimer(signal.ITIMER_REAL, 60)
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.sched_getaffinity(0), os.getrandom(8), os.getloadavg(), os.nice(0), os.times(), time.get_clock_info("monotonic")
    os.close(os.pidfd_open(os.getpid()))
    os.openpty()
    assert ctypes.CDLL(None).getpid() == os.getpid()


if __name__ == "__main__":
    main()
    print("all of it works", sys.version)
