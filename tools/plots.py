"""Draws docs/images/*.svg from the committed reports in benchmarks/results.

A figure that no report contains is not drawn: its place says so.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from svg import Drawing, Log

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"

SECONDS = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}

STORES = {
    "Redis": ("stores", "kv+redis", "redis"),
    "memcached": ("stores", "kv+memcached", "cache+memcached"),
    "MongoDB": ("stores", "kv+mongodb", "mongodb"),
    "PostgreSQL": ("stores", "kv+postgresql", "db+postgresql+psycopg"),
    "Elasticsearch": ("stores", "kv+elasticsearch", "elasticsearch"),
    "Cassandra": ("stores", "kv+cassandra", "cassandra"),
}
"""The report of each store, and the names of ours and of Celery's backend in it."""

OPERATIONS = {
    "store a result, 200 B": "store a result of 200 bytes",
    "get of a ready result": "read a result",
    "get_many of 100 ready results": "read 100 results (get_many)",
    "wait for a result, p50": "wait for a result (median of all waits)",
    "chord of 100, end to end": "a chord of 100, from end to end",
}


class Figure(NamedTuple):
    """A row of a report."""

    median: float
    low: float
    high: float
    detail: str

    @property
    def durations(self) -> list[float]:
        """The seconds of both sides of a ratio."""
        found = re.findall(r"([\d.,]+) (µs|ms|s)\b", self.detail)
        return [float(number.replace(",", "")) * SECONDS[unit] for number, unit in found]

    @property
    def rates(self) -> list[float]:
        """How many of both sides in each second."""
        words = re.findall(r"each second ([\d,]+) to ([\d,]+)", self.detail)[0]
        return [float(number.replace(",", "")) for number in words]


@cache
def report(name: str) -> dict[str, Any]:
    """Return a report: `about` the run, and its `rows`."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def figure(name: str, what: str, ours: str, theirs: str = "") -> Figure | None:
    """Return a row of a report; None if that was not measured."""
    for row in report(name)["rows"]:
        if (row["what"], row["ours"], row["theirs"]) == (what, ours, theirs):
            return Figure(**row["measured"], detail=row["detail"])
    return None


def measured(name: str, what: str, ours: str, theirs: str = "") -> Figure:
    """Return a row that the report has to contain.

    Raises:
        LookupError: It does not.
    """
    found = figure(name, what, ours, theirs)
    if found is None:
        raise LookupError(f"{name}.json has no row {what!r} of {ours} beside {theirs or 'nothing'}")
    return found


def short(value: float) -> str:
    """Return a number with at most three digits that count."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    unit = next((unit for unit in ("s", "ms") if seconds >= SECONDS[unit]), "µs")
    return f"{short(seconds / SECONDS[unit])} {unit}"


def run(name: str, note: str = "") -> str:
    """Return when and with which versions a report was measured."""
    about = report(name)["about"]
    server = f", {about[name]}" if name in about else ""
    return f"{name}.json, {about['date'][:10]}, Celery {about['celery']}{server}{note}"


# ------------------------------------------------------------------------- each store, all ratios


def stores() -> str:
    """Return the plot of every store beside Celery's own backend on the same server."""
    top, row, gap = 66, 19, 34
    block = row * len(STORES) + gap
    notes = [run("stores", "; on a busy machine"), *measured_alone()]
    height = top + block * len(OPERATIONS) + 20 + 16 * len(notes)
    drawing = Drawing(760, height, "Each store beside Celery's own")
    drawing.text(16, 24, "Times as fast as Celery's own backend on the same server", "head")
    drawing.text(
        16, 43, "Dot: median of the rounds' ratios. Line: lowest and highest round.", "soft"
    )
    axis = Log(0.1, 10_000, 150, 590)
    for place, (what, title) in enumerate(OPERATIONS.items()):
        y = top + place * block
        drawing.text(16, y + 8, title, "head")
        bottom = y + 16 + row * len(STORES)
        for tick in axis.ticks():
            kind = "one" if tick == 1 else "rule"
            drawing.line([(axis(tick), y + 14), (axis(tick), bottom)], kind)
        for line, (store, names) in enumerate(STORES.items()):
            ratio_row(drawing, axis, y + 26 + line * row, store, figure(names[0], what, *names[1:]))
    y = top + block * len(OPERATIONS)
    for tick in axis.ticks():
        drawing.text(axis(tick), y - 2, f"{tick:,g} x", "soft", "middle")
    for line, note in enumerate(notes):
        drawing.text(16, y + 22 + 16 * line, note, "soft")
    return str(drawing)


