"""Many who wait in one process on one Redis, and two processes that store at one moment."""

import gc
import os
import threading
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from celery import Celery

from benchmarks.helpers import helpers
from benchmarks.races import lost_successes
from tests.servers import redis_server

THREADS, RESULTS = 100, 2_000
EACH = RESULTS // THREADS
RACES = 1_000
PATIENCE = 120.0
"""Seconds for 2,000 results, traced by tracemalloc, on a busy machine."""


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    """A client of a server that has no others."""
    with redis_server() as started, redis.Redis.from_url(started.url) as client:
        client.url = started.url
        yield client


@pytest.fixture
def app(server) -> Iterator[Celery]:
    url = f"kv+{server.url}?client_name=ours"
    made = Celery("waiters", broker="memory://", backend=url, set_as_current=False)
    assert made.backend.store  # Celery makes several where threads ask at once for the first time
    yield made
    made.backend.store.close()
    made.close()


def connections(server: redis.Redis) -> list[dict[str, str]]:
    return [each for each in server.client_list() if each["name"] == "ours"]


def until(condition: Callable[[], object], patience: float = 30) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def subscriptions(server: redis.Redis) -> list[str]:
    """The channels of each connection that listens."""
    return [each["sub"] for each in connections(server) if each["sub"] != "0"]


def owners() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "kvbackends-waiting"]


def wait_for_all(app: Celery, server: redis.Redis, waiters: ThreadPoolExecutor) -> None:
    """One round: as many threads as there are wait for single results and for sets of them."""
    ids = [uuid.uuid4().hex for _ in range(RESULTS)]
    together = threading.Barrier(THREADS + 1)

    def wait(mine: list[str]) -> list[int]:
        results = [app.AsyncResult(each) for each in mine]
        together.wait()
        half = len(results) // 2
        values = [each.get(timeout=PATIENCE) for each in results[:half]]
        return values + app.ResultSet(results[half:]).join_native(timeout=PATIENCE)

    waits = [waiters.submit(wait, ids[first::THREADS]) for first in range(THREADS)]
    together.wait()
    until(lambda: subscriptions(server))
    most = 0
    for number, each in enumerate(ids):
        app.backend.store_result(each, number, "SUCCESS")
        if number % 200 == 0:
            most = max(most, len(subscriptions(server)))
    for first, each in enumerate(waits):
        assert each.result(PATIENCE) == list(range(first, RESULTS, THREADS))
    assert most == 1


def left_behind(server: redis.Redis) -> tuple[int, int]:
    """Files and threads as soon as nobody waits, but for the connections that are kept for use."""
    until(lambda: not owners())
    until(lambda: not server.pubsub_channels())
    until(lambda: not subscriptions(server))
    gc.collect()
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return files - len(connections(server)), threading.active_count()


def test_a_hundred_threads_share_one_subscription_and_leave_nothing(app, server):
    """100 threads wait for 2,000 results over one connection; then all is as it was before."""
    with ThreadPoolExecutor(THREADS) as waiters:
        wait_for_all(app, server, waiters)
        before = left_behind(server)
        tracemalloc.start()
        try:
            wait_for_all(app, server, waiters)
            after, grown = left_behind(server), tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert after[0] <= before[0], "files"
    assert after[1] <= before[1], "threads"
    assert not app.backend._pending_results.weak
    assert grown < 100 * RESULTS, f"{grown} bytes are held of {RESULTS} results"
    assert len(connections(server)) <= THREADS


def test_a_success_is_never_lost_to_a_retry(server, tmp_path):
    """1,000 times two processes store SUCCESS and RETRY of one task at the same moment."""
    cpus = sorted(os.sched_getaffinity(0))
    with helpers(cpus[0], cpus[-1]) as pair:
        assert lost_successes(pair, tmp_path, f"kv+{server.url}", RACES) == (0, 0)
