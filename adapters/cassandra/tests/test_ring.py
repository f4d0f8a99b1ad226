"""Several nodes: a replica that lags, two data centers that are cut apart, clocks that differ."""

import contextlib
import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from uuid import uuid4

import pytest
from cassandra.policies import WhiteListRoundRobinPolicy
from kvbackends_cassandra import barriers
from kvbackends_cassandra.errors import CassandraUnavailable
from kvbackends_cassandra.schema import _copies

from kvbackends import open_store
from kvbackends.contract import Outcome, Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import arrive, gathered, offer, part, publisher, rank_of, value_of
from tests.servers import cassandra_ring
from tests.servers.network import can_cut
from tests.servers.process import eventually

KEYS = 30
GLOBAL = "?read_consistency=QUORUM&write_consistency=QUORUM&serial_consistency=SERIAL"
AHEAD = (5, 0, -5)
"""Seconds that the nodes' clocks are ahead."""
TTL = 15
"""Seconds; more than the clocks differ by."""
ROUNDS, PARTS = 12, 15
LOST = b"SELECT JSON sum(expired_count) AS lost FROM system_views.internode_inbound"
"""The number of messages that a node has dropped because they were too old."""
slow = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_each_data_center_has_at_most_one_copy_for_each_node():
    """Three copies where one node is would need an answer of two nodes."""

    def copies(**centers):
        return _copies(SimpleNamespace(datacenter=name) for name in Counter(centers).elements())

    assert copies(dc1=1) == "1"
    assert copies(dc1=5, dc2=3) == "3"
    assert copies(dc1=3, dc2=1) == "3, 'dc2': 1"
    assert copies(dc1=2, dc2=2) == "2"


@pytest.fixture(scope="module")
def groups():
    """A function that starts a ring, and ends the one before."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **more):
            stack.close()
            ring = cassandra_ring(*arguments, **more)
            return stack.enter_context(ring.apart() if can_cut() else ring)

        yield start


@pytest.fixture
def opened():
    """A function that opens the adapter's own store with one node as coordinator."""
    with contextlib.ExitStack() as stack:

        def through(node, query="", **settings):
            driver = {"load_balancing_policy": WhiteListRoundRobinPolicy([node.address])}
            options = {"retry": False, "driver": driver} | settings
            store = open_store(node.url + query, {"result_backend_transport_options": options})
            stack.callback(store.close)
            return innermost(store)

        yield through


@pytest.mark.usefixtures("needs_network")
class TestALaggingReplica:
    """It is cut off while others write, and then has to make up a quorum."""

    pytestmark = slow

    @pytest.fixture(scope="class")
    @classmethod
    def ring(cls, groups):
        return groups()

    def test_it_is_not_believed(self, ring, opened):
        """A read of a quorum finds what it missed; a read of it alone does not."""
        fresh, lagging, _ = ring.nodes
        keys = [uuid4().hex for _ in range(KEYS)]
        writer, reader = opened(fresh), opened(lagging)
        alone = opened(lagging, "?read_consistency=ONE")
        for key in keys:
            assert writer.offer(offer(key, Rank.UNREADY, ttl=600), rank_of)
        ring.network.cut_off(lagging.host)
        assert eventually(lambda: all(self._stored(writer, key) for key in keys), 60)
        assert eventually(lambda: self._reads(alone, keys, Rank.UNREADY), 60)
        with pytest.raises(CassandraUnavailable):
            reader.get(keys[0])
        ring.network.heal()
        ring.network.cut_off(fresh.host)
        assert eventually(lambda: self._reads(reader, keys, Rank.SUCCEEDED), 60)
        for key in keys:
            assert not reader.offer(offer(key, Rank.FAILED, ttl=600), rank_of)
        ring.network.heal()

    @staticmethod
    def _stored(store, key):
        with contextlib.suppress(CassandraUnavailable):
            return store.offer(offer(key, Rank.SUCCEEDED, ttl=600), rank_of)
        return False

    @staticmethod
    def _reads(store, keys, rank):
        """Whether an answer has come; all keys have this rank in it."""
        with contextlib.suppress(CassandraUnavailable):
            found = store.get_batch(keys)
            assert {rank_of(found[key]) for key in keys} == {rank}
            return True
        return False


