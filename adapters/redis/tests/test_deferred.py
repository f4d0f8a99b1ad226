"""Deferred answers: advisory records are sent at once, and their answers are read later."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, states
from kvbackends_redis.connecting.wire import MOST_OWED, pack
from kvbackends_redis.errors import Unavailable

from kvbackends import open_store
from kvbackends.backend.ranks import rank_of_state, state_in_head
from kvbackends.contract import Offer, Rank
from kvbackends.testing.areas.interruptions import losing_sockets
from tests.backend.bench import Bench
from tests.servers.proxy import TO_CLIENT, FaultProxy
from tests.support.stalls import takes_less

PATIENCE = 10


def refuse(stored: bytes) -> Rank:
    raise AssertionError(f"the client was asked for the rank of {stored[:30]!r}")


def final(key: str) -> Offer:
    return Offer(key, b'{"status": "SUCCESS"}', Rank.SUCCEEDED, 60)


def advised(key: str, state: str = states.STARTED, more: str = "") -> Offer:
    value = f'{{"status": "{state}", "result": "{more}"}}'.encode()
    return Offer(key, value, rank_of_state(state), 60, advisory=True)


@pytest.fixture
def key() -> str:
    return f"celery-task-meta-{uuid.uuid4()}"


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    host, port = redis_url.removeprefix("redis://").removesuffix("/0").split(":")
    with FaultProxy(host, int(port)) as made:
        yield made


@pytest.fixture
def distant(proxy, redis_url, open_redis):
    """A store whose server is behind the proxy; it is connected, and its script is known."""
    store = open_redis(f"{proxy.url_of(redis_url)}?socket_timeout={PATIENCE}")
    store.offer(final(f"first-{uuid.uuid4()}"), refuse)
    return store


def stored_within(store, key: str, value: bytes) -> bool:
    """Whether another connection finds the value in time."""
    until = time.monotonic() + PATIENCE
    while (found := store.get(key)) is None or found.value != value:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# -------------------------------------------------------------------------------------- waiting


def test_an_advisory_offer_does_not_wait_for_its_answer(proxy, distant, store, key):
    """Though the server's answer cannot come, the call ends, and the record is there."""
    proxy.pause(TO_CLIENT)
    assert distant.offer(advised(key), refuse)
    assert stored_within(store, key, advised(key).value)
    proxy.resume()
    assert distant.offer(final(key), refuse)
    assert store.get(key).value == final(key).value


def test_the_next_exchange_reads_the_deferred_answer(proxy, distant, key):
    """The answers to both come together."""
    proxy.delay(to_client=1.5)
    before, keys = proxy.counts, (f"{key}-{turn}" for turn in itertools.count())

    def both() -> None:
        began, each = time.monotonic(), next(keys)
        assert distant.offer(advised(each), refuse)
        assert distant.offer(final(each), refuse)
        assert time.monotonic() - began >= 1.5

    assert takes_less(3, both)
    assert (proxy.counts - before).connections == 0


def test_the_number_of_deferred_answers_is_bounded(proxy, distant, key):
    proxy.pause(TO_CLIENT)
    for number in range(MOST_OWED):  # a wait for one would be in vain
        distant.offer(advised(key, more=str(number)), refuse)
    began = time.monotonic()
    threading.Timer(1, proxy.resume).start()
    distant.offer(advised(key, more="last"), refuse)
    assert time.monotonic() - began >= 1
    assert distant.get(key).value == advised(key, more="last").value


def test_large_records_are_not_deferred(distant, store, key):
    """They are sent as two commands."""
    large = advised(key, more="x" * 100_000)
    assert distant.offer(large, refuse)
    assert store.get(key).value == large.value


# ----------------------------------------------------------------------- what the answers may be


def test_a_forgotten_script_is_sent_in_full(distant, store, key):
    store.client.script_flush()
    assert distant.offer(advised(key), refuse)
    assert distant.get("another key") is None
    assert store.get(key).value == advised(key).value


