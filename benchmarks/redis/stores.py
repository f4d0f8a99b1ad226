"""Storing one result: small and large, from one thread and from eight."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import redis

from benchmarks.backends import new_id, open_backend
from benchmarks.measure import Loop, Run
from benchmarks.raw import raw_store, record_of
from benchmarks.redis.aims import NEVER_SLOWER, RAW
from benchmarks.redis.bench import OURS, SOCKET, THEIRS, Bench, RawSocket, beside
from benchmarks.rows import Row
from benchmarks.stores import start_and_end, store_one

DATABASE = 1
"""Emptied before each run, so that neither memory nor the number of keys grows."""
KB = 1024
SIZES = {"200 B": 200, "10 KB": 10_000, "1 MB": KB * KB}
SWEEP = {"1 KB": KB, "4 KB": 4 * KB, "16 KB": 16 * KB, "64 KB": 64 * KB, "256 KB": 256 * KB}
SWEEP["4 MB"] = 4 * KB * KB
THREADS = 8
EACH = 25
"""Results that each thread stores in a run."""
DAY = b"86400"

Step = Callable[[str], object]


def store(bench: Bench) -> Iterator[Row]:
    """The time of a SUCCESS; `raw redis-py` is `json.dumps` and ``set(ex=)``, `raw socket` SET."""
    for place in bench.places():
        for name, size in SIZES.items():
            yield from _of_size(bench, place, name, size)
        yield from _started(bench, place)


def sweep(bench: Bench) -> Iterator[Row]:
    """The time to store results of several sizes, none of which may be slower."""
    for place in bench.places():
        for name, size in SWEEP.items():
            steps = _steps(bench, "x" * size)
            runs = _emptied(
                bench, {each: steps[each] for each in (OURS, THEIRS)}, bench.plan.run / 2
            )
            yield from beside(
                f"store a result, {name}", place, runs, bench.plan.rounds, NEVER_SLOWER
            )


def threads(bench: Bench) -> Iterator[Row]:
    """The time per result when eight threads of one process store."""
    for place in bench.places():
        with ThreadPoolExecutor(THREADS) as pool:
            steps = _steps(bench, "x" * 200)
            batches = {each: _together(pool, steps[each]) for each in (OURS, THEIRS, RAW)}
            runs = _emptied(bench, batches, bench.plan.run, THREADS * EACH)
            what = f"store a result, {THREADS} threads"
            yield from beside(what, place, runs, bench.plan.rounds)


def _of_size(bench: Bench, place: str, name: str, size: int) -> Iterator[Row]:
    fine = bench.fine()
    runs = _emptied(bench, _steps(bench, "x" * size), fine.run)
    yield from beside(f"store a result, {name}", place, runs, fine.rounds)


def _started(bench: Bench, place: str) -> Iterator[Row]:
    fine = bench.fine()
    steps: dict[str, Step] = {
        name: functools.partial(start_and_end, open_backend(url))
        for name, url in bench.urls(DATABASE).items()
    }
    runs = _emptied(bench, steps, fine.run)
    yield from beside("STARTED, then SUCCESS", place, runs, fine.rounds, NEVER_SLOWER)


def _steps(bench: Bench, value: str) -> dict[str, Step]:
    steps: dict[str, Step] = {
        name: functools.partial(store_one, open_backend(url), value=value)
        for name, url in bench.urls(DATABASE).items()
    }
    steps[RAW] = raw_store("redis", bench.url(DATABASE), value)
    raw, record = RawSocket(bench.url(DATABASE)), record_of(new_id(), value)
    steps[SOCKET] = lambda task_id: raw.ask(b"SET", task_id.encode(), record, b"EX", DAY)
    return steps


def _together(pool: ThreadPoolExecutor, step: Step) -> Step:
    def work(prefix: str) -> None:
        for number in range(EACH):
            step(f"{prefix}{number:04x}")

    return lambda task_id: list(pool.map(work, [f"{task_id[:-5]}{n}" for n in range(THREADS)]))


def _emptied(bench: Bench, steps: dict[str, Step], seconds: float, of: int = 1) -> dict[str, Run]:
    client = bench.client(DATABASE)
    return {
        name: functools.partial(_after_emptying, client, Loop(step, seconds, new_id), of)
        for name, step in steps.items()
    }


def _after_emptying(client: redis.Redis, run: Run, of: int) -> float:
    client.flushdb()
    return run() / of
