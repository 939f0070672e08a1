"""`innkeep dev`, the main job of a new user: one command, an answer, and nothing left when it ends."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from harness import EXAMPLES, binary, environment, innkeep, processes, wait_for


@contextmanager
def dev(folder, *arguments):
    """A running `innkeep dev`; yields its data directory and the process, whose output goes to files."""
    data_dir = Path(tempfile.mkdtemp(prefix="innkeep-dev-"))
    out, err = data_dir.with_suffix(".out"), data_dir.with_suffix(".err")
    with open(out, "w") as stdout, open(err, "w") as stderr:
        process = subprocess.Popen(
            [binary(), "dev", folder, *arguments, "--data-dir", data_dir], stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=stderr, env=environment(),
        )
    process.out, process.err = out, err
    try:
        yield data_dir, process
    finally:
        process.kill()
        process.wait()
        for pid in processes(str(data_dir)):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(data_dir, ignore_errors=True)
        out.unlink()
        err.unlink()


def check_nothing_is_left(data_dir):
    wait_for("every process to end", lambda: not processes(str(data_dir)), 20)


def test_once_prints_the_answer_and_exits(tmp_path):
    ran = innkeep("dev", str(EXAMPLES / "hello"), "What is 2+2?", "--once", data_dir=tmp_path / "data")
    assert ran.returncode == 0, ran.stderr
    assert "4" in ran.stdout
    assert "WITHOUT ISOLATION" not in ran.stderr or "because" in ran.stderr  # says what it lacks where it lacks it
    check_nothing_is_left(tmp_path / "data")


A2A = """\
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b'{"status": "Healthy"}')

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(('{"asked at": "%s"}' % self.path).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("", 9000), Handler).serve_forever()
"""


def test_an_agent_is_spoken_to_in_its_protocol(tmp_path):
    folder = tmp_path / "speaks_a2a"
    folder.mkdir()
    (folder / "main.py").write_text(A2A)
    ran = innkeep("dev", str(folder), "hello?", "--once", "--protocol", "a2a", data_dir=tmp_path / "data")
    assert ran.returncode == 0, ran.stderr
    assert '{"asked at": "/"}' in ran.stdout
    unknown = innkeep("dev", str(folder), "hello?", "--once", "--protocol", "gopher", data_dir=tmp_path / "data")
    assert unknown.returncode != 0 and "serverProtocol" in unknown.stderr and "A2A" in unknown.stderr, unknown.stderr
    check_nothing_is_left(tmp_path / "data")


def test_dev_serves_on_until_ctrl_c_and_leaves_nothing():
    with dev(EXAMPLES / "hello", "What is 2+2?") as (data_dir, process):
        wait_for("the answer", lambda: "4" in process.out.read_text(), 60)
        ran = innkeep("invoke", "hello", "And 3+3?", "-s", "alice", data_dir=data_dir)
        assert ran.returncode == 0 and "6" in ran.stdout, ran.stderr
        wait_for("the commands", lambda: "/invocations" in process.out.read_text() + process.err.read_text())
        process.send_signal(signal.SIGINT)
        process.wait(30)
        check_nothing_is_left(data_dir)


def test_an_edit_is_deployed(tmp_path):
    folder = tmp_path / "edited"
    shutil.copytree(EXAMPLES / "hello", folder)
    with dev(folder, "What is 2+2?") as (data_dir, process):
        wait_for("the answer", lambda: "4" in process.out.read_text(), 60)
        main = folder / "main.py"
        main.write_text(main.read_text().replace("{ast.unparse(expression)} =", "after the edit:"))

        def answers():
            ran = innkeep("invoke", "edited", "What is 2+2?", "-s", "alice", data_dir=data_dir)
            return "after the edit: 4" in ran.stdout

        wait_for("the new version to answer", answers, 60)
        process.send_signal(signal.SIGINT)
        process.wait(30)
        check_nothing_is_left(data_dir)


def test_a_broken_edit_is_explained_and_the_version_before_serves_on_until_it_is_mended(tmp_path):
    folder = tmp_path / "mended"
    shutil.copytree(EXAMPLES / "hello", folder)
    main = folder / "main.py"
    good = main.read_text()

    def answer(data_dir):
        ran = innkeep("invoke", "mended", "What is 2+2?", data_dir=data_dir)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    with dev(folder, "What is 2+2?") as (data_dir, process):
        wait_for("the answer", lambda: "4" in process.out.read_text(), 60)
        for broken in ("import a_module_that_is_not_there\n", "this is no Python\n"):
            main.write_text(broken)
            last_words = "a_module_that_is_not_there" if "import" in broken else "SyntaxError"
            wait_for("the error", lambda: last_words in process.err.read_text(), 60)
            assert "= 4" in answer(data_dir) and process.poll() is None
        main.write_text(good.replace("{ast.unparse(expression)} =", "mended:"))
        wait_for("the new version to answer", lambda: "mended: 4" in answer(data_dir), 60)
        process.send_signal(signal.SIGINT)
        process.wait(30)
        check_nothing_is_left(data_dir)


def test_an_agent_that_cannot_start_is_explained_and_waits_for_the_next_edit(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "main.py").write_text("import a_module_that_is_not_there\n")
    ran = innkeep("dev", str(folder), "hello?", "--once", data_dir=tmp_path / "data")
    assert ran.returncode == 5, (ran.returncode, ran.stderr)
    assert "a_module_that_is_not_there" in ran.stderr
    check_nothing_is_left(tmp_path / "data")


def test_a_second_dev_deploys_to_the_running_server(tmp_path):
    other = tmp_path / "other"
    shutil.copytree(EXAMPLES / "hello", other)
    with dev(EXAMPLES / "hello", "What is 2+2?") as (data_dir, process):
        wait_for("the answer", lambda: "4" in process.out.read_text(), 60)
        ran = innkeep("dev", str(other), "What is 3+3?", "--once", data_dir=data_dir)
        assert ran.returncode == 0 and "6" in ran.stdout, ran.stderr
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(30)
        check_nothing_is_left(data_dir)


def test_an_edit_ends_no_session_of_another_endpoint(tmp_path):
    folder = tmp_path / "edited"
    shutil.copytree(EXAMPLES / "hello", folder)
    with dev(folder, "What is 2+2?") as (data_dir, process):
        wait_for("the answer", lambda: "4" in process.out.read_text(), 60)

        def cli(*arguments):
            ran = innkeep(*arguments, data_dir=data_dir)
            assert ran.returncode == 0, ran
            return ran.stdout

        cli("endpoints", "create", "prod", "--version", "1", "--runtime", "edited")
        cli("invoke", "edited", "What is 1+1?", "-s", "zed", "--endpoint", "prod")
        cli("invoke", "edited", "What is 1+1?", "-s", "alice")
        main = folder / "main.py"
        main.write_text(main.read_text().replace("{ast.unparse(expression)} =", "after the edit:"))

        def sessions():
            return {view["endpoint"]: view["version"] for view in json.loads(cli("sessions", "ls", "--json"))["sessions"]}

        wait_for("DEFAULT's sessions to end", lambda: 1 not in [sessions().get("DEFAULT")] and "after the edit" in cli(
            "invoke", "edited", "What is 2+2?", "-s", "bob"), 60)
        assert sessions()["prod"] == 1
        process.send_signal(signal.SIGINT)
        process.wait(30)
        check_nothing_is_left(data_dir)
