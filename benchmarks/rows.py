"""What a scenario yields: a figure, what it was measured against, and its gate."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.measure import Spread, ratios, seconds


class Gate(NamedTuple):
    """What a figure must reach."""

    bound: float
    at_least: bool

    def passed(self, value: float) -> bool:
        """True if `value` reaches it."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Gate:
    """A gate for ratios."""
    return Gate(bound, at_least=True)


def at_most(bound: float) -> Gate:
    """A gate for durations and counts."""
    return Gate(bound, at_least=False)


class Row(NamedTuple):
    """One line of the report."""

    what: str
    ours: str
    theirs: str
    """What the figure is a ratio to; empty for a figure that stands by itself."""
    unit: str
    measured: Spread
    gate: Gate | None = None
    detail: str = ""
    stretch: Gate | None = None
    """What it is hoped to reach."""

    @property
    def passed(self) -> bool | None:
        """None without a gate."""
        return self._reaches(self.gate)

    @property
    def stretched(self) -> bool | None:
        """None where nothing is hoped for."""
        return self._reaches(self.stretch)

    def _reaches(self, gate: Gate | None) -> bool | None:
        return None if gate is None else gate.passed(self.measured.median)


def ratio(
    what: str,
    costs: Mapping[str, list[float]],
    ours: str,
    theirs: str,
    gate: Gate | None = None,
    stretch: Gate | None = None,
) -> Row:
    """A row that says how many times cheaper ours is."""
    mine, other = (Spread.of(costs[name]).median for name in (ours, theirs))
    detail = f"{seconds(mine)} to {seconds(other)}"
    return Row(what, ours, theirs, "x", ratios(costs, ours, theirs), gate, detail, stretch)


def figure(
    what: str, ours: str, value: float, unit: str, gate: Gate | None = None, detail: str = ""
) -> Row:
    """A row with one number."""
    return Row(what, ours, "", unit, Spread(value, value, value), gate, detail)