@pytest.mark.usefixtures("needs_network")
class TestTwoDataCenters:
    """Two nodes in each; then nothing passes between the data centers."""

    pytestmark = slow

    @pytest.fixture(scope="class")
    @classmethod
    def ring(cls, groups):
        return groups(("dc1", "dc1", "dc2", "dc2"))

    def test_with_local_levels_each_goes_on_alone(self, ring, opened):
        """And each decides alone: what both claim, both have."""
        here, there = opened(ring.nodes[0]), opened(ring.nodes[2])
        key, both = uuid4().hex, uuid4().hex
        here.set(key, b"before", 600)
        assert eventually(lambda: there.get(key) is not None)
        ring.network.cut_off(*(each.host for each in ring.nodes[2:]))
        assert here.compare_and_set(both, b"here", None, 600)
        assert there.compare_and_set(both, b"there", None, 600)
        assert here.get(key).value == there.get(key).value == b"before"
        ring.network.heal()
        ring.settle()
        assert eventually(lambda: here.get(both).value == there.get(both).value, 60)

    def test_with_global_levels_neither_decides_without_the_other(self, ring, opened):
        here, there = (opened(ring.nodes[n], GLOBAL) for n in (0, 2))
        key, later = uuid4().hex, uuid4().hex
        assert here.compare_and_set(key, b"here", None, 600)
        assert not there.compare_and_set(key, b"there", None, 600)
        assert there.get(key).value == b"here"
        ring.network.cut_off(*(each.host for each in ring.nodes[2:]))
        for store in (here, there):
            with pytest.raises(CassandraUnavailable):
                store.compare_and_set(later, b"mine", None, 600)
        ring.network.heal()
        ring.settle()
        won = [
            store.compare_and_set(later, b"%d" % n, None, 600)
            for n, store in enumerate([here, there])
        ]
        assert won.count(True) <= 1
        assert here.get(later).value == there.get(later).value


