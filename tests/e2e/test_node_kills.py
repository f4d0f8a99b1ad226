"""A node of three is killed under threads that store and read; the long form is a benchmark.

`make bench ARGS=--scale` has real workers, chords, and nodes that are frozen and restarted. What
Redis loses, and does not lose, is proven by `test_failover.py`, memcached's part by its adapter.
"""

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from kvbackends import open_store
from kvbackends.contract import Rank, Store
from kvbackends.testing.tools import offer, rank_of
from tests.servers import GROUPS, CassandraRing, ElasticsearchNodes, Group, MongoDBSet
from tests.servers.process import Server, eventually

JAVA = ["cassandra-ring", "elasticsearch-nodes"]
KINDS = ["mongodb-set", *(pytest.param(name, marks=pytest.mark.slow) for name in JAVA)]
MORE = 15
"""Results that are confirmed before the kill, and again after it, by each thread."""
PATIENCE = 120.0
QUERY = "retry_timeout=60&client_retry_timeout=60"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=KINDS)
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    with GROUPS[request.param]() as started:
        yield started


@pytest.fixture
def store(group: Group) -> Iterator[Store]:
    store = open_store(f"{group.url}{'&' if '?' in group.url else '?'}{QUERY}")
    yield store
    store.close()


def leader(group: Group) -> Server:
    """The node whose death costs most."""
    if isinstance(group, MongoDBSet):
        return group.primary_of()
    if isinstance(group, ElasticsearchNodes):
        return group.master()
    assert isinstance(group, CassandraRing)
    return group.nodes[0]


class Writer(threading.Thread):
    """Stores results one after the other, and reads each; keeps a list of those confirmed."""

    def __init__(self, store: Store, name: str, ended: Callable[[], bool]) -> None:
        super().__init__(name=name)
        self.confirmed: dict[str, bytes] = {}
        self.unread: list[str] = []
        self.error: BaseException | None = None
        self._store, self._ended = store, ended

    def run(self) -> None:
        try:
            for number in itertools.count():
                if self._ended():
                    return
                self._once(f"kill-{self.name}-{number}")
        except BaseException as error:
            self.error = error

    def _once(self, key: str) -> None:
        result = offer(key, Rank.SUCCEEDED, key, 3600.0)
        if self._store.offer(result, rank_of):
            self.confirmed[key] = result.value
        if self._store.get_batch([key]) != {key: result.value}:
            self.unread.append(key)


def test_no_confirmed_result_is_lost_with_a_node(group, store):
    """What was confirmed is read at once, and is there when the node is gone."""
    ending = threading.Event()
    writers = [Writer(store, f"w{number}", ending.is_set) for number in range(3)]
    store.ping()
    for each in writers:
        each.start()

    def have(more: dict[Writer, int]) -> bool:
        return all(len(each.confirmed) >= more[each] + MORE or each.error for each in writers)

    try:
        assert eventually(lambda: have(dict.fromkeys(writers, 0)), PATIENCE)
        leader(group).kill()
        before = {each: len(each.confirmed) for each in writers}
        assert eventually(lambda: have(before), PATIENCE)
    finally:
        ending.set()
        for each in writers:
            each.join()
    assert [each.error for each in writers] == [None] * len(writers)
    for each in writers:
        assert store.get_batch([*each.confirmed]) == each.confirmed
        assert len(each.unread) <= 1, "after a failover a read may miss what was just confirmed"
