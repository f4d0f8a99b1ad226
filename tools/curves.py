"""Draws what `make bench` has measured with `--network` and `--concurrency`."""

from collections.abc import Callable
from pathlib import Path

from plots import IMAGES, STORES, Figure, duration, measured, report, run
from svg import Drawing, Log

DISTANT = ("Redis", "PostgreSQL")
CROWDED = ("Redis", "memcached", "PostgreSQL")
OPERATIONS = {
    "store": "Store a result of 200 bytes",
    "get": "Read a result",
    "get_many": "Read 100 results",
}
TRIPS = (0, 1, 10)
COUNTS = (1, 2, 4, 8, 16, 32)
"""Of processes, or of threads."""
CROWDS = ("processes", "threads")
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
    block = row * len(DISTANT) * len(TRIPS) + 40
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
        lines = [(store, trip) for store in DISTANT for trip in TRIPS]
        for line, (store, trip) in enumerate(lines):
            distant(drawing, axis, y + 28 + line * row, store, what, trip)
    drawing.text(16, top + block * len(OPERATIONS) + 14, source(), "soft")
    return str(drawing)


def distant(drawing: Drawing, axis: Log, y: float, store: str, what: str, trip: int) -> None:
    """Draw both sides of one store at one distance."""
    drawing.text(32, y + 4, f"{store}, + {trip} ms")
    found = [of(f"{what}, {trip} ms away", name) for name in STORES[store][1:]]
    for kind, each in reversed(list(zip(KINDS, found, strict=True))):
        drawing.spread(axis(each.low / 1e3), axis(each.high / 1e3), y)
        drawing.dot(axis(each.median / 1e3), y, kind)
    words = ", ".join(duration(each.median / 1e3) for each in found)
    drawing.text(576, y + 4, words, "soft")


def crowded(store: str, what: str, kind: str) -> list[Figure]:
    """Return what each number of processes, or of threads, does of an operation."""
    _, *names = STORES[store]
    return [measured("concurrency", f"{what}, {kind}: {count}", *names) for count in COUNTS]


def crowd() -> str:
    """Return the plot of throughput over the number of processes, and of threads."""
    drawing = Drawing(760, 560, "Throughput over processes and threads")
    drawing.text(16, 24, "Results in a second, of 1 to 32 processes or threads of one", "head")
    drawing.text(
        16, 43, "Filled: kvbackends. Hollow: Celery's own. Square: read. Round: store.", "soft"
    )
    for row, kind in enumerate(CROWDS):
        for column, store in enumerate(CROWDED):
            panel(drawing, store, kind, 66 + 236 * column, 90 + 236 * row)
    drawing.text(16, 548, run("concurrency", "; on a busy machine"), "soft")
    return str(drawing)


def panel(drawing: Drawing, store: str, kind: str, left: float, top: float) -> None:
    """Draw one store: the number to the right, results in a second upwards."""
    across, up = Log(1, 32, left + 8, left + 180), Log(30, 30_000, top + 170, top)
    drawing.text(left, top - 8, f"{store}, {kind}", "head")
    for rate in up.ticks():
        drawing.line([(left, up(rate)), (left + 188, up(rate))])
        drawing.text(left - 6, up(rate) + 4, f"{rate:,.0f}", "soft", "end")
    for count in COUNTS:
        drawing.text(across(count), top + 188, str(count), "soft", "middle")
    for what in ("store", "get"):
        found = crowded(store, what, kind)
        for side, mark in enumerate(KINDS):
            points = [
                (across(count), up(each.rates[side]))
                for count, each in zip(COUNTS, found, strict=True)
            ]
            drawing.line(points, "range")
            for x, y in points:
                drawing.dot(x, y, mark, square=what == "get")


PLOTS: dict[str, Callable[[], str]] = {"distance": distance, "crowd": crowd}


def pages() -> dict[Path, str]:
    """Return the text of each plot."""
    return {IMAGES / f"{name}.svg": draw() for name, draw in PLOTS.items()}
