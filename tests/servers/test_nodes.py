"""Groups of MongoDB, memcached, Cassandra and Elasticsearch: each node is handled singly."""

from collections.abc import Iterator

import pytest

from kvbackends import StoreError, open_store
from kvbackends.contract import Store
from tests.servers import GROUPS, Group
from tests.servers.process import eventually
from tests.servers.test_servers import gone

# The others take 10 to 40 seconds of a processor to start; the adapters' tests start them as well.
QUICK = "memcached-nodes"
KINDS = [
    name if name == QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in GROUPS
    if not name.startswith("redis")
]
KEYS = [f"key-{number}" for number in range(30)]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=KINDS)
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    with GROUPS[request.param]() as started:
        yield started
        pids = set(started.pids)
    assert gone(pids)
    assert not any(node.folder.exists() for node in started.nodes)


@pytest.fixture
def store(group: Group) -> Iterator[Store]:
    store = open_store(group.url)
    yield store
    store.close()


def serves(store: Store) -> bool:
    """Whether keys of every node can be written and read."""
    try:
        for key in KEYS:
            store.set(key, key.encode(), 600.0)
    except StoreError:
        return False
    return store.get_batch(KEYS) == {key: key.encode() for key in KEYS}


def test_they_serve_together(group, store):
    assert len(group.nodes) == 3
    assert serves(store)


def test_one_that_was_killed_comes_back(group, store):
    """Its place and its address stay; what it has missed it gets from the others."""
    node, url = group.nodes[0], group.url
    node.kill()
    assert not node.runs()
    node.restart()
    group.settle()
    assert group.url == url
    assert eventually(lambda: serves(store), 60)


def test_one_that_was_frozen_goes_on(group, store):
    node = group.nodes[1]
    node.pause()
    assert eventually(lambda: not node.runs())
    node.resume()
    group.settle()
    assert eventually(lambda: serves(store), 60)
