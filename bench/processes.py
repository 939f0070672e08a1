"""What the kernel says of processes: memory as proportional set size, processor time, parents."""

import os
import time
from pathlib import Path

CPUCLOCK_SCHED = 2  # of a whole process, as clock_getcpuclockid(3) makes it
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> float:
    """Proportional set size, MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def parent(pid: int) -> int:
    return int(stat(pid)[1])


def cpu_ms(pid: int) -> float:
    """What it has used, its ended threads too, to the nanosecond."""
    clock = (~pid << 3) | CPUCLOCK_SCHED
    return time.clock_gettime_ns(clock) / 1e6


def cpu_ms_of_all(pid: int) -> float:
    """What it and the children that it has waited for have used; the children's in whole ticks of the clock."""
    return cpu_ms(pid) + sum(int(ticks) for ticks in stat(pid)[13:15]) * TICK_MS


def available_mib() -> float:
    """Memory that the machine could still give."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) / 1024


def stat(pid: int) -> list[str]:
    """The fields of its `stat`, from the third on: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
