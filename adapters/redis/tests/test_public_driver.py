"""The adapter works where redis-py has none of the private names that it uses."""

import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from kvbackends_redis import RedisStore
from kvbackends_redis.connecting import wire
from kvbackends_redis.errors import Refused, Unavailable
from redis.connection import AbstractConnection

from kvbackends import open_store
from kvbackends.contract import Offer, Rank
from tests.support.suites import Again

PRIVATE = {"_sock", "_parser"}
KEY = "celery-task-meta-{}".format


@pytest.fixture(scope="module", autouse=True)
def hidden() -> Iterator[None]:
    """Hides redis-py's private names from the adapter, but not from redis-py itself."""

    def found(connection: object, name: str) -> Any:
        if name in PRIVATE and sys._getframe(1).f_globals["__name__"].startswith("kvbackends"):
            raise AttributeError(name)
        return object.__getattribute__(connection, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "__getattribute__", found, raising=False)
        yield


def unready(_: bytes) -> Rank:
    return Rank.UNREADY


def offer(key: str) -> Offer:
    return Offer(key, b'{"status": "SUCCESS"}', Rank.SUCCEEDED, 60)


def test_the_names_are_hidden(store):
    store.ping()
    assert isinstance(store._connections()._free[0].sock, wire._PublicEnds)


class TestConformance(Again):
    """Everything that the contract asks for."""

    fixture = "redis_url"


def test_an_error_reply_is_not_the_end_of_a_connection(store):
    store.client.lpush("list", "x")
    connection = store._connections()._take()
    store._connections()._give_back(connection)
    with pytest.raises(Refused, match="WRONGTYPE"):
        store.get("list")
    assert store._connections()._free[-1] is connection
    assert connection.sock is not None


def test_deferred_answers_are_read(store):
    key = KEY(uuid.uuid4())
    started = Offer(key, b'{"status": "STARTED"}', Rank.UNREADY, 60, advisory=True)
    for _ in range(50):
        assert store.offer(started, unready)
    assert store.offer(offer(key), unready)
    assert store.get(key).value == offer(key).value


def test_a_lost_connection_is_an_error_and_then_replaced(store):
    store.get("absent")
    store.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(Unavailable):
        store.get("absent")
    assert store.get("absent") is None


def test_redis_py_does_not_reconnect_a_connection_that_was_cut(store):
    """Otherwise an old command's caller would receive the answer to a new one."""
    store.ping()
    [link] = store._connections()._free
    sock = link.sock
    store.close()
    with pytest.raises(redis.ConnectionError):
        sock.sendall(wire.pack(("PING",)))
    with pytest.raises(redis.ConnectionError):
        sock.recv(1)


def test_a_subscription_hears_of_a_change_and_of_its_end(store):
    key = KEY(uuid.uuid4())
    subscription = store.subscribe()
    subscription.watch([key])
    assert not subscription.wait(0.05)
    store.offer(offer(key), unready)
    assert subscription.wait(5) == {key: offer(key).value}
    waker = threading.Timer(0.1, subscription.wake)
    waker.start()
    began = time.monotonic()
    assert subscription.wait(5) == ()
    assert time.monotonic() - began < 3
    waker.join()
    store.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    with pytest.raises(Unavailable):
        subscription.wait(5)
    subscription.close()


def test_celery_waits_for_a_result(redis_url):
    app = Celery("app", broker="memory://", backend=f"kv+{redis_url}", set_as_current=False)
    task_id = str(uuid.uuid4())
    worker = threading.Timer(0.3, app.backend.mark_as_done, (task_id, 42))
    worker.start()
    assert app.AsyncResult(task_id).get(timeout=10) == 42
    worker.join()
    app.backend.store.close()


@pytest.mark.parametrize("fixture", ["redis_tls_url", "redis_cluster_url"])
def test_other_ways_to_connect(request, fixture):
    """A TLS socket may hold bytes that no poll shows; a cluster has a listener for each node."""
    store = open_store(request.getfixturevalue(fixture))
    keys = [KEY(uuid.uuid4()) for _ in range(20)]
    subscription = store.subscribe()
    subscription.watch(keys)
    for key in keys:
        store.offer(offer(key), unready)
    changed: dict[str, object] = {}
    until = time.monotonic() + 10
    while len(changed) < len(keys) and time.monotonic() < until:
        changed.update(subscription.wait(1))
    assert changed.keys() == set(keys)
    assert len(store.get_batch(keys)) == len(keys)
    subscription.close()
    store.close()


def test_names_that_have_changed_their_meaning_are_not_used(open_redis):
    """As if `parse_error` were a property, or took more arguments."""
    store: RedisStore = open_redis()
    connection = store._connections()._new().connection
    connection.connect()

    class Lookalike:
        _sock = object()
        _parser = object.__getattribute__(connection, "_parser")

    assert isinstance(wire._ends(Lookalike())[0], wire._PublicEnds)
    Lookalike._sock = object.__getattribute__(connection, "_sock")
    assert wire._ends(Lookalike())[0] is Lookalike._sock.sock
    Lookalike._parser = type("Parser", (), {"parse_error": lambda *_: "no exception"})()
    assert isinstance(wire._ends(Lookalike())[0], wire._PublicEnds)
    connection.disconnect()


@pytest.mark.parametrize("kind", [AttributeError, TypeError, ValueError])
def test_a_call_whose_connection_another_thread_closes_is_a_lost_connection(kind):
    """redis-py raises what it meets first: its socket is None, or has no descriptor any more."""

    class Closing:
        def can_read(self, timeout: float) -> bool:
            ends.is_closed = closes
            raise kind

    ends = wire._PublicEnds(Closing())
    ends.settimeout(1)
    closes = True
    with pytest.raises(redis.ConnectionError):
        ends.recv(1)
    ends.is_closed = closes = False
    with pytest.raises(kind):
        ends.recv(1)
