"""What the kernel says of processes: memory as proportional set size, processor time, parents."""

import os
from pathlib import Path

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> float:
    """Proportional set size, MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def parent(pid: int) -> int:
    return int(stat(pid)[1])


def cpu_ms(pid: int) -> float:
    """What its living threads have used, to the nanosecond; for processes whose threads stay."""
    return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e6


def cpu_ms_of_all(pid: int) -> float:
    """What it and the children that it has waited for have used, in whole ticks of the clock."""
    return sum(int(ticks) for ticks in stat(pid)[11:15]) * TICK_MS


def available_mib() -> float:
    """Memory that the machine could still give."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) / 1024


def stat(pid: int) -> list[str]:
    """The fields of its `stat`, from the third on: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