def test_a_deferred_record_replaces_no_newer_one(proxy, distant, store, key):
    """The script was forgotten, and another process was faster."""
    store.client.script_flush()
    before = proxy.counts
    assert distant.offer(advised(key), refuse)
    while proxy.counts.to_client == before.to_client:
        time.sleep(0.001)
    newer = advised(key, "PROGRESS")._replace(advisory=False)
    assert store.offer(newer, refuse)
    assert distant.get(key).value == newer.value
    assert distant.get(key).value == newer.value


def test_a_success_is_not_replaced(distant, store, key):
    assert store.offer(final(key), refuse)
    assert distant.offer(advised(key), refuse)
    assert distant.get(key).value == final(key).value


def test_the_client_ranks_what_the_server_cannot(distant, store, key):
    """Stored after the next exchange, unless something else is there by then."""
    compressed, newer = b"\x1f\x8b compressed", b"\x1f\x8b newer"
    store.set(key, compressed, 60)
    assert distant.offer(advised(key), lambda value: Rank(1 + (value != compressed)))
    assert distant.get("another key") is None
    assert store.get(key).value == advised(key).value

    def slowly(value: bytes) -> Rank:
        store.set(key, newer, 60)
        return Rank.UNREADY

    store.set(key, compressed, 60)
    assert distant.offer(advised(key), slowly)
    assert distant.get("another key") is None
    assert store.get(key).value == newer


def test_a_deferred_error_does_not_fail_the_next_command(distant, store, key, caplog):
    store.client.lpush(key, "of another kind")
    assert distant.offer(advised(key), refuse)
    assert distant.offer(final(f"{key}-2"), refuse)
    assert "WRONGTYPE" in caplog.text
    assert store.get(f"{key}-2").value == final(key).value
    store.client.delete(key)


# ------------------------------------------------------------------- connections that come and go


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_lost_connection_loses_only_the_deferred_record(proxy, redis_url, store, key, direction):
    """The offer after the loss is stored and reported as stored."""
    distant = open_store(f"{proxy.url_of(redis_url)}?retry_timeout={PATIENCE}")
    distant.offer(final(f"{key}-first"), refuse)
    proxy.delay(**{direction: 0.2})
    assert distant.offer(advised(key), refuse)
    proxy.cut()
    proxy.delay()
    assert distant.offer(final(key), refuse)
    assert store.get(key).value == final(key).value
    distant.close()


def test_after_a_lost_connection_nothing_is_outstanding(proxy, distant, key):
    proxy.pause(TO_CLIENT)
    assert distant.offer(advised(key), refuse)
    proxy.cut()
    proxy.resume()
    with pytest.raises(Unavailable):
        distant.get(key)
    distant.set(f"{key}-2", b"value", 60)
    assert distant.get(f"{key}-2").value == b"value"


def test_close_waits_for_deferred_answers(proxy, distant, store, key):
    proxy.delay(to_server=1)
    assert distant.offer(advised(key), refuse)
    assert store.get(key) is None
    distant.close()
    assert store.get(key).value == advised(key).value


def test_a_closed_connection_reads_no_answer_of_another_command(store, key):
    """A thread closes the store while one reads: that one still knows what is outstanding."""
    store.set(f"{key}-2", b"value", 60)
    [wire] = store._connections()._free
    closing, read = threading.Event(), threading.Event()
    send, disconnect = wire.send, wire.connection.disconnect

    def slowly(*arguments: object) -> None:
        closing.set()
        read.wait(PATIENCE)
        disconnect(*arguments)

    def sent(*pieces: bytes) -> None:
        wire.send = send
        send(*pieces)
        closer.start()
        closing.wait(PATIENCE)

    closer = threading.Thread(target=store.close)
    store.offer(advised(key), refuse)
    wire.connection.disconnect, wire.send = slowly, sent
    try:
        assert store.get(f"{key}-2").value == b"value"
    finally:
        read.set()
        closer.join()