def measured_alone() -> list[str]:
    """Return what the report of the stores says about those that were measured again alone."""
    about = report("stores")["about"]
    found = ((store, about.get(store.lower(), "")) for store in STORES)
    return [f"{store} {said.partition(', git')[0]}" for store, said in found if "measured" in said]


def ratio_row(drawing: Drawing, axis: Log, y: float, name: str, found: Figure | None) -> None:
    """Draw the ratio of one store, or say that there is none."""
    drawing.text(32, y + 4, name)
    if found is None:
        drawing.text(608, y + 4, "not measured", "soft")
        return
    if found.low < found.high:
        drawing.spread(axis(found.low), axis(found.high), y)
    drawing.dot(axis(found.median), y, "ours")
    span = f" ({short(found.low)} … {short(found.high)})" if found.low < found.high else ""
    drawing.text(608, y + 4, f"{short(found.median)} x{span}", "soft")


# ----------------------------------------------------------------------------- a part, over headers

HEADERS = (10, 100, 1_000, 10_000)


class Line(NamedTuple):
    """The cost of a part on one store, in seconds for each size of the header."""

    name: str
    kind: str
    square: bool
    seconds: list[float]
    growth: Figure
    """What a part costs in a header of 10,000, as a multiple of that in one of 100."""


def part_lines() -> Iterator[Line]:
    """Yield the costs that the reports contain."""
    to = "10,000 to one of 100"
    found = [
        measured("redis", f"part of a header of {size:,}, cross", "kv+redis", "redis").durations
        for size in HEADERS
    ]
    for side, (label, name) in enumerate((("kv+redis", "kv+redis"), ("Celery, redis", "redis"))):
        growth = measured("redis", f"part of a header of {to}, cross", name, name)
        yield Line(label, ("ours", "theirs")[side], False, [row[side] for row in found], growth)
    for label, name in (
        ("kv+sqlite", "kv+sqlite NORMAL"),
        ("kv+sqlite, 5 methods", "kv+sqlite, five methods only"),
    ):
        costs = [measured("full", f"chord part, header of {size:,}", name) for size in HEADERS]
        growth = measured("full", f"chord part, header of {to}", name, name)
        yield Line(label, "ours", True, [each.median * 1e-6 for each in costs], growth)


def parts() -> str:
    """Return the plot of the end of a header task over the size of the header."""
    drawing = Drawing(760, 448, "The end of a header task over the size of the header")
    drawing.text(16, 24, "The end of one header task: its result and its part", "head")
    drawing.text(16, 43, "Times; on the right, a header of 10,000 to one of 100.", "soft")
    across, up = Log(10, 10_000, 80, 470), Log(1e-4, 1e-3, 330, 70)
    for seconds in (1e-4, 2e-4, 5e-4, 1e-3):
        drawing.line([(80, up(seconds)), (470, up(seconds))])
        drawing.text(72, up(seconds) + 4, duration(seconds), "soft", "end")
    for size in HEADERS:
        drawing.text(across(size), 352, f"{size:,}", "soft", "middle")
    drawing.text(275, 372, "header tasks", "soft", "middle")
    lines = sorted(part_lines(), key=lambda line: -line.seconds[-1])
    below = 0.0
    for line in lines:
        points = [(across(size), up(s)) for size, s in zip(HEADERS, line.seconds, strict=True)]
        drawing.line(points, "range")
        for x, y in points:
            drawing.dot(x, y, line.kind, square=line.square)
        below = max(points[-1][1], below + 36)
        label_part(drawing, below, line)
    drawing.text(16, 412, run("redis", "; client and server on CPUs of their own"), "soft")
    drawing.text(16, 430, run("full", "; on a busy machine"), "soft")
    return str(drawing)


