"""One table of ratios: both sides of every comparison are measured in the same run, in blocks that take turns.

Each group of rows is a module beside this one, with what its figures mean (`NOTE`) and how they are taken (`measure`).
"""

import argparse
import datetime
import os
import platform
import sys
import time
from pathlib import Path

import contenders  # noqa: F401 (first: it finds the harness)

import abuse
import arrivals
import auth
import bodies
import burst
import bystander
import control
import idle
import pool
import reload
import servers
import sessions
import shell
import sockets
import spawn
import stop
import streams
import tls
import warm
import ways
import zygote
from table import Table

GROUPS = {
    "spawn": spawn, "ways": ways, "arrivals": arrivals, "pool": pool, "zygote": zygote, "burst": burst, "stop": stop, "idle": idle,
    "warm": warm, "auth": auth, "sessions": sessions, "bodies": bodies, "streams": streams, "websockets": sockets,
    "commands": shell, "abuse": abuse, "bystander": bystander, "control": control, "tls": tls, "reload": reload,
}
RESULTS = Path(__file__).resolve().parent / "RESULTS.md"

HEAD = """# Results of `bench/run`

Measured {date} on {machine}{remark}.

* Every line compares what was measured in this run, in blocks that take turns. Figures are medians of the blocks; what is
  compared is the median of the blocks' own differences and ratios.
* Load generator, contender and agent share the CPUs.
{notes}

"""


def machine() -> str:
    model = next(
        (line.split(": ", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release().partition('-')[0]}"


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter blocks: a look, not a result")
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="GROUP", help=", ".join(GROUPS) + "; repeatable")
    parser.add_argument("--isolation", choices=("process", "container"), default=servers.chosen, help="of the sessions")
    parser.add_argument("--print", action="store_true", help="leave bench/RESULTS.md alone, as --quick and --only do")
    parser.add_argument("--remark", default="", help="what the results should say about the machine")
    options = parser.parse_args()
    servers.chosen = options.isolation
    chosen = {name: GROUPS[name] for name in options.only or GROUPS}
    table = Table()
    for name, group in chosen.items():
        started = time.monotonic()
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        group.measure(table, options.quick)
        print(f"{time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    text = HEAD.format(
        date=datetime.date.today().isoformat(), machine=machine(),
        remark=options.remark and f"; {options.remark}",
        notes="\n".join("* " + group.NOTE.replace("\n", "\n  ") for group in chosen.values()),
    ) + table.markdown() + "\n"
    print(text)
    if not (options.quick or options.only or options.print):
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
