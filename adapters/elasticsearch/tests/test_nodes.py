"""Three nodes: a primary that is isolated, reads that a replica serves, a replica that is missing.

The index has one replica, so each key has two copies.
"""

import contextlib
import threading
from uuid import uuid4

import pytest
from kvbackends_elasticsearch.errors import Unavailable

from kvbackends import open_store
from kvbackends.contract import Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, rank_of
from tests.servers import elasticsearch_nodes
from tests.servers.network import can_cut
from tests.servers.process import eventually

KEYS = 30
BLOCK = "cluster.no_master_block"
NOTICED = 60.0
"""Most seconds until a node that is cut off knows it."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def group():
    nodes = elasticsearch_nodes()
    with nodes.apart() if can_cut() else nodes as started:
        store = open_store(started.url)
        store.set("made", b"")
        store.close()
        started.settle()
        yield started


@pytest.fixture
def through():
    """A function that opens the adapter's own store, which knows one node."""
    with contextlib.ExitStack() as stack:

        def opened(node, query=""):
            options = {"result_backend_transport_options": {"retry": False}}
            store = open_store(node.url + query, options)
            stack.callback(store.close)
            return innermost(store)

        yield opened


def put(group, path, setting):
    assert group.nodes[0].ask("PUT", path, setting)


def found(node, key):
    """Whether the copy that a node has shows a document."""
    with contextlib.suppress(OSError):
        return bool(node.get(f"/kvbackends/_doc/{key}?preference=_local")["found"])
    return False


def test_each_copy_has_what_was_confirmed(group, through):
    """So a read by id may be served by any of them, at once."""
    store = through(group.nodes[0])
    for _ in range(KEYS):
        key = uuid4().hex
        assert store.offer(offer(key, Rank.SUCCEEDED, ttl=600), rank_of)
        assert found(group.replica_of(key), key)
        assert found(group.primary_of(key), key)


@pytest.mark.skipif(not can_cut(), reason="this machine or this user cannot make networks")
@pytest.mark.parametrize("block", ["write", "all"])
def test_an_isolated_primary_confirms_nothing(group, through, block):
    """It shows what it could not replicate: until it notices, or for as long as it is isolated."""
    put(group, "/_cluster/settings", {"persistent": {BLOCK: block}})
    key = uuid4().hex
    isolated, replica = group.primary_of(key), group.replica_of(key)
    inside, outside = through(isolated, "?timeout=30"), through(replica)
    for store in (inside, outside):
        store.set(uuid4().hex, b"", 600)  # the first write of a store asks the master for the index
    confirmed = []

    def store_inside():
        with contextlib.suppress(Unavailable):
            confirmed.append(inside.compare_and_set(key, b"lost", None, 600))

    writer = threading.Thread(target=store_inside)
    group.network.cut_off(isolated.host)
    try:
        writer.start()
        seen = eventually(lambda: found(isolated, key))
        hidden = eventually(lambda: not found(isolated, key), NOTICED if block == "all" else 10.0)
        assert eventually(lambda: stored(outside, key), NOTICED)
    finally:
        group.network.heal()
        writer.join()
    group.settle()
    assert (seen, hidden) == (True, block == "all")
    assert True not in confirmed
    assert inside.get(key).value == outside.get(key).value == b"kept"


def stored(store, key):
    with contextlib.suppress(Unavailable):
        return store.compare_and_set(key, b"kept", None, 600)
    return False


@pytest.mark.parametrize("copies", ["1", "2"])
def test_a_write_that_only_the_primary_has_is_confirmed_by_default(group, through, copies):
    """Until it is back nobody reads it; with `wait_for_active_shards` 2 it is not confirmed."""
    key, enable = uuid4().hex, "cluster.routing.allocation.enable"
    primary, replica = group.primary_of(key), group.replica_of(key)
    third = next(each for each in group.nodes if each not in (primary, replica))
    put(group, "/_cluster/settings", {"persistent": {enable: "none"}})
    put(group, "/kvbackends/_settings", {"index.write.wait_for_active_shards": copies})
    store, other = through(primary, "?timeout=5"), through(third, "?timeout=5")
    replica.kill()
    try:
        wrote = eventually(lambda: stored(store, key), 15)
        assert wrote is (copies == "1")
        primary.kill()
        with pytest.raises(Unavailable):
            other.get(key)
        primary.restart()
        assert eventually(lambda: reads(other, key, b"kept" if wrote else None), 60)
    finally:
        replica.restart()
        put(group, "/_cluster/settings", {"persistent": {enable: None}})
        put(group, "/kvbackends/_settings", {"index.write.wait_for_active_shards": "1"})
    group.settle()
    assert reads(other, key, b"kept" if wrote else None)


def reads(store, key, value):
    with contextlib.suppress(Unavailable):
        entry = store.get(key)
        return (entry.value if entry else None) == value
    return False
