"""Several nodes: a replica that lags, two data centers that are cut apart."""

import contextlib
from collections import Counter
from types import SimpleNamespace
from uuid import uuid4

import pytest
from cassandra.policies import WhiteListRoundRobinPolicy
from kvbackends_cassandra.errors import CassandraUnavailable
from kvbackends_cassandra.schema import _copies

from kvbackends import open_store
from kvbackends.contract import Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, rank_of
from tests.servers import cassandra_ring
from tests.servers.network import can_cut
from tests.servers.process import eventually

KEYS = 30
GLOBAL = "?read_consistency=QUORUM&write_consistency=QUORUM&serial_consistency=SERIAL"
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

        def start(*arguments):
            stack.close()
            ring = cassandra_ring(*arguments)
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


@pytest.fixture
def needs_network():
    if not can_cut():
        pytest.skip("this machine or this user cannot make networks")
