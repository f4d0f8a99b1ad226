"""The ranked write: ranks read from records, and what is sent."""

import json
import pickle
import threading
import time
import uuid
from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery, states
from kombu.serialization import dumps
from kvbackends_redis.operations.barriers import keys_of
from kvbackends_redis.operations.ranked import INLINE
from redis.crc import key_slot

from kvbackends.backend.ranks import rank_of_state, state_in_head
from kvbackends.contract import SIZE_PLACE, Offer, Outcome, Part, Rank

SERIALIZERS = ("json", "pickle", "msgpack")
STATES = (states.SUCCESS, states.FAILURE, states.REVOKED, states.STARTED, "OWN STATE")
SIZES = (10, 2 * INLINE)


def refuse(stored: bytes) -> Rank:
    raise AssertionError(f"the client was asked for the rank of {stored[:30]!r}")


def record(state: str, serializer: str = "json", size: int = 10) -> bytes:
    """As Celery encodes it."""
    meta = {"status": state, "result": "x" * size, "traceback": None, "children": []}
    encoded = dumps(meta, serializer=serializer)[2]
    return encoded.encode() if isinstance(encoded, str) else encoded


def offer(key: str, state: str, serializer: str = "json", size: int = 10) -> Offer:
    return Offer(key, record(state, serializer, size), rank_of_state(state), 60)


@pytest.fixture
def key() -> str:
    return f"celery-task-meta-{uuid.uuid4()}"


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("size", SIZES, ids=["inline", "staged"])
def test_the_server_ranks_celerys_records(store, wire, key, serializer, size):
    """Every state over every state, decided in one round trip and without asking the client."""
    for old, new in product(STATES, STATES):
        store.set(key, record(old, serializer))
        offered = offer(key, new, serializer, size)
        expected = rank_of_state(old).yields_to(rank_of_state(new))
        with wire.trips(1):
            stored = store.offer(offered, refuse)
        assert stored is (expected or offered.value == record(old, serializer)), (old, new)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_the_server_ranks_every_pickle_protocol(store, key, protocol):
    value = pickle.dumps({"status": "SUCCESS", "result": 1}, protocol)
    assert state_in_head(value) == "SUCCESS"
    store.set(key, value)
    assert not store.offer(offer(key, states.FAILURE), refuse)


@pytest.mark.parametrize("size", SIZES, ids=["inline", "staged"])
def test_what_the_server_cannot_read_the_client_ranks(store, wire, key, size):
    """A second round trip, and only where something is stored; nothing is left of the first."""
    asked = []

    def rank_of(value: bytes) -> Rank:
        asked.append(value)
        return Rank.FAILED

    with wire.trips(1):
        assert store.offer(offer(key, states.SUCCESS, size=size), rank_of)
    store.set(key, b"\x1f\x8b compressed")
    with wire.trips(2):
        assert store.offer(offer(key, states.SUCCESS, size=size), rank_of)
    store.set(key, b"")
    with wire.trips(2):
        assert not store.offer(offer(key, states.STARTED, size=size), rank_of)
    assert asked == [b"\x1f\x8b compressed", b""]
    assert list(store.scan(key)) == [key]
    assert not store.client.keys(f"{key}.*")


def test_a_key_that_is_no_text_is_not_listed(store, key):
    """Nobody could ask for its value: a listing that reads what it lists would fail of it."""
    store.set(key, b"value")
    store.client.set(key.encode() + b"\xff", b"value", px=60_000)
    assert list(store.scan(key)) == [key]


def test_what_changes_while_the_client_ranks_is_ranked_again(store, key):
    """The second script compares what was ranked with what is stored by then."""
    store.set(key, b"old")

    def rank_of(value: bytes) -> Rank:
        if value == b"old":
            store.set(key, b"better")
        return Rank.UNREADY if value == b"old" else Rank.SUCCEEDED

    assert not store.offer(offer(key, states.FAILURE), rank_of)
    assert store.get(key).value == b"better"


@pytest.mark.parametrize("size", SIZES, ids=["inline", "staged"])
def test_the_script_is_loaded_again(store, wire, key, size):
    """After SCRIPT FLUSH, a restart or a failover the server does not know it."""
    for _ in range(2):
        store.client.script_flush()
        with wire.trips(2):
            assert store.offer(offer(key, states.STARTED, size=size), refuse)
        with wire.trips(1):
            assert store.offer(offer(key, states.STARTED, size=size), refuse)


@pytest.mark.parametrize("size", SIZES, ids=["inline", "staged"])
@pytest.mark.parametrize("command", ["subscribe", "psubscribe"])
def test_listeners_get_the_stored_bytes(store, key, size, command):
    """Celery's clients read the result from the message, under the key's own name."""
    pubsub = store.client.pubsub(ignore_subscribe_messages=True)
    getattr(pubsub, command)(key)
    pubsub.get_message(timeout=10)
    written = offer(key, states.SUCCESS, size=size)
    store.offer(written, refuse)
    store.offer(offer(key, states.FAILURE, size=size), refuse)  # refused, and not told
    told = [pubsub.get_message(timeout=10), pubsub.get_message(timeout=0.1)]
    pubsub.close()
    assert (told[0]["channel"], told[0]["data"]) == (key.encode(), written.value)
    assert told[1] is None
    assert store.get(key).value == written.value
    assert 59 < store.client.ttl(key) <= 60


