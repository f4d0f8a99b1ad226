"""Three servers: which of them each operation asks, and what the death of one costs."""

import re
from itertools import chain
from uuid import uuid4

import pytest
from kvbackends_memcached.client import Connection

from kvbackends import StoreUnavailable, open_store
from kvbackends.contract import Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, part, publisher, rank_of
from tests.servers import memcached_nodes
from tests.servers.process import ask

COUNTED = re.compile(rb"STAT (cmd_get|cmd_set|cmd_touch|delete_misses|delete_hits) (\d+)")
NO_RETRY = {"result_backend_transport_options": {"retry": False}}


@pytest.fixture(scope="module")
def group():
    with memcached_nodes() as started:
        yield started


@pytest.fixture
def store(group):
    store = open_store(group.url, NO_RETRY)
    yield innermost(store)
    store.close()


@pytest.fixture
def steps(monkeypatch):
    """What connections do, in order: "send" and "read"."""
    steps = []
    for name in ("read_status", "read_entries"):
        read = getattr(Connection, name)

        def reading(connection, read=read):
            steps.append("read")
            return read(connection)

        monkeypatch.setattr(Connection, name, reading)
    made = Connection.__init__

    def making(connection, *arguments):
        made(connection, *arguments)
        send = connection.send
        connection.send = lambda commands: (steps.append("send"), send(commands))

    monkeypatch.setattr(Connection, "__init__", making)
    return steps


def counts(group):
    """How many keys each server has been asked for, by its own statistics."""
    stats = [ask(node.port, b"stats\r\n") for node in group.nodes]
    return [sum(int(count) for _, count in COUNTED.findall(each)) for each in stats]


def asked(group, call, *arguments):
    """The servers that a call asks for keys, by their numbers."""
    before = counts(group)
    call(*arguments)
    return [n for n, pair in enumerate(zip(before, counts(group), strict=True)) if len({*pair}) > 1]


def of_each(group, store, count=20):
    """New keys, so many of each server."""
    servers = [f"127.0.0.1:{node.port}" for node in group.nodes]
    found = {server: [] for server in servers}
    while any(len(keys) < count for keys in found.values()):
        key = uuid4().hex
        found[store._hash.get_node(key)].append(key)
    return [keys[:count] for keys in found.values()]


def test_an_operation_on_one_key_asks_its_server_once(group, store, steps):
    for number, keys in enumerate(of_each(group, store, 1)):
        for call, *arguments in (
            (store.compare_and_set, keys[0], b"1", None),
            (store.get, keys[0]),
            (store.set, keys[0], b"2"),
            (store.touch, keys[0], 60.0),
            (store.delete, keys[0]),
            (store.offer, offer(keys[0], Rank.SUCCEEDED), rank_of),
        ):
            store.get(keys[0])  # connects
            del steps[:]
            assert asked(group, call, *arguments) == [number], call
            assert steps.count("send") == 1, call


def test_a_batch_asks_all_servers_at_the_same_time(group, store, steps):
    """All commands are sent before the first answer is read."""
    keys = [*chain(*of_each(group, store))]
    for key in keys:
        store.set(key, key.encode())
    for call, answer in (
        (store.get_batch, {key: key.encode() for key in keys}),
        (store.delete_batch, None),
        (store.get_batch, {}),
    ):
        del steps[:]
        assert call(keys) == answer
        assert steps[:4] == ["send", "send", "send", "read"]
        assert steps.count("send") == 3


def test_the_keys_of_a_chord_are_spread_over_the_servers(group, store):
    """Its values and pages are; each part also counts in the control record, on one server."""
    barrier = store.barrier(uuid4().hex, 60.0)
    barrier.open(b"payload")
    barrier.expect(publisher(), 1000)
    used = [asked(group, barrier.arrive, part(n, uuid4().hex), b"v") for n in range(30)]
    assert {number for each in used for number in each} == {0, 1, 2}
    assert len(set.intersection(*map(set, used))) == 1


def test_the_death_of_a_server_loses_its_keys_alone(group, store):
    """Keys of the others stay where they are; the dead server's fail, and it comes back empty."""
    keys = of_each(group, store)
    for key in chain(*keys):
        store.set(key, key.encode())
    group.nodes[0].kill()
    with pytest.raises((OSError, StoreUnavailable)):
        store.get(keys[0][0])
    for key in keys[1] + keys[2]:
        assert store.get(key).value == key.encode()
        assert store.compare_and_set(key, b"new", store.get(key).version)
    group.nodes[0].restart()
    assert store.get_batch(keys[0]) == {}
    assert store.get_batch(keys[1] + keys[2]) == dict.fromkeys(keys[1] + keys[2], b"new")
