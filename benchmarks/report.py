"""The report, as JSON and as a Markdown table."""

import datetime as dt
import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import Spread
from benchmarks.rows import Gate, Row

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
_HEAD = """| what | ours | beside | measured | min … max | gate | | stretch | |
|---|---|---|---:|---:|---:|---|---:|---|
"""


def about(mode: str) -> dict[str, str]:
    """Return the facts about the run, the machine and the versions, before the first scenario."""
    return {
        "mode": mode,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "git": _git("describe", "--always", "--dirty", "--exclude=*"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("celery", "kombu", "sqlalchemy")},
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.release()}",
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "load before": load(),
    }


def load() -> str:
    """Return the load of the machine in the last 1, 5 and 15 minutes."""
    return " / ".join(f"{each:.1f}" for each in os.getloadavg())


def write(rows: Iterable[Row], facts: dict[str, str], first: str = "") -> Path:
    """Write both files; the text `first` stands above the table.  Returns the table's path."""
    listed, path = list(rows), RESULTS / f"{facts['mode']}.md"
    RESULTS.mkdir(exist_ok=True)
    data = {"about": facts, "rows": [_as_json(row) for row in listed]}
    path.with_suffix(".json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    about_run = "\n".join(f"* {name}: {value}" for name, value in facts.items())
    lines = "\n".join(map(line, listed))
    head = f"# Measured: {facts['mode']}"
    parts = [head, about_run, *filter(None, [first]), f"{_HEAD}{lines}", summary(listed)]
    path.write_text("\n\n".join(parts) + "\n")
    return path


def update(rows: Iterable[Row], facts: dict[str, str], versions: dict[str, str]) -> Path:
    """Replace the rows of some stores in the report, and leave the others as they are.

    Args:
        rows: The stores' new rows.
        facts: About this run.
        versions: The version of each store's server, which the report gets with the run's date.
    """
    path = RESULTS / f"{facts['mode']}.json"
    empty: dict[str, Any] = {"about": facts, "rows": []}
    old = json.loads(path.read_text()) if path.exists() else empty
    when = ", ".join(f"{name} {facts[name]}" for name in ("git", "machine", "load before"))
    news = {name: f"{each}; measured {facts['date']}, {when}" for name, each in versions.items()}
    kept = by_store(map(_from_json, old["rows"])) | by_store(rows)
    return write([row for each in kept.values() for row in each], old["about"] | news)


def by_store(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of each store.  The first one is ours; figures of Celery's backend follow."""
    found: dict[str, list[Row]] = {}
    store = ""
    for row in rows:
        store = row.ours.removeprefix("kv+") if row.ours.startswith("kv+") else store
        found.setdefault(store, []).append(row)
    return found


def line(row: Row) -> str:
    """Return the row as a line of the table."""
    unit = f" {row.unit}" if row.unit else ""
    apart = row.measured.low != row.measured.high
    spread = f"{short(row.measured.low)} … {short(row.measured.high)}" if apart else ""
    mark = {None: "", True: "pass", False: "**miss**"}[row.passed]
    hoped = f"{row.stretch or ''}{' reached' if row.stretched else ''}"
    cells = [row.what, row.ours, row.theirs, f"{short(row.measured.median)}{unit}"]
    cells += [spread, str(row.gate or ""), mark, hoped, row.detail.replace("|", "/")]
    return f"| {' | '.join(cells)} |"


def summary(rows: Iterable[Row]) -> str:
    """Return a sentence with the number of passed gates."""
    gated = [row for row in rows if row.gate is not None]
    passed = sum(bool(row.passed) for row in gated)
    return f"{passed} of {len(gated)} gates passed."


def _as_json(row: Row) -> dict[str, Any]:
    gates = {"gate": row.gate, "stretch": row.stretch}
    return {
        **row._asdict(),
        "measured": row.measured._asdict(),
        **{name: each and each._asdict() for name, each in gates.items()},
        "passed": row.passed,
        "stretched": row.stretched,
    }


def _from_json(found: dict[str, Any]) -> Row:
    kinds = {"measured": Spread, "gate": Gate, "stretch": Gate}
    made = {name: found.get(name) and kind(**found[name]) for name, kind in kinds.items()}
    return Row(**{name: value for name, value in found.items() if name in Row._fields} | made)


def short(value: float) -> str:
    """Return a number as text of few digits."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], capture_output=True, text=True, cwd=ROOT, check=False)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    for entry in Path("/proc/cpuinfo").read_text().splitlines():
        if entry.startswith("model name"):
            return entry.partition(": ")[2].strip()
    return platform.machine()
