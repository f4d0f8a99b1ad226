"""Draws what `make bench ARGS=--network` has measured: distance, and many threads."""

from collections.abc import Callable
from pathlib import Path

from plots import IMAGES, Figure, duration, measured, report, run
from svg import Drawing, Log

STORES = {
    "Redis": ("kv+redis", "redis"),
    "PostgreSQL": ("kv+postgresql", "db+postgresql+psycopg"),
}
"""The names of ours and of Celery's backend in the report."""
OPERATIONS = {
    "store": "Store a result of 200 bytes",
    "get": "Read a result",
    "get_many": "Read 100 results",
}
TRIPS = (0, 1, 10)
THREADS = (1, 2, 4, 8, 16, 32)
KINDS = ("ours", "theirs")


def of(what: str, name: str) -> Figure:
    """Return a row of the report."""
    return measured("network", what, name)


def source() -> str:
    """Return when and how the report was measured."""
    quick = report("network")["about"]["mode"] != "network"
    return run("network", "; few rounds on a busy machine" if quick else "")


def distance() -> str:
    """Return the plot of latency over the round-trip time that a proxy adds."""
    row, top = 19, 62
    block = row * len(STORES) * len(TRIPS) + 40
    drawing = Drawing(760, top + block * len(OPERATIONS) + 30, "Latency over the round-trip time")
    drawing.text(16, 24, "Latency where the network adds 0, 1 and 10 ms to each answer", "head")
    drawing.text(
        16, 43, "Filled: kvbackends. Hollow: Celery's own. Line: lowest and highest round.", "soft"
    )
    axis = Log(1e-4, 30, 210, 560)
    for place, (what, title) in enumerate(OPERATIONS.items()):
        y = top + place * block
        drawing.text(16, y + 10, title, "head")
        bottom = y + block - 24
        for tick in axis.ticks():
            drawing.line([(axis(tick), y + 16), (axis(tick), bottom)])
            drawing.text(axis(tick), bottom + 13, duration(tick), "soft", "middle")
        lines = [(store, trip) for store in STORES for trip in TRIPS]
        for line, (store, trip) in enumerate(lines):
            distant(drawing, axis, y + 28 + line * row, store, what, trip)
    drawing.text(16, top + block * len(OPERATIONS) + 14, source(), "soft")
    return str(drawing)


def distant(drawing: Drawing, axis: Log, y: float, store: str, what: str, trip: int) -> None:
    """Draw both sides of one store at one distance."""
    drawing.text(32, y + 4, f"{store}, + {trip} ms")
    found = [of(f"{what}, {trip} ms away", name) for name in STORES[store]]
    for kind, each in reversed(list(zip(KINDS, found, strict=True))):
        drawing.spread(axis(each.low / 1e3), axis(each.high / 1e3), y)
        drawing.dot(axis(each.median / 1e3), y, kind)
    words = ", ".join(duration(each.median / 1e3) for each in found)
    drawing.text(576, y + 4, words, "soft")


def crowd() -> str:
    """Return the plot of latency over throughput, from 1 to 32 threads."""
    drawing = Drawing(760, 392, "Latency over throughput at rising concurrency")
    drawing.text(16, 24, "1, 2, 4, 8, 16 and 32 threads of one process store results", "head")
    drawing.text(
        16, 43, "Filled: kvbackends. Hollow: Celery's own. Lines: the rounds' ranges.", "soft"
    )
    for store, left in zip(STORES, (70, 440), strict=True):
        panel(drawing, store, left)
    drawing.text(16, 380, source(), "soft")
    return str(drawing)


def panel(drawing: Drawing, store: str, left: float) -> None:
    """Draw one store: results per second to the right, the median latency upwards."""
    across, up = Log(3, 20_000, left, left + 300), Log(1e-4, 1, 320, 90)
    drawing.text(left, 76, store, "head")
    for rate in across.ticks():
        drawing.line([(across(rate), 90), (across(rate), 320)])
        drawing.text(across(rate), 336, f"{rate:,.0f}", "soft", "middle")
    for late in up.ticks():
        drawing.line([(left, up(late)), (left + 300, up(late))])
        drawing.text(left - 6, up(late) + 4, duration(late), "soft", "end")
    drawing.text(
        left + 150,
        354,
        "results per second; upwards: median latency",
        "soft",
        "middle",
    )
    for kind, name in zip(KINDS, STORES[store], strict=True):
        curve(drawing, across, up, kind, name)


def curve(drawing: Drawing, across: Log, up: Log, kind: str, name: str) -> None:
    """Draw one backend, with the number of threads at its first and last point."""
    points = []
    for threads in THREADS:
        rate = of(f"store, {threads} at once, each second", name)
        late = of(f"store, {threads} at once, p50", name)
        points.append((across(rate.median), up(late.median / 1e3)))
        drawing.spread(across(rate.low), across(rate.high), points[-1][1])
        x = points[-1][0]
        drawing.line([(x, up(late.low / 1e3)), (x, up(late.high / 1e3))], "range")
    drawing.line(points, "range")
    for x, y in points:
        drawing.dot(x, y, kind)
    for (x, y), threads in ((points[0], 1), (points[-1], 32)):
        drawing.text(x + 8, y - 8, str(threads), "soft")


PLOTS: dict[str, Callable[[], str]] = {"distance": distance, "crowd": crowd}


def pages() -> dict[Path, str]:
    """Return the text of each plot."""
    return {IMAGES / f"{name}.svg": draw() for name, draw in PLOTS.items()}
