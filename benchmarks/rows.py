"""The rows of the report: a figure, its reference, and its gate."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.measure import Spread, ratios, seconds


class Gate(NamedTuple):
    """The bound of a figure."""

    bound: float
    at_least: bool

    def passed(self, value: float) -> bool:
        """Return whether `value` is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Gate:
    """Return a lower bound, for ratios."""
    return Gate(bound, at_least=True)


def at_most(bound: float) -> Gate:
    """Return an upper bound, for durations and counts."""
    return Gate(bound, at_least=False)


class Row(NamedTuple):
    """A line of the report."""

    what: str
    ours: str
    theirs: str
    """The other side of a ratio; empty for other figures."""
    unit: str
    measured: Spread
    gate: Gate | None = None
    detail: str = ""
    stretch: Gate | None = None
    """A further goal."""

    @property
    def passed(self) -> bool | None:
        """Whether the gate is passed; None without a gate."""
        return self._reaches(self.gate)

    @property
    def stretched(self) -> bool | None:
        """Whether the further goal is reached; None without one."""
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
    """Return a row with the ratio of the costs: how many times cheaper ours is."""
    mine, other = (Spread.of(costs[name]).median for name in (ours, theirs))
    detail = f"{seconds(mine)} to {seconds(other)}"
    return Row(what, ours, theirs, "x", ratios(costs, ours, theirs), gate, detail, stretch)


def figure(
    what: str, ours: str, value: float, unit: str, gate: Gate | None = None, detail: str = ""
) -> Row:
    """Return a row with one number."""
    return Row(what, ours, "", unit, Spread(value, value, value), gate, detail)
