"""One process waits for thousands of results at once: in one call, in threads and under asyncio."""

import asyncio
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from celery import Celery

from kvbackends import aget
from kvbackends.contract import Feature
from kvbackends.protocol.waiting import READING

PATIENCE = 300.0
"""Seconds for the slowest store on a busy machine."""


class Amount(NamedTuple):
    """How many results are awaited in one call, by threads and by coroutines."""

    together: int
    threads: int
    coroutines: int


IDLE_THREADS = {"few": 50, "many": 500}
IDLE_SECONDS = {"few": 1.0, "many": 5.0}
IDLE_SHARES = {True: 0.05, False: 0.25}
"""The processor time of waits to which nothing happens, by whether the store pushes: five times the
aim, as a share of the time."""

FEW = Amount(500, 20, 100)
MANY = Amount(10_000, 500, 2_000)
ALWAYS = ["sqlite", "redis", "memcached"]
SLOW = ["mongodb", "postgresql", "elasticsearch", "cassandra"]
CASES = [
    *(pytest.param(name, FEW, id=name) for name in ALWAYS),
    *(
        pytest.param(name, MANY, id=f"{name}-many", marks=pytest.mark.slow)
        for name in ALWAYS + SLOW
    ),
]
IDLE_CASES = [
    *(pytest.param(name, "few", id=name) for name in ALWAYS),
    *(
        pytest.param(name, "many", id=f"{name}-many", marks=pytest.mark.slow)
        for name in ALWAYS + SLOW
    ),
]


@pytest.fixture
def backend(name: str, request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """Ours on the store."""
    is_file = name == "sqlite"
    url = f"sqlite:///{tmp_path}/x.db" if is_file else request.getfixturevalue(f"{name}_url")
    app = Celery("many", broker="memory://", backend=f"kv+{url}", set_as_current=False)
    yield app.backend
    app.backend.store.close()
    app.close()


def ids_of(count: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)]


def in_a_loop(app: Celery, ids: list[str]) -> list[str]:
    async def main() -> list[str]:
        return await asyncio.gather(*(aget(app.AsyncResult(each), PATIENCE) for each in ids))

    return asyncio.run(main())


@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize(("name", "amount"), CASES)
def test_each_of_many_waiters_receives_its_result(backend, amount):
    app, waiters = backend.app, backend.waiters()
    together, by_threads, by_coroutines = map(ids_of, amount)
    size = threading.stack_size(256 * 1024)
    with ThreadPoolExecutor(amount.threads + 2) as pool:
        all_at_once = pool.submit(lambda: dict(backend.get_many(together, timeout=PATIENCE)))
        loop = pool.submit(in_a_loop, app, by_coroutines)
        single = [pool.submit(app.AsyncResult(each).get, timeout=PATIENCE) for each in by_threads]
        deadline = time.monotonic() + PATIENCE
        while len(waiters._open) < 1 + amount.threads + amount.coroutines:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for each in [*by_threads, *together, *by_coroutines]:
            backend.mark_as_done(each, each)
        assert [each.result() for each in single] == by_threads
        assert loop.result() == by_coroutines
        found = all_at_once.result()
    threading.stack_size(size)
    assert {each: meta["result"] for each, meta in found.items()} == {
        each: each for each in together
    }
    assert not waiters._open


@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize(("name", "amount"), IDLE_CASES)
def test_waiting_threads_take_hardly_any_processor_time_while_nothing_happens(backend, amount):
    """One of them listens and reads for all; the others sleep until they have their result."""
    app, waiters = backend.app, backend.waiters()
    ids, seconds = ids_of(IDLE_THREADS[amount]), IDLE_SECONDS[amount]
    size = threading.stack_size(256 * 1024)
    with ThreadPoolExecutor(len(ids)) as pool:
        waits = [pool.submit(app.AsyncResult(each).get, timeout=PATIENCE) for each in ids]
        deadline = time.monotonic() + PATIENCE
        while not is_calm(list(waiters._open.values()), len(ids)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        before = time.process_time()
        time.sleep(seconds)
        spent = time.process_time() - before
        for each in ids:
            backend.mark_as_done(each, each)
        assert [each.result() for each in waits] == ids
    threading.stack_size(size)
    assert spent < seconds * IDLE_SHARES[Feature.PUSH in backend.store.features]


def is_calm(waits: list[Any], count: int) -> bool:
    """True if so many wait, and the pauses between reads have grown."""
    return len(waits) == count and all(each._pause >= READING[1] for each in waits)
