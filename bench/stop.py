"""Ends: from the word to the moment when nothing of a sandbox is left."""

from places import Innkeep, all_places, take_turns
from table import Table, median, percentile

NOTE = """Ends, of the static agent: StopRuntimeSession until process and sandbox are gone; bare by SIGKILL; crun by SIGKILL
and `delete`; runc the same, which looks every 100 ms; podman by `rm --force`."""


def measure(table: Table, quick: bool):
    times = 5 if quick else 25
    with all_places(("static",)) as (places, [workload]):
        taken = take_turns(places, workload, times)
    for place in places:
        stops = taken[place.name][1]
        cells = ["", "", ""]
        cells[0 if place.name == "bare" else 2 if isinstance(place, Innkeep) else 1] = f"{median(stops):.1f} ms"
        table.add(
            f"end, static, {place.name}: p50", *cells, f"min {min(stops):.1f}, p95 {percentile(stops, 95):.1f} ms",
        )