def test_deferred_answers_are_dropped_when_the_store_is_closed(store, key):
    """Also what was sent just before, and is noted just after; the next exchange connects."""
    store.set(f"{key}-2", b"value", 60)
    connections = store._connections()
    [wire] = connections._free
    send = wire.send
    wire.send = lambda *pieces: (send(*pieces), store.close())
    store.offer(advised(key), refuse)
    wire.send = send
    assert connections.call("GET", f"{key}-2") == b"value"
    connections.close()


def test_close_waits_once_for_a_silent_server(proxy, redis_url, open_redis, key):
    """Each of five connections has a deferred answer; close gives up after the first timeout."""
    silent = open_redis(f"{proxy.url_of(redis_url)}?socket_timeout=2")
    together = threading.Barrier(5)

    def use() -> None:
        wire = silent._connections()._take()
        wire.send(pack(("PING",)))
        wire.answer()
        together.wait()
        silent._connections()._give_back(wire)

    threads = [threading.Thread(target=use) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    wires = list(silent._connections()._free)
    assert len(wires) == 5
    proxy.pause(TO_CLIENT)
    for _ in wires:
        silent.offer(advised(key), refuse)
        silent._connections()._free.rotate()
    assert all(wire.owed for wire in wires)
    began = time.monotonic()
    silent.close()
    assert time.monotonic() - began < 6  # five times as long would be ten
    proxy.resume()


def test_the_health_check_keeps_deferred_answers_apart(proxy, redis_url, open_redis, key):
    """The PING's answer follows the deferred ones."""
    store = open_redis(f"{proxy.url_of(redis_url)}?health_check_interval=0.1")
    store.client.script_flush()
    store.set(f"{key}-2", b"value", 60)
    before = proxy.counts
    store.offer(advised(key), refuse)
    time.sleep(0.2)
    assert store.get(f"{key}-2").value == b"value"
    assert store.get(key).value == advised(key).value
    assert (proxy.counts - before).connections == 0


def test_an_idle_connection_that_was_dropped_is_replaced(proxy, redis_url, open_redis, key):
    """Without an error, because no command was in progress."""
    store = open_redis(f"{proxy.url_of(redis_url)}?health_check_interval=0.1")
    store.set(key, b"value", 60)
    proxy.cut()
    time.sleep(0.2)
    assert store.get(key).value == b"value"


# -------------------------------------------------------------------- threads, signals, processes


def test_threads_get_their_own_answers(open_redis):
    """Few connections for many threads, so that threads share them."""
    store = open_redis(redis_max_connections=3)
    store.offer(final(uuid.uuid4().hex), refuse)  # loads the script
    failed: list[object] = []

    def work(name: str) -> None:
        try:
            for number in range(150):
                key = f"{name}-{number}"
                store.offer(advised(key, more=key), refuse)
                if number % 3:
                    store.offer(final(key), refuse)
                value = store.get(key).value
                assert value == (final(key) if number % 3 else advised(key, more=key)).value, value
        except BaseException as error:
            failed.append(error)

    names = [uuid.uuid4().hex for _ in range(8)]
    threads = [threading.Thread(target=work, args=[name]) for name in names]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed


@losing_sockets()
def test_an_interruption_harms_no_other_command(store, key):
    """A soft time limit anywhere between two sends and the last answer."""
    store.set("right", b"right", 60)

    class Limit(BaseException):
        pass

    def strike(*_: object) -> None:
        raise Limit

    before = signal.signal(signal.SIGALRM, strike)
    struck = 0
    try:
        for number in range(200):
            until = time.monotonic() + 0.2
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 0.000003)
                while time.monotonic() < until:
                    store.offer(advised(key, more="x" * 100), refuse)
                    store.get("absent")
            except Limit:
                struck += 1
            assert store.get("right").value == b"right"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert struck > 150


