"""A fault of a node of three, under threads that store and read; the long form is a benchmark.

`make bench ARGS=--scale` has real workers and chords. What Redis loses without `wait_replicas` is
proven by `test_failover.py`, memcached's part by its adapter.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Self

import pytest

from kvbackends import open_store
from kvbackends.contract import Rank, Store
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, rank_of
from tests.servers import GROUPS, Group
from tests.servers.faults import KINDS, possible
from tests.servers.network import can_cut
from tests.servers.process import eventually
from tests.support.urls import with_options

ENGINES = ["mongodb-set", "cassandra-ring", "elasticsearch-nodes", "redis-replicas"]
ALWAYS = [
    *(("mongodb-set", kind) for kind in ("leader killed", "leader cut off", "leader replaced")),
    ("redis-replicas", "leader cut off"),
]
CASES = [
    pytest.param(engine, kind, marks=() if (engine, kind) in ALWAYS else pytest.mark.slow)
    for engine in ENGINES
    for kind in KINDS
]
MORE = 15
"""Results that are confirmed before the fault, during it and after it, by each thread."""
PAUSE = 0.01
PATIENCE = 120.0
LAG = 2.5
"""Seconds after which a primary refuses that has lost its replicas, and may lag by 1 s."""
QUERY = "retry_timeout=60&client_retry_timeout=60"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def groups() -> Iterator[Callable[[str], Group]]:
    """Starts a group once, and keeps it until another one is asked for."""
    running: dict[str, Group] = {}

    def started(name: str) -> Group:
        if name not in running:
            stop_all()
            group = GROUPS[name]()
            running[name] = (group.apart(spare=1) if can_cut() else group).start()
        running[name].settle()
        return running[name]

    def stop_all() -> None:
        while running:
            running.popitem()[1].stop()

    yield started
    stop_all()


class Writer(threading.Thread):
    """Stores results one after the other, and reads each; keeps a list of those confirmed."""

    def __init__(self, store: Store, name: str, ended: threading.Event) -> None:
        super().__init__(name=name)
        self.confirmed: dict[str, bytes] = {}
        self.unread: list[str] = []
        self.error: BaseException | None = None
        self._store, self._ended = store, ended

    def run(self) -> None:
        try:
            for number in itertools.count():
                if self._ended.wait(PAUSE):
                    return
                self._once(f"kill-{id(self)}-{number}")
        except BaseException as error:
            self.error = error

    def _once(self, key: str) -> None:
        result = offer(key, Rank.SUCCEEDED, key, 3600.0)
        if self._store.offer(result, rank_of):
            self.confirmed[key] = result.value
        if self._store.get_batch([key]) != {key: result.value}:
            self.unread.append(key)


class Writers:
    """Threads that write until they are told to end."""

    def __init__(self, store: Store) -> None:
        self._ending = threading.Event()
        self.all = [Writer(store, f"w{number}", self._ending) for number in range(3)]

    def __enter__(self) -> Self:
        for each in self.all:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for each in self.all:
            each.join()

    def go_on(self) -> None:
        """Wait until each has confirmed more, or has failed."""
        wanted = {each: len(each.confirmed) + MORE for each in self.all}
        assert eventually(lambda: all(map(done, wanted.items())), PATIENCE)


def done(wanted: tuple[Writer, int]) -> bool:
    writer, count = wanted
    return len(writer.confirmed) >= count or writer.error is not None


@pytest.mark.parametrize(("engine", "name"), CASES)
def test_no_confirmed_result_is_lost_with_a_node(groups, engine, name):
    """What was confirmed is read at once, while the node is away, and when it is back."""
    group = groups(engine)
    if name not in possible(group):
        pytest.skip(f"not on this engine, or not on this machine: {name}")
    kind = KINDS[name]
    store = open_store(with_options(group.url, QUERY))
    store.ping()
    with Writers(store) as writers:
        writers.go_on()
        node = kind.choose(group)
        kind.harm(group, node)
        writers.go_on()
        if kind.heal:
            kind.heal(group, node)
            writers.go_on()
    group.settle()
    assert [each.error for each in writers.all] == [None] * len(writers.all)
    for each in writers.all:
        assert store.get_batch([*each.confirmed]) == each.confirmed
        assert len(each.unread) <= 1, "after a failover a read may miss what was just confirmed"
    store.close()


@pytest.fixture
def cut_off(groups):
    """A Redis primary with two replicas, and what cuts it off from them until the test ends."""
    group = groups("redis-replicas")
    if not can_cut():
        pytest.skip("nodes cannot be cut off from each other here")
    kind = KINDS["leader cut off"]
    node = kind.choose(group)
    yield group, node, lambda *others: group.network.cut_off(node.host, *others)
    kind.heal(group, node)
    group.settle()


@pytest.mark.parametrize("watching", ["before", "after"])
@pytest.mark.parametrize("sentinels", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_waiting_process_leaves_a_replaced_primary(cut_off, watching, sentinels):
    """It gets a result that the new primary has confirmed, though the old one still answers.

    It began to wait before the fault, or afterwards, with connections from before. The first
    Sentinel may be cut off together with the old primary, and goes on naming it.
    """
    group, _, harm = cut_off
    result = offer(f"waiting-{watching}-{sentinels}", Rank.SUCCEEDED, "", 3600.0)
    first = result._replace(key=f"first-{watching}-{sentinels}")
    with (
        closing(open_store(with_options(group.url, f"{QUERY}&health_check_interval=1"))) as reader,
        closing(open_store(with_options(group.url, QUERY))) as writer,
    ):
        subscription = reader.subscribe()

        def watch() -> None:
            """Begin anew, as a waiter does after an error."""
            nonlocal subscription
            subscription.close()
            subscription = reader.subscribe()
            subscription.watch([result.key])

        def waited() -> bool:
            try:
                subscription.wait(0.1)
            except reader.transient_errors:
                watch()
            return reader.get(result.key) is not None

        assert reader.get(result.key) is None
        harm(*(each.host for each in group.sentinels[:sentinels]))
        if watching == "before":
            watch()
        # The first of these is stored at the old primary, too, where no replica confirms it.
        assert all(writer.offer(each, rank_of) for each in (first, result))
        if watching == "after":
            watch()
        assert eventually(waited, 60.0 if watching == "before" else 1.0)
        subscription.close()
        asked = innermost(reader)._endpoint.arguments["sentinels"]
        named = [(asked.rotate(), asked.primary())[1] for _ in group.sentinels]
        assert len(set(named)) == 1, "an outdated answer counts"


@pytest.mark.slow
def test_a_primary_that_refuses_is_left(cut_off):
    """A write that is refused for want of replicas (NOREPLICAS) goes to the new primary."""
    group, node, harm = cut_off
    for setting in ("to-write", "max-lag"):
        node.run(f"CONFIG SET min-replicas-{setting} 1")
    url = with_options(group.url.replace("&wait_replicas=1", ""), QUERY)
    result = offer("refused", Rank.SUCCEEDED, "", 3600.0)
    with closing(open_store(url)) as store:
        store.ping()
        harm()
        time.sleep(LAG)
        assert store.offer(result, rank_of)
    group.network.heal()
    group.settle()
    for setting, usual in {"to-write": 0, "max-lag": 10}.items():
        node.run(f"CONFIG SET min-replicas-{setting} {usual}")
    with closing(open_store(url)) as store:
        assert store.get_batch([result.key]) == {result.key: result.value}
