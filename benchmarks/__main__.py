"""Run the benchmarks: ``python -m benchmarks [--quick] [--gate] [--only NAME]``."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import (
    calls,
    chords,
    concurrency,
    imports,
    network,
    plan,
    races,
    report,
    servers,
    stores,
    waits,
    workers,
    writers,
)
from benchmarks.peers import run as peers
from benchmarks.redis import run, summary
from benchmarks.rows import Row
from benchmarks.scale import model
from benchmarks.scale import run as scale

Scenario = Callable[[plan.Plan], Iterator[Row]]

SCENARIOS: dict[str, Scenario] = {
    "store": stores.store,
    "started": stores.started_then_success,
    "read": stores.read,
    "writers": writers.writers,
    "waits": waits.waits,
    "parts": chords.parts,
    "completion": chords.completion,
    "workers": workers.completion,
    "races": races.races,
    "imports": imports.imports,
    "drivers": imports.drivers,
    "calls": calls.python_calls,
    "store-calls": calls.store_calls,
}


KINDS = ("redis", "peers", "stores", "network", "concurrency")
"""Options that choose other scenarios; each has reports of its own."""


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough run, under a minute")
    parser.add_argument("--gate", action="store_true", help="exit with 1 if a gate is missed")
    parser.add_argument(
        "--stores",
        action="store_true",
        help="measure each store on its real server beside Celery's own backend, instead of SQLite",
    )
    parser.add_argument(
        "--redis", action="store_true", help="measure Redis only, in detail, in both placements"
    )
    parser.add_argument(
        "--peers", action="store_true", help="measure the result stores of other task queues"
    )
    parser.add_argument(
        "--network",
        action="store_true",
        help="measure Redis and PostgreSQL over a slow network",
    )
    parser.add_argument(
        "--concurrency",
        action="store_true",
        help="measure Redis, memcached and PostgreSQL with 1 to 32 processes, and threads, at once",
    )
    parser.add_argument(
        "--scale",
        action="store_true",
        help="groups of nodes under load and faults; a report for each group",
    )
    names = [*SCENARIOS, *servers.DRIVERS, *run.SCENARIOS, *scale.ENGINES, *model.scenarios({})]
    parser.add_argument(
        "--only", action="append", choices=names, help="a scenario, a store or a group of nodes"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=report.ROOT / ".cache",
        help="the folder for files; on a disk, not in memory",
    )
    return parser.parse_args()


def mode(asked: argparse.Namespace) -> str:
    """Return the name of the report."""
    kind = next((each for each in KINDS if getattr(asked, each)), "")
    if asked.quick:
        return f"{kind}-quick".strip("-")
    return kind or "full"


def amount(asked: argparse.Namespace) -> Callable[[Path], plan.Plan]:
    """Return the function that makes the plan."""
    if asked.quick:
        return plan.quick_redis if asked.redis else plan.quick
    return plan.full


def chosen(asked: argparse.Namespace, versions: dict[str, str]) -> Mapping[str, Scenario]:
    """Return the scenarios by name; when they run they add the servers' versions to `versions`."""
    if asked.redis:
        return run.scenarios(versions)
    if asked.scale:
        return {**scale.scenarios(versions), **model.scenarios(versions)}
    if asked.network:
        return network.scenarios(versions)
    if asked.concurrency:
        return concurrency.scenarios(versions)
    if asked.peers:
        return peers.scenarios(versions)
    return servers.scenarios(versions) if asked.stores else SCENARIOS


def measure(scenarios: Mapping[str, Scenario], sizes: plan.Plan) -> Iterator[Row]:
    """Run the scenarios, and print and yield each row as soon as it is measured."""
    for name, scenario in scenarios.items():
        started = time.monotonic()
        for row in scenario(sizes):
            print(report.line(row), flush=True)
            yield row
        print(f"  {name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def each_group(asked: argparse.Namespace) -> int:
    """Write a report for each group of nodes, since one run takes minutes."""
    versions: dict[str, str] = {}
    rows: list[Row] = []
    for name, scenario in chosen(asked, versions).items():
        if name in (asked.only or [name]):
            facts = report.about(f"scale-{name}")
            with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
                found = list(measure({name: scenario}, amount(asked)(Path(folder))))
            facts |= {"load after": report.load(), "server": versions[name]}
            print(report.write(found, facts))
            rows += found
    print(report.summary(rows))
    return int(asked.gate and any(row.passed is False for row in rows))


def main() -> int:
    """Run the benchmarks, and return the exit status."""
    asked = arguments()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.scale:
        return each_group(asked)
    started = time.monotonic()
    facts = report.about(mode(asked))
    versions: dict[str, str] = {}
    scenarios = chosen(asked, versions)
    if asked.only:
        scenarios = {name: scenarios[name] for name in asked.only}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        sizes = amount(asked)(Path(folder))
        rows = list(measure(scenarios, sizes))
    if not asked.only:
        facts["seconds"] = f"{time.monotonic() - started:.0f}"
        facts["load after"] = report.load()
        facts |= versions
        print(report.write(rows, facts, summary.gates(rows) if asked.redis else ""))
    elif asked.stores or asked.network or asked.concurrency:
        print(report.update(rows, facts, versions))
    print(report.summary(rows))
    return int(asked.gate and any(row.passed is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
