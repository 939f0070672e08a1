"""The embedded executable: static, and content with an empty root."""

import shutil
import struct
import subprocess

import pytest

from harness import new_session

PT_INTERP, PT_DYNAMIC = 3, 2


@pytest.mark.host
def test_the_sidecar_has_no_interpreter_and_runs_in_an_empty_root(probe, tmp_path):
    agent = probe.ask({"do": "facts"}, new_session())["pid"]
    with open(f"/proc/{agent}/stat") as file:
        sidecar = int(file.read().rsplit(")", 1)[1].split()[1])
    copy = tmp_path / "root" / "sidecar"
    copy.parent.mkdir()
    shutil.copyfile(f"/proc/{sidecar}/exe", copy)
    copy.chmod(0o755)

    image = copy.read_bytes()
    assert image[:5] == b"\x7fELF\x02"
    (offset,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    kinds = {struct.unpack_from("<I", image, offset + number * size)[0] for number in range(count)}
    assert PT_INTERP not in kinds
    assert len(image) < 3_000_000

    ran = subprocess.run(
        ["unshare", "--user", "--map-root-user", "chroot", copy.parent, "/sidecar", "--version"],
        capture_output=True, text=True, check=False, timeout=10,
    )
    # 126 and 127 are how chroot reports a program that cannot run.
    assert ran.returncode not in (126, 127) and ran.returncode >= 0, ran.stderr
