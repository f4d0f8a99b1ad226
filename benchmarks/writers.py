"""Processes that store at the same time: throughput, stalls, lock errors."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.backends import DATABASE, FILES, FULL, NORMAL, new_id, open_backend, urls
from benchmarks.helpers import Helper, helpers
from benchmarks.measure import interleaved
from benchmarks.plan import Plan
from benchmarks.rows import Row, at_least, at_most, figure, ratio
from benchmarks.stores import REQUEST

VALUE = "x" * 200
ERRORS_KEPT = 3
SOON = 0.005
"""Seconds until all processes start together."""


class Stored(NamedTuple):
    """The stores of one process."""

    done: int
    slow: list[float]
    """Seconds of the longest stores."""
    errors: dict[str, int]


def store_for(url: str, started: float, duration: float) -> Stored:
    """Store for `duration` seconds from `started` on the monotonic clock."""
    backend, slow, errors, count = open_backend(url), [0.0], Counter[str](), 0
    prefix = new_id()[:24]
    time.sleep(max(started - time.monotonic(), 0))
    now, end = time.monotonic(), started + duration
    while now < end:
        try:
            backend.mark_as_done(f"{prefix}{count:012x}", VALUE, request=REQUEST)
            count += 1
        except Exception as error:  # noqa: BLE001 - errors are counted
            errors[f"{type(error).__name__}: {error}"[:100]] += 1
        before, now = now, time.monotonic()
        slow.append(now - before)
        if len(slow) > 1000:
            slow = sorted(slow)[-10:]
    return Stored(count, sorted(slow)[-10:], dict(errors))


def writers(plan: Plan) -> Iterator[Row]:
    """Throughput beside files, then stalls and errors; process n is pinned to CPU n."""
    with helpers(*range(8)) as team:
        yield from _throughputs(team, plan)
        yield from _stalls(team, plan)


def _throughputs(team: list[Helper], plan: Plan) -> Iterator[Row]:
    backends = urls(plan.folder / "throughput")
    for count, gate in {1: 2.0, 2: 4.0, 4: 6.0}.items():
        what = f"store, {count} process{'es' if count > 1 else ''} together"
        seconds = plan.run * 2
        runs = {
            name: _throughput(team[:count], backends[name], seconds)
            for name in (NORMAL, FULL, FILES)
        }
        costs = interleaved(runs, plan.rounds)
        yield ratio(what, costs, NORMAL, FILES, at_least(gate))
        yield ratio(what, costs, FULL, FILES)


def _stalls(team: list[Helper], plan: Plan) -> Iterator[Row]:
    backends = urls(plan.folder / "stalls")
    for count, worst in ((4, at_most(50)), (8, None)):
        for name in (NORMAL, FULL, DATABASE):
            gated = name != DATABASE
            done = _together(team[:count], backends[name], plan.stall)
            slow = [each for stored in done for each in stored.slow]
            stores = sum(stored.done for stored in done)
            detail = f"{stores:,} stores"
            what = f"worst stall, {count} processes"
            gate = worst if gated else None
            yield figure(what, name, max(slow) * 1000, "ms", gate, detail)
            errors = sum((Counter(stored.errors) for stored in done), Counter[str]())
            said = "; ".join(f"{n} x {text}" for text, n in errors.most_common(ERRORS_KEPT))
            yield figure(
                f"errors, {count} processes",
                name,
                errors.total(),
                "",
                at_most(0) if gated else None,
                said,
            )


def _throughput(team: list[Helper], url: str, duration: float) -> Callable[[], float]:
    def run() -> float:
        stores = sum(stored.done for stored in _together(team, url, duration))
        return duration / max(stores, 1)

    return run


def _together(team: list[Helper], url: str, duration: float) -> list[Stored]:
    team[0].call(open_backend_here, url)  # creates the tables
    for helper in team:
        helper.start(open_backend_here, url)
    for helper in team:
        helper.result()
    started = time.monotonic() + SOON
    for helper in team:
        helper.start(store_for, url, started, duration)
    return [helper.result() for helper in team]


def open_backend_here(url: str) -> None:
    """Open the backend and store once, before the clock starts."""
    open_backend(url).mark_as_done(new_id(), VALUE, request=REQUEST)
