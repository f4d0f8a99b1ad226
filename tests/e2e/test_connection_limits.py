"""How many connections a process opens, and what it is told where a server takes no more."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from celery import Celery

from kvbackends import StoreUnavailable, open_store
from tests.servers import memcached_server, mongodb_server, postgresql_server, redis_server
from tests.servers.process import eventually
from tests.support.urls import with_options

THREADS = 50
EACH = 5
"""Results that each thread stores, and waits for."""
PATIENCE = 120.0
ESTABLISHED = "01"
"""The state of a connection in `/proc/net/tcp`."""
MOST_STORES = 40
"""More than the servers take here."""


class Bound(NamedTuple):
    """The options of a URL, and the most connections that a process opens with them."""

    options: str
    most: int


BOUNDS = {
    "redis": Bound("max_connections=8", 8 + 1),  # one listens
    "memcached": Bound("", THREADS + 1),
    "mongodb": Bound("maxPoolSize=8", 8 + 2),  # two watch the server
    "postgresql": Bound("max_connections=8", 8 + 1),  # one listens
    "elasticsearch": Bound("connections_per_node=8", 8),
    "cassandra": Bound("", 1 + 1),  # one watches the cluster
}
ALWAYS = ("redis", "memcached")
CASES = [
    pytest.param(name, *bound, id=name, marks=() if name in ALWAYS else pytest.mark.slow)
    for name, bound in BOUNDS.items()
]


def connections(port: int | None) -> int:
    """This process's connections to a port."""
    mine = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            mine.add(str(each.readlink()))
    count = 0
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _, _, target, state, *_, inode = line.split()[:10]
        is_there = target.endswith(f":{port:04X}") and state == ESTABLISHED
        count += is_there and f"socket:[{inode}]" in mine
    return count


@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize(("name", "options", "most"), CASES)
def test_fifty_threads_open_no_more_connections_than_are_documented(name, options, most, request):
    """The numbers of docs/operating.md, while each thread stores and waits."""
    url = request.getfixturevalue(f"{name}_url")
    port = urlsplit(url).port
    app = Celery("many", broker="memory://", backend=f"kv+{with_options(url, options)}")
    backend = app.backend  # Celery makes several where threads ask at once for the first time
    before, together = connections(port), threading.Barrier(THREADS)
    ids = [[uuid.uuid4().hex for _ in range(EACH)] for _ in range(THREADS)]

    def work(number: int) -> list[int]:
        together.wait()
        for each in ids[number]:
            backend.mark_as_done(each, number)
        others = ids[number - 1]
        return [app.AsyncResult(each).get(timeout=PATIENCE) for each in others]

    with ThreadPoolExecutor(THREADS) as pool:
        threads, seen = [pool.submit(work, number) for number in range(THREADS)], 0
        while not all(each.done() for each in threads):
            seen = max(seen, connections(port) - before)
            time.sleep(0.01)
        seen = max(seen, connections(port) - before)
        found = [each.result() for each in threads]
    backend.store.close()
    app.close()
    assert found == [[(number or THREADS) - 1] * EACH for number in range(THREADS)]
    assert 0 < seen <= most


FULL = {
    "redis": (partial(redis_server, "--maxclients", "5"), "max number of clients"),
    "memcached": (partial(memcached_server, "-c", "30"), "too many open connections"),
    "postgresql": (partial(postgresql_server, max_connections="5"), "too many clients"),
    "mongodb": (partial(mongodb_server, "--maxConns", "12"), "connection closed"),
}


@pytest.fixture
def opened() -> Iterator[Callable[[str], Any]]:
    """Opens stores, and closes them after the test."""
    with ExitStack() as everything:

        def opened(url: str) -> Any:
            store = open_store(url)
            everything.callback(store.close)
            return store

        yield opened


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=() if each in ALWAYS else pytest.mark.slow) for each in FULL],
)
def test_a_server_that_takes_no_more_connections_says_so(name, opened):
    """The error has the server's words, and the store works as soon as there is a place."""
    start, words = FULL[name]
    with start() as server:
        url = with_options(server.url, "retry_timeout=1")
        stores: list[Any] = []
        with pytest.raises(StoreUnavailable, match=words):
            fill(stores, lambda: opened(url))
        refused = stores.pop()
        for store in stores:
            store.close()
        assert eventually(lambda: reads(refused), PATIENCE)


def fill(stores: list[Any], opened: Callable[[], Any]) -> None:
    """Open stores, each with a connection, until one is refused: the last one."""
    while len(stores) < MOST_STORES:
        stores.append(opened())
        stores[-1].set("key", b"value", 600)


def reads(store: Any) -> bool:
    """True if the store answers: the server has noticed that there is a place."""
    with suppress(StoreUnavailable):
        return bool(store.get("key").value == b"value")
    return False
