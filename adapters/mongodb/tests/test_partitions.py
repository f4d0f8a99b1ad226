"""Which documents an operation addresses, and with how many requests.

Documents are addressed by `_id` alone: where the collections are sharded by it, a request with one
`_id` goes to one shard.
"""

from uuid import uuid4

import pytest
from pymongo.monitoring import CommandListener

from kvbackends import open_store
from kvbackends.contract import Outcome, Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, part, publisher, rank_of


class Requests(CommandListener):
    """For each command that is sent: the `_id`s that it addresses, one after the other."""

    def __init__(self):
        self.sent = []

    def started(self, event):
        command = event.command
        if event.command_name in {"hello", "endSessions", "createIndexes", "ping"}:
            return
        statements = command.get("updates") or command.get("deletes") or [command]
        filters = [each.get("q", each.get("filter", each.get("query"))) for each in statements]
        self.sent.append([each["_id"] for each in filters])

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass

    def of(self, call, *arguments):
        """The requests that a call makes."""
        del self.sent[:]
        self.answer = call(*arguments)
        return list(self.sent)


@pytest.fixture
def requests():
    return Requests()


@pytest.fixture
def store(mongodb_url, requests):
    options = {"mongodb_backend_settings": {"options": {"event_listeners": [requests]}}}
    store = open_store(mongodb_url, options)
    store.get("connects")
    yield innermost(store)
    store.close()


def test_an_operation_on_one_key_addresses_one_document_once(store, requests):
    key = uuid4().hex
    for call, *arguments in (
        (store.compare_and_set, key, b"1", None, 60.0),
        (store.get, key),
        (store.set, key, b"2", 60.0),
        (store.touch, key, 60.0),
        (store.increment, f"{key}-n", 1, 60.0),
        (store.offer, offer(f"{key}-o", Rank.UNREADY, ttl=60), rank_of),
        (store.offer, offer(f"{key}-o", Rank.SUCCEEDED, ttl=60), rank_of),
    ):
        [request] = requests.of(call, *arguments)
        wanted = arguments[0] if isinstance(arguments[0], str) else arguments[0].key
        assert request == [wanted]
    assert requests.of(store.delete, key) == [[{"$in": [key]}]]


def test_a_batch_is_one_request_that_names_its_keys(store, requests):
    """A router sends each shard the request once, to all at the same time."""
    keys = [uuid4().hex for _ in range(100)]
    for call in (store.get_batch, store.delete_batch):
        [[addressed]] = requests.of(call, keys)
        assert set(addressed["$in"]) == set(keys)


def test_a_part_addresses_its_document_and_its_chords_count(store, requests):
    """One request while parts are missing; nothing that other chords address."""
    barrier = store.barrier(uuid4().hex, 60.0)
    barrier.open(b"payload")
    barrier.expect(publisher(), 3)
    for place in range(2):
        mine = part(place, uuid4().hex)
        [request] = requests.of(barrier.arrive, mine, b"value")
        assert requests.answer.outcome is Outcome.WAITING
        own, *counts = request
        assert own == {"b": barrier.name, "r": 0, "p": place, "m": mine.member}
        assert counts == [{"b": barrier.name}] * 2
