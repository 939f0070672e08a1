"""The table of results, and the figures that go into it."""

import statistics

VERDICTS = {None: "", True: "met", False: "missed"}


def median(values) -> float:
    return statistics.median(values)


def percentile(values, percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


class Table:
    """Rows of: what, its figures, the ratio or difference, the target and whether it was met."""

    def __init__(self):
        self.rows = [("what", "bare or direct", "nginx or runtime", "innkeep", "compared", "target", "")]

    def add(self, what, direct="", nginx="", innkeep="", compared="", target="", met=None):
        self.rows.append((what, direct, nginx, innkeep, compared, target, VERDICTS[met]))

    def markdown(self) -> str:
        widths = [max(len(row[column]) for row in self.rows) for column in range(7)]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in self.rows]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([lines[0], rule, *lines[1:]])