class TestClocksThatDiffer:
    """One node is 5 s ahead and one 5 s behind; every test goes through all three."""

    pytestmark = slow

    @pytest.fixture(scope="class")
    @classmethod
    def ring(cls, groups):
        return groups(ahead=AHEAD)

    @pytest.fixture
    def stores(self, ring, opened):
        """A store for each coordinator, by the seconds that its clock is ahead."""
        return {node.ahead: opened(node) for node in ring.nodes}

    @pytest.fixture
    def pairs(self, stores):
        """All pairs of an earlier and a later writer."""
        return list(itertools.product(stores.values(), repeat=2))

    def test_the_later_write_wins(self, stores, pairs):
        """Also after a delete by a node that is ahead."""
        for earlier, later in pairs:
            key = uuid4().hex
            earlier.set(key, b"first", 600)
            later.set(key, b"second", 600)
            assert self._read(stores, key) == {b"second"}
            earlier.delete(key)
            assert self._read(stores, key) == {None}
            later.set(key, b"third", 600)
            assert self._read(stores, key) == {b"third"}
            later.delete(key)
            assert earlier.compare_and_set(key, b"fourth", None, 600)
            earlier.delete(key)
            assert later.offer(offer(key, Rank.SUCCEEDED, ttl=600), rank_of)
            assert not earlier.offer(offer(key, Rank.FAILED, ttl=600), rank_of)
            assert self._read(stores, key) == {b"3"}

    def test_plain_writes_would_be_swallowed(self, stores):
        """What the transactions are for: by the nodes' clocks the delete is the later one."""
        ahead, behind = (stores[seconds]._client()._session for seconds in (5, -5))
        table, key = "kvbackends.celery_kv", uuid4().hex
        for each in (ahead, behind):
            each.use_client_timestamp = False
        ahead.execute(f"DELETE FROM {table} WHERE key = %s", [key])
        behind.execute(f"INSERT INTO {table} (key, value) VALUES (%s, 0x76)", [key])
        assert self._read(stores, key) == {None}

    @staticmethod
    def _read(stores, key):
        entries = [each.get(key) for each in stores.values()]
        return {entry and entry.value for entry in entries}

    def test_races_lose_nothing(self, stores):
        key = uuid4().hex
        writers = list(stores.values()) * 16
        with ThreadPoolExecutor(6) as pool:
            sums = list(pool.map(lambda each: each.increment(key, 1, 600), writers))
        total = len(writers)
        assert sorted(sums) == list(range(1, total + 1))
        assert self._read(stores, key) == {b"%d" % total}

    def test_one_of_a_race_wins(self, stores):
        for _ in range(ROUNDS):
            key = uuid4().hex

            def claim(ahead, key=key):
                return stores[ahead].compare_and_set(key, b"%d" % ahead, None, 600)

            with ThreadPoolExecutor(len(stores)) as pool:
                won = pool.map(claim, stores)
            winner = [ahead for ahead, has in zip(stores, won, strict=True) if has]
            assert len(winner) == 1
            assert self._read(stores, key) == {b"%d" % winner[0]}

    def test_states_do_not_go_back(self, stores):
        ranks = [Rank.UNREADY, Rank.FAILED, Rank.SUCCEEDED]
        for shift in range(ROUNDS):
            key = uuid4().hex

            def write(store, rank, key=key):
                store.offer(offer(key, rank, ttl=600), rank_of)

            with ThreadPoolExecutor(len(stores)) as pool:
                turned = ranks[shift % 3 :] + ranks[: shift % 3]
                pending = list(map(partial(pool.submit, write), stores.values(), turned))
                seen = [Rank.UNREADY]
                for each in itertools.cycle(stores.values()):
                    entry = each.get(key)
                    if entry is not None:
                        seen.append(rank_of(entry.value))
                    if all(each.done() for each in pending):
                        break
            for each in pending:
                each.result()
            assert seen == sorted(seen)
            assert self._read(stores, key) == {b"3"}

    def test_a_chord_completes_once(self, stores, monkeypatch):
        """Also when its parts fill several buckets."""
        monkeypatch.setattr(barriers, "FULL", 4)
        for opener, ahead in itertools.product(stores.values(), stores):
            name = uuid4().hex
            header = [part(place) for place in range(PARTS)]
            turns = itertools.cycle(stores.values())
            coming = [(next(turns).barrier(name, 600), each) for each in header]
            opener.barrier(name, 600).open(b"payload")
            stores[ahead].barrier(name, 600).expect(publisher(), PARTS)
            with ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(arrive, *zip(*coming, strict=True)))
            outcomes = Counter(answer.outcome for answer in answers)
            assert outcomes[Outcome.CLAIMED] == 1
            for store in stores.values():
                assert gathered(store.barrier(name, 600)) == {
                    (each.place, each.member): value_of(each) for each in header
                }
            last = next(
                each
                for each, answer in zip(header, answers, strict=True)
                if answer.outcome is Outcome.CLAIMED
            )
            stores[ahead].barrier(name, 600).close(last, None, rank_of)
            for store in stores.values():
                assert arrive(store.barrier(name, 600), part(0)).outcome is Outcome.CLOSED

    def test_a_lifetime_is_off_by_the_difference(self, stores):
        """A ttl ends by the clock of the writer's coordinator, and the reader's compares."""
        keys, written, alive, gone = {}, {}, {}, {}
        for ahead, store in stores.items():
            keys[ahead] = uuid4().hex
            began = time.monotonic()
            store.set(keys[ahead], b"value", TTL)
            written[ahead] = began, time.monotonic()
        pairs = list(itertools.product(stores, repeat=2))
        for writer, reader in pairs:
            [left] = stores[reader].lifetimes([keys[writer]]).values()
            assert -5 < left - TTL - (writer - reader) <= 2
        while len(gone) < len(pairs):
            for writer, reader in set(pairs) - set(gone):
                began = time.monotonic()
                if stores[reader].get(keys[writer]):
                    alive[writer, reader] = began
                else:
                    gone[writer, reader] = time.monotonic()
        for writer, reader in pairs:
            began, ended = written[writer]
            shortest = TTL + writer - reader
            assert gone[writer, reader] - began >= shortest
            assert alive[writer, reader] - ended <= shortest + 2

    def test_nodes_that_compare_clocks_drop_what_seems_old(self, ring):
        """As by default: then what a node 10 s behind has sent is older than each timeout."""
        ahead, _, behind = ring.nodes
        ahead.compares_clocks = True
        ahead.prepare()
        ahead.restart()
        with pytest.raises(OSError, match=r"answer|timed out"):
            behind.sees_all()
        assert eventually(lambda: ahead.row(LOST)["lost"] > 0, 60)


@pytest.fixture
def needs_network():
    if not can_cut():
        pytest.skip("this machine or this user cannot make networks")
