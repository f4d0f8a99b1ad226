"""The goals in one table: a line for each figure, with both placements side by side."""

from collections.abc import Iterable

from benchmarks.measure import PLACES
from benchmarks.report import short
from benchmarks.rows import Row

HEAD = """| what | beside | cross | gate | stretch | | same | gate | stretch | |
|---|---|---:|---|---|---|---:|---|---|---|
"""


def gates(rows: Iterable[Row]) -> str:
    """Return the Markdown table; figures of no placement are in the column "cross"."""
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row.gate is not None:
            what, _, place = row.what.rpartition(", ")
            if place not in PLACES:
                what, place = row.what, "cross"
            lines.setdefault((what, row.theirs), {})[place] = row
    return HEAD + "\n".join(_line(*name, found) for name, found in lines.items())


def _line(what: str, beside: str, found: dict[str, Row]) -> str:
    cells = [cell for place in PLACES for cell in _cells(found.get(place))]
    return f"| {' | '.join([what, beside, *cells])} |"


def _cells(row: Row | None) -> list[str]:
    if row is None:
        return [""] * 4
    reached = "stretch" if row.stretched else "met" if row.passed else "**missed**"
    measured = f"{short(row.measured.median)} {row.unit}".strip()
    return [measured, str(row.gate), str(row.stretch or ""), reached]
