"""The scenarios: a store, a read of a ready result, and a wait, in both placements."""

import functools
import itertools
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

from benchmarks.backends import new_id
from benchmarks.helpers import Helper, helpers
from benchmarks.measure import PLACES, Loop, Run, Spread, interleaved, percentile, placed, seconds
from benchmarks.peers import instructions as counting
from benchmarks.peers.libraries import LIBRARIES, OURS, VALUE, opened
from benchmarks.plan import Plan
from benchmarks.redis.costs import INSTALL, executed
from benchmarks.rows import Row, at_least, figure, ratio
from tests.servers import SERVERS

FIRST = at_least(1)
"""The gate of each ratio: no other library is faster."""
DELAYS = (0.01, 0.05)
"""The range of seconds after which a result is stored."""


def scenarios(versions: dict[str, str]) -> dict[str, Callable[[Plan], Iterator[Row]]]:
    """Return the scenarios by name; each runs on a new server, and adds to `versions`."""
    steps = {"instructions": instructions, "store": store, "read": get, "wait": wait}
    return {name: functools.partial(_on_redis, step, versions) for name, step in steps.items()}


def _on_redis(
    step: Callable[[str, str, Plan], Iterator[Row]], versions: dict[str, str], plan: Plan
) -> Iterator[Row]:
    others = [name for name in LIBRARIES if name != OURS]
    versions |= {name: version(name) for name in (*others, "redis", "hiredis")}
    with SERVERS["redis"]() as server:
        versions["server"] = server.version
        for place in PLACES if step is not instructions else ("cross",):
            with placed(server.pid, place):
                yield from step(server.url, place, plan)


def instructions(url: str, _place: str, plan: Plan) -> Iterator[Row]:
    """The instructions of the client for one store and one read, which no other load changes."""
    if shutil.which("valgrind") is None:
        yield figure("instructions of one store", OURS, 0, "not measured", detail=INSTALL)
        return
    keys = itertools.product(counting.NAMES, counting.WORKS)
    counts = executed("benchmarks.peers.instructions", plan.folder, url)
    found = dict(zip(keys, counts, strict=True))
    for (name, work), count in found.items():
        if name != OURS:
            ours = found[OURS, work]
            detail = f"{ours:,.0f} to {count:,.0f}"
            times = Spread.of([count / ours])
            yield Row(f"instructions of one {work}", OURS, name, "x", times, FIRST, detail)


def store(url: str, place: str, plan: Plan) -> Iterator[Row]:
    """The time to store one result."""
    runs = {name: Loop(opened(name, url).store, plan.run, new_id) for name in LIBRARIES}
    yield from _beside("store a result", place, interleaved(runs, plan.rounds))


def get(url: str, place: str, plan: Plan) -> Iterator[Row]:
    """The time to read one result that is ready; each step reads another one."""
    runs = {name: Loop(opened(name, url).get, plan.run, _stored(name, url)) for name in LIBRARIES}
    yield from _beside("get of a ready result", place, interleaved(runs, plan.rounds))


def _stored(name: str, url: str) -> Callable[[], str]:
    library = opened(name, url)

    def one() -> str:
        task_id = new_id()
        library.store(task_id)
        return task_id

    if library.get(one()) != VALUE:
        raise ValueError(f"{name} does not return the value that was stored")
    return one


def wait(url: str, place: str, plan: Plan) -> Iterator[Row]:
    """The time from the beginning of a store in one process to the end of a wait in another."""
    seen: dict[str, list[list[float]]] = {name: [] for name in LIBRARIES}
    with helpers(*PLACES[place]) as pair:
        runs: dict[str, Run] = {
            name: functools.partial(_waits, name, url, plan, pair, seen[name]) for name in seen
        }
        interleaved(runs, plan.rounds)
    times = {name: [each for some in runs[1:] for each in some] for name, runs in seen.items()}
    for part, name in ((0.5, "p50"), (0.99, "p99")):
        yield from _percentiles(f"wait for a result, {name}, {place}", times, part)


def _waits(name: str, url: str, plan: Plan, pair: list[Helper], seen: list[list[float]]) -> float:
    seen.append([_latency(name, url, *pair) for _ in range(max(plan.waits // 20, 1))])
    return percentile(seen[-1], 0.5)


def _latency(name: str, url: str, waiting: Helper, storing: Helper) -> float:
    task_id = new_id()
    waiting.start(wait_for, name, url, task_id)
    began: float = storing.call(store_later, name, url, task_id, random.uniform(*DELAYS))
    ended: float = waiting.result()
    return ended - began


def wait_for(name: str, url: str, task_id: str) -> float:
    """Wait for a result; return the time of its arrival on the monotonic clock."""
    value = opened(name, url).wait(task_id)
    ended = time.monotonic()
    if value != VALUE:
        raise ValueError(f"{name} returned {value!r}")
    return ended


def store_later(name: str, url: str, task_id: str, delay: float) -> float:
    """Store a result after `delay` seconds; return the time before the store on that clock."""
    library = opened(name, url)
    time.sleep(delay)
    began = time.monotonic()
    library.store(task_id)
    return began


def _percentiles(what: str, times: Mapping[str, list[float]], part: float) -> Iterator[Row]:
    """Percentiles over all waits: the median of the rounds' ratios would hide rare long waits."""
    ours = percentile(times[OURS], part)
    for name, theirs in times.items():
        if name != OURS:
            other = percentile(theirs, part)
            detail = f"{seconds(ours)} to {seconds(other)}, {len(theirs)} waits each"
            yield Row(what, OURS, name, "x", Spread.of([other / ours]), FIRST, detail)


def _beside(what: str, place: str, costs: Mapping[str, list[float]]) -> Iterator[Row]:
    for name in costs:
        if name != OURS:
            yield ratio(f"{what}, {place}", costs, OURS, name, FIRST)
