"""A server that accepts connections and never answers."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeout

URLS = [
    "redis://127.0.0.1:{}/0",
    "mongodb://127.0.0.1:{}/results",
    "elasticsearch://127.0.0.1:{}/results",
    "cassandra://127.0.0.1:{}/results",
    "memcached://127.0.0.1:{}",
]
LONGEST = 25.0
"""Seconds: one call of the slowest store (10), and a busy machine; its retries take 30."""


def seconds_of_a_wait(app: Celery) -> float:
    started = time.monotonic()
    with pytest.raises(ResultTimeout, match="did not answer"):
        app.AsyncResult("none").get(timeout=3)
    return time.monotonic() - started


def test_a_wait_ends_with_all_default_options():
    """All stores at once, each in a thread: they only wait."""
    with ExitStack() as stack:
        holes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in URLS]
        apps = []
        for url, hole in zip(URLS, holes, strict=True):
            backend = "kv+" + url.format(hole.getsockname()[1])
            apps.append(Celery(broker="memory://", backend=backend, set_as_current=False))
            # The drivers are imported by the main thread: Cassandra's imports eventlet.
            stack.callback(apps[-1].backend.store.close)
        threads = stack.enter_context(ThreadPoolExecutor(len(apps)))
        took = dict(zip(URLS, threads.map(seconds_of_a_wait, apps), strict=True))
    assert {url: seconds for url, seconds in took.items() if seconds > LONGEST} == {}