def request_of(task_id: str) -> SimpleNamespace:
    nothing = dict.fromkeys(("group", "parent_id", "chord", "errbacks", "chain", "root_id"))
    return SimpleNamespace(id=task_id, children=[], ignore_result=False, **nothing)


def apps(url: str) -> tuple[Celery, Celery]:
    made = [Celery("app", broker="memory://", backend=each) for each in (url, f"kv+{url}")]
    for app in made:
        app.conf.result_expires = 60
    return made[0], made[1]


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own
@pytest.mark.parametrize("storing", [0, 1], ids=["Celery stores", "we store"])
def test_old_and_new_workers_and_clients_understand_each_other(redis_url, storing):
    """Each waits, by pub/sub, for what the other stores; the stored records are alike."""
    both = apps(redis_url)
    writer, reader = both[storing], both[1 - storing]
    task_id = str(uuid.uuid4())
    request = request_of(task_id)
    waiting = reader.AsyncResult(task_id)
    began = time.monotonic()
    worker = threading.Timer(
        0.2, writer.backend.mark_as_done, [task_id, {"a": [1, "ü"]}], {"request": request}
    )
    worker.start()
    assert waiting.get(timeout=30) == {"a": [1, "ü"]}
    worker.join()
    assert time.monotonic() - began < 15
    stored = json.loads(redis.Redis.from_url(redis_url).get(f"celery-task-meta-{task_id}"))
    other = str(uuid.uuid4())
    both[0].backend.mark_as_done(other, {"a": [1, "ü"]}, request=request_of(other))
    of_celery = json.loads(both[0].backend.client.get(f"celery-task-meta-{other}"))
    assert list(stored) == list(of_celery)
    both[1].backend.store.close()
    for app in both:
        app.backend.client.connection_pool.disconnect()
        app.close()


def test_barriers_are_one_family_of_keys_in_one_slot():
    """Whatever its name is; they begin with it, as an ACL wants, and are nobody else's."""
    names = [
        f"celery-taskset-meta-{uuid.uuid4()}",
        "x",
        "",
        "a{b}c",
        "a%7Bb}c",
        "{}",
        "a{",
        "}" * 40,
    ]
    families = [keys_of(name) for name in names]
    assert len({key for family in families for key in family}) == 3 * len(names)
    assert all(len({key_slot(key.encode()) for key in family}) == 1 for family in families)
    assert all(key.replace("{", "").startswith(names[0]) for key in families[0])


def test_a_barrier_costs_what_the_table_says(store, wire, key):
    """Open and size: one each; a part with its result: one; close: one; a thousand values: one."""
    barrier, size = f"{key}-b", 1000
    with wire.trips(2):
        store.barrier(barrier, 60).open(b"about")
        store.barrier(barrier, 60).expect(Part(SIZE_PLACE, "size", "d"), size)
    with wire.trips(size):
        for i in range(size):
            part = Part(i, f"task-{i}", f"delivery-{i}")
            arrival = store.barrier(barrier, 60).finish(
                part, offer(f"{key}-{i}", states.SUCCESS), refuse
            )
    assert arrival.outcome is Outcome.CLAIMED
    with wire.trips(1):
        assert len(list(store.barrier(barrier).parts())) == size
    with wire.trips(2):
        assert store.barrier(barrier).renew(part)
        store.barrier(barrier, 60).close(part, offer(f"{key}-{i}", states.SUCCESS), refuse)
    assert store.client.exists(*[f"{key}-{i}" for i in range(size)]) == size
    assert len(store.client.keys(f"*{key[-20:]}-b*")) == 1, "a tombstone is left, nothing else"


def test_the_other_operations_cost_one_each(store, wire, key):
    entry: Any = None
    steps: list[Callable[[], object]] = [
        lambda: store.set(key, b"1", 60),
        lambda: store.get(key),
        lambda: store.compare_and_set(key, b"2", b"1", 60),
        lambda: store.compare_and_set(f"{key}-2", b"2", None, 60),
        lambda: store.increment(key, 1, 60),
        lambda: store.touch(key, 30),
        lambda: store.touch(key, None),
        lambda: store.get_batch([key] + [f"{key}-{i}" for i in range(999)]),
        lambda: store.delete_batch([f"{key}-2"]),
        lambda: store.delete(key),
    ]
    for step in steps:
        step()
    for step in steps:
        with wire.trips(1):
            entry = step()
    assert entry is None


def test_increment_handles_numbers_of_any_length(store, key):
    """INCRBY ends at 64 bits; the contract does not."""
    assert store.increment(key, 2**63 - 1, 60) == 2**63 - 1
    assert store.increment(key, 1, 60) == 2**63
    assert store.increment(key, -(2**70), 60) == 2**63 - 2**70
    store.set(key, b"007")
    assert store.increment(key, 1, None) == 8
    assert store.client.ttl(key) == -1


def test_incrementing_text_is_an_error(store, key):
    store.set(key, b"seven")
    with pytest.raises(ValueError, match="seven"):
        store.increment(key, 1, None)