def label_part(drawing: Drawing, y: float, line: Line) -> None:
    """Write the name of a line, and how its cost grows, with the range of the rounds."""
    low, median, high = map(short, (line.growth.low, line.growth.median, line.growth.high))
    drawing.dot(490, y, line.kind, square=line.square)
    drawing.text(502, y + 4, line.name)
    drawing.text(502, y + 19, f"{median} x ({low} … {high})", "soft")


# ------------------------------------------------------------------------ the three of the README


class Bar(NamedTuple):
    """One side of a comparison."""

    name: str
    value: float
    words: str
    low: float = 0
    high: float = 0


def facts() -> str:
    """Return the picture of the README: three comparisons, each on a scale of its own."""
    drawing = Drawing(760, 292, "Three measured facts")
    for place, (title, note, ours, theirs) in enumerate((fast(), polling(), lost())):
        y = 26 + place * 92
        drawing.text(16, y, title, "head")
        drawing.text(744, y, note, "soft", "end")
        most = max(ours.value, theirs.value, theirs.high)
        for bar, kind, top in ((ours, "ours", y + 12), (theirs, "theirs", y + 36)):
            draw_bar(drawing, bar, kind, top, 440 / most)
    return str(drawing)


def draw_bar(drawing: Drawing, bar: Bar, kind: str, top: float, scale: float) -> None:
    """Draw one bar with its name before it and its value after it."""
    drawing.text(16, top + 14, bar.name)
    end = max(bar.value * scale, 1)
    drawing.box(150, top + 1, end, 17, kind)
    if bar.low < bar.high:
        drawing.spread(150 + bar.low * scale, 150 + bar.high * scale, top + 9.5)
        end = max(end, bar.high * scale)
    drawing.text(150 + end + 10, top + 14, bar.words)


Fact = tuple[str, str, Bar, Bar]


def fast() -> Fact:
    """Return how long it takes to store a result on Redis."""
    found = measured("redis", "store a result, 200 B, cross", "kv+redis", "redis")
    ours, theirs = found.durations
    note = f"{short(found.median)} times as fast ({short(found.low)} … {short(found.high)})"
    pair = Bar("kv+redis", ours, duration(ours)), Bar("Celery, redis", theirs, duration(theirs))
    return "Store a result of 200 bytes on Redis", note, *pair


def polling() -> Fact:
    """Return how long the body of a chord waits for its last header task."""
    what = "chord of 10, end to end, until the body is running"
    bars = [
        Bar(label, found.median, duration(found.median / 1e3), found.low, found.high)
        for label, ours in (("kv+sqlite", "kv+sqlite NORMAL"), ("Celery, db+sqlite", "db+sqlite"))
        for found in [measured("full", what, ours)]
    ]
    return "From the last header task's end to the chord's body, SQLite", "bars: medians", *bars


def lost() -> Fact:
    """Return how many results are lost when a SUCCESS meets a RETRY on Redis."""
    bars = [
        Bar(label, found.median / races, f"{found.median:.0f} of {races:,}")
        for label, ours in (("kv+redis", "kv+redis"), ("Celery, redis", "redis"))
        for found in [measured("redis", "SUCCESS lost to a RETRY", ours)]
        for races in [int(re.findall(r"of ([\d,]+) races", found.detail)[0].replace(",", ""))]
    ]
    return (
        "Results lost when SUCCESS and RETRY of a task meet, Redis",
        "races of two processes",
        *bars,
    )


PLOTS: dict[str, Callable[[], str]] = {"facts": facts, "stores": stores, "parts": parts}


def pages() -> dict[Path, str]:
    """Return the text of each plot."""
    return {IMAGES / f"{name}.svg": draw() for name, draw in PLOTS.items()}
