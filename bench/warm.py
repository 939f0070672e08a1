"""Warm invocations: the same request straight to the static agent, through nginx, and through Innkeep."""

from contenders import ThreeWays, three_ways
from table import Table, median

NAMES = ("direct", "nginx", "innkeep")
NOTE = """Warm: `wrk` replays one signed request, and Innkeep verifies the signature of each. nginx: Debian's, one worker,
upstream keep-alive, no access log. Direct and nginx reach an identical agent that runs outside of any sandbox: what the walls
cost the agent itself is in Innkeep's figure."""


def measure(table: Table, quick: bool):
    blocks, seconds = (2, 1) if quick else (9, 2)
    with three_ways() as ways:
        for connections in (1, 32):
            add(table, connections, take_turns(ways, connections, blocks, seconds))


def take_turns(ways: ThreeWays, connections: int, blocks: int, seconds: int) -> dict[str, list[dict]]:
    results = {name: [] for name in NAMES}
    for name in NAMES:
        ways.wrk(name, connections, 1)  # warms up
    for turn in range(blocks):
        for name in NAMES[turn % 3 :] + NAMES[: turn % 3]:
            results[name].append(ways.wrk(name, connections, seconds))
    return results


def add(table: Table, connections: int, results: dict[str, list[dict]]):
    figures = {name: {key: median(r[key] for r in runs) for key in ("p50", "p99", "rate")} for name, runs in results.items()}
    rounds = list(zip(*(results[name] for name in NAMES)))
    what = f"warm invoke, {connections} connection{'s' * (connections > 1)}"
    for key in ("p50", "p99"):
        added = median(ours[key] - direct[key] for direct, _, ours in rounds)
        against = median(ours[key] / nginx[key] for _, nginx, ours in rounds)
        target = key == "p50" and connections == 1
        table.add(
            f"{what}: {key}", *(f"{figures[name][key]:.0f} µs" for name in NAMES),
            f"{added:+.0f} µs to direct, {against:.2f} of nginx",
            "adds ≤ 80 µs to direct" if target else "", added <= 80 if target else None,
        )
    ratio = median(ours["rate"] / nginx["rate"] for _, nginx, ours in rounds)
    straight = median(ours["rate"] / direct["rate"] for direct, _, ours in rounds)
    table.add(
        f"{what}: requests/s", *(f"{figures[name]['rate']:,.0f}" for name in NAMES),
        f"{ratio:.2f} of nginx, {straight:.2f} of direct", "≥ 0.80 of nginx", ratio >= 0.8,
    )
