"""Generates the measured tables of some pages of docs/ from benchmarks/results."""

import itertools
import re
from pathlib import Path

from curves import COUNTS, CROWDED, CROWDS, crowded
from plots import OPERATIONS, STORES, Figure, duration, figure, measured, short
from reference import ROOT, table, with_table

PAGE = ROOT / "docs" / "compared.md"
SIZING = ROOT / "docs" / "sizing.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
SQLITE = {
    "store a result, 200 B": "store a result of 200 bytes",
    "STARTED, then SUCCESS": "STARTED, then SUCCESS",
    "get of a ready result": "read a result",
    "get_many of 100 ready results": "read 100 results (get_many)",
    "join of 100 ready results": "join 100 results",
    "store, 2 processes together": "store, 2 processes at once",
    "store, 4 processes together": "store, 4 processes at once",
    "wait for a result, p50, cross": "wait for a result (median of all waits)",
    "open the backend and read": "open the backend and read",
}
"""What is measured on one host, and its name in the table."""
PEERS = {
    "instructions of one store": "instructions of the client for one store",
    "instructions of one get": "… for one read",
    "store a result, cross": "store, on two CPUs",
    "store a result, same": "… on one",
    "get of a ready result, cross": "read a ready result, on two CPUs",
    "get of a ready result, same": "… on one",
    "wait for a result, p50, cross": "wait, median, on two CPUs",
    "wait for a result, p50, same": "… on one",
    "wait for a result, p99, cross": "wait, 99th of 100, on two CPUs",
    "wait for a result, p99, same": "… on one",
}
"""What is measured beside other task queues, and its name in the table."""
QUEUES = ("huey", "dramatiq", "rq", "taskiq-redis", "celery")


def cell(found: Figure | None) -> str:
    """Return a ratio with its range; bold where ours is slower."""
    if found is None:
        return "not measured"
    value = f"{short(found.median)} x"
    value = f"**{value}**" if found.median < 1 else value
    return value + (
        f" ({short(found.low)} … {short(found.high)})" if found.low < found.high else ""
    )


def of_stores() -> str:
    """Return the table of the stores behind a network: a line for each operation."""
    rows = [
        (title, *(cell(figure(report, what, *names)) for report, *names in STORES.values()))
        for what, title in OPERATIONS.items()
    ]
    waits = [waited(*names) for names in STORES.values()]
    races = [lost(*names) for names in STORES.values()]
    rows += [("the median wait: ours, Celery's", *waits), ("successes lost in races", *races)]
    return table(("", *STORES), rows)


def waited(report: str, ours: str, theirs: str) -> str:
    """Return both median waits."""
    found = measured(report, "wait for a result, p50", ours, theirs)
    return ", ".join(map(duration, found.durations))


def lost(report: str, ours: str, theirs: str) -> str:
    """Return how many successes were lost on both sides."""
    return "; ".join(
        f"{found.median:.0f} {found.detail.partition(' races')[0]}"
        for found in (measured(report, "SUCCESS lost to a RETRY", name) for name in (ours, theirs))
    )


def of_sqlite() -> str:
    """Return the table of one host: SQLite beside Celery's database and file backends."""
    names = ("kv+sqlite NORMAL", "kv+sqlite FULL")
    beside = [(ours, theirs) for theirs in ("db+sqlite", "file") for ours in names]
    rows = [
        (title, *(cell(figure("full", what, ours, theirs)) for ours, theirs in beside))
        for what, title in SQLITE.items()
    ]
    heads = (f"{ours.split()[1]} beside `{theirs}`" for ours, theirs in beside)
    return table(("", *heads), rows)


def of_sizes() -> str:
    """Return the table of the bytes that a result takes on each store."""
    names = {"SQLite": "kv+sqlite"} | {name: ours for name, (_, ours, _) in STORES.items()}
    whats = ("200 B", "10 KB")
    rows = [
        (name, *(size(figure("sizes", f"bytes of a result of {what}", ours)) for what in whats))
        for name, ours in names.items()
    ]
    return table(("store", *(f"a result of {what}" for what in whats)), rows)


def size(found: Figure | None) -> str:
    """Return the bytes, and how many are not of the record."""
    if found is None:
        return "not measured"
    (record,) = re.findall(r"record has ([\d,]+) B", found.detail)
    more = round(found.median) - int(record.replace(",", ""))
    return f"{found.median:,.0f} ({more:,} more than its record of {record})"


def of_peers() -> str:
    """Return the table of other task queues' result stores beside ours."""
    rows = [
        (title, *(cell(figure("peers", what, "kv+redis", name)) for name in QUEUES))
        for what, title in PEERS.items()
    ]
    return table(("", *QUEUES), rows)


def of_crowds() -> str:
    """Return the table of ratios over the number of processes, and of threads."""
    rows = [
        (f"{store}, {what}, {kind}", *map(cell, crowded(store, what, kind)))
        for store, what, kind in itertools.product(CROWDED, ("store", "get"), CROWDS)
    ]
    return table(("", *map(str, COUNTS)), rows)


def pages() -> dict[Path, str]:
    """Return the pages with their tables."""
    return {
        PAGE: with_table(PAGE, f"{of_stores()}\n{of_sqlite()}"),
        SIZING: with_table(SIZING, of_sizes()),
        PERFORMANCE: with_table(PERFORMANCE, of_peers(), of_crowds()),
    }