NUMBERS = """
    import signal, time
    from kvbackends_redis.connecting.wire import pack

    class Limit(BaseException):
        pass

    def strike(*_):
        raise Limit

    signal.signal(signal.SIGALRM, strike)
    for number in range(500):
        until = time.monotonic() + 0.05
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 0.0000001)
            while time.monotonic() < until:
                pack(("COMMAND", *[1] * 20))
        except Limit:
            pass
"""


def test_an_interruption_while_numbers_are_packed_crashes_nothing():
    """Hiredis crashes there if it converts the numbers itself."""
    command = [sys.executable, "-c", textwrap.dedent(NUMBERS)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_a_fork_while_an_answer_is_deferred(proxy, distant, store, key):
    """The parent's record is stored; the child has its own connections."""
    proxy.delay(to_client=0.2)
    assert distant.offer(advised(key), refuse)
    pid = os.fork()
    if not pid:
        right = distant.get("absent") is None and distant.offer(advised(f"{key}-2"), refuse)
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert stored_within(store, f"{key}-2", advised(key).value)
    assert distant.get(key).value == advised(key).value


GREENLETS = """
    from gevent import monkey; monkey.patch_all()
    import sys, gevent
    from adapters.redis.tests.test_deferred import advised, final, refuse
    from kvbackends import open_store

    store = open_store(sys.argv[1] + "?max_connections=4")

    def work(name):
        for number in range(20):
            key = f"{sys.argv[2]}-{name}-{number}"
            store.offer(advised(key, more=key), refuse)
            with gevent.Timeout(0.0005 * number, False):
                store.get(key)
            store.offer(final(key), refuse)
            assert store.get(key).value == final(key).value

    workers = [gevent.spawn(work, name) for name in range(30)]
    gevent.joinall(workers, raise_error=True)
"""


def test_greenlets_get_their_own_answers(redis_url, key):
    """Their timeouts are `BaseException`s, and strike wherever they wait."""
    script = textwrap.dedent(GREENLETS)
    command = [sys.executable, "-W", "ignore", "-c", script, redis_url, key]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


# -------------------------------------------------------------------------------------- in Celery


@pytest.fixture
def worker(proxy, redis_url):
    """An app whose tasks run here, by Celery's own tracer, and whose server is behind the proxy."""
    app = Celery("deferred", broker="memory://", backend=f"kv+{proxy.url_of(redis_url)}")
    app.conf.update(task_track_started=True, result_expires=60)
    app.bench = Bench(app)
    app.set_current()
    app.backend.mark_as_done(f"first-{uuid.uuid4()}", 1)
    yield app
    app.backend.store.close()
    app.close()


def test_a_task_does_not_wait_for_its_started(proxy, worker, store):
    """It runs while the answer to STARTED is on its way."""

    @worker.task(name="looks", bind=True)
    def looks(self):
        until = time.monotonic() + PATIENCE
        while (found := store.get(f"celery-task-meta-{self.request.id}")) is None:
            assert time.monotonic() < until
        proxy.resume()
        return state_in_head(found.value)

    result = looks.delay()
    proxy.pause(TO_CLIENT)
    began = time.monotonic()
    worker.bench.run(worker.bench.take())
    assert time.monotonic() - began < PATIENCE
    assert result.get(timeout=PATIENCE) == states.STARTED


def test_only_a_running_tasks_started_is_deferred(worker):
    """Only a running task's STARTED is deferred."""
    backend = worker.backend
    kept: list[bool] = []
    offer = backend.store.offer

    def noted(offered: Offer, rank_of: Any) -> bool:
        kept.append(offered.advisory)
        return offer(offered, rank_of)

    backend.store.offer = noted
    backend.store_result("t", {}, states.STARTED)
    backend.store_result("t", {}, "PROGRESS")
    backend.mark_as_done("t", 1)
    assert kept == [False, False, False]

    @worker.task(name="tells", bind=True)
    def tells(self):
        self.update_state(state="PROGRESS")

    tells.delay()
    worker.bench.run(worker.bench.take())
    assert kept[3:] == [True, False, False]
